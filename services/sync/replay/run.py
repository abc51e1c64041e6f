"""The audit of an installation: history as its database and its log have it, up to now, in one snapshot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.contracts.app import Manifest
from services.runtime.log import EVENTS, RECEIPTS, Partition
from services.runtime.store import Store
from services.runtime.suppression import bygone
from services.sync.replay.audit import Audit, Filters
from services.sync.replay.checkpoint import Head, head_of
from services.sync.replay.past import Messages, Read, count, pasts, whole
from services.sync.replay.present import compare
from services.sync.replay.world import World

Bounds = Mapping[Partition, tuple[int, int]]
Went = Callable[[Audit, int], bool]
"""Told after each transaction of history, with how many there are; false: stop here."""
TOPICS = (EVENTS, RECEIPTS)


class NoStartError(Exception):
    """History doesn't go back to an empty store."""

    def __init__(self) -> None:
        super().__init__(
            "History doesn't go back to the beginning: its oldest days were dropped, or it wasn't kept yet when the "
            "first contacts came. Start from a checkpoint (--from FILE); `contactsync replay --checkpoint FILE` writes "
            "one now, for audits from now on."
        )


@dataclass(frozen=True, kw_only=True)
class Audited:
    """How an audit went."""

    audit: Audit
    total: int
    """Transactions of history, from the start on."""
    whole: bool
    """Whether it came to the present; what is known there was compared, too."""
    head: Head
    """Where it stopped: with the audit's world, a checkpoint."""


async def run(
    store: Store,
    read: Read,
    bounds: Bounds,
    manifests: Mapping[str, Manifest],
    *,
    start: tuple[Head, World] | None = None,
    filters: Filters | None = None,
    went: Went = lambda _, __: True,
) -> Audited:
    """Audit everything since `start`, or since the beginning. `manifests` is by app; `bounds` of both topics.

    All in one read-only transaction: what is decided meanwhile isn't part of it. Raises `NoStartError`,
    `NotThereError`, `MissingAppError`.
    """
    audit = Audit(manifests, told={}, filters=filters or Filters())
    after = None
    if start is not None:
        after, audit.world = start[0].after, start[1]
        audit.number = start[0].number
    async with store.transaction("repeatable_read", readonly=True) as database:
        if start is None and not await whole(database):
            raise NoStartError
        head = await head_of(database)
        total = await count(database, after)
        messages = Messages(read, bounds, await bygone(database))
        done = True
        async for past in pasts(database, messages, audit.told, after=after):
            audit.take(past)
            if not went(audit, total):
                done = False
                break
        if done:
            await compare(database, audit, at=head.at)
    number = head.number if done else audit.number
    return Audited(
        audit=audit, total=total, whole=done, head=Head(number=number, snapshot=head.snapshot, at=audit.at or head.at)
    )
