"""A preview of an installation: its history as its database and its log have it, under the rules of a file (G5)."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from services.contracts.app import Manifest
from services.contracts.connection import Account, Connection
from services.runtime.log import Partition
from services.runtime.store import Store
from services.runtime.suppression import bygone
from services.sync.plan.known import Ground, ground
from services.sync.replay.audit import Audit
from services.sync.replay.past import Messages, Read, count, pasts, whole
from services.sync.replay.preview import Preview
from services.sync.replay.run import NoStartError


async def forecast(
    store: Store,
    read: Read,
    bounds: Mapping[Partition, tuple[int, int]],
    manifests: Mapping[str, Manifest],
    accounts: Iterable[Account],
    connections: Iterable[Connection],
    *,
    until: int | None = None,
    went: Callable[[int], object] = lambda _: None,
) -> tuple[Preview, Ground]:
    """Go through history from the beginning up to a moment (microseconds since 1970) under these connections.

    All in one read-only transaction: what is decided meanwhile isn't part of it. `bounds` of both topics; `manifests`
    is by app; `went` is told how many transactions there are, after each. Raises `NoStartError`, `NotThereError`,
    `MissingAppError`.
    """
    async with store.transaction("repeatable_read", readonly=True) as database:
        if not await whole(database):
            raise NoStartError
        under = await ground(database, manifests, accounts, connections)
        total = await count(database, None)
        audit = Audit(manifests, told={})
        made = Preview(under.wanted, audit)
        messages = Messages(read, bounds, await bygone(database))
        async for past in pasts(database, messages, audit.told):
            if until is not None and past.entry.now >= until:
                break
            made.take(past)
            went(total)
            await asyncio.sleep(0)
        made.end(under.now if until is None else min(until, under.now))
    return made, under
