"""Sending what is missing on the normal path, and reading contacts anew before."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.contracts.app import Manifest
from services.contracts.contact import SIDES
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.configs import Configs, read_configs
from services.sync.core.slice import ContactKey
from services.sync.core.take import Sighted
from services.sync.repair.missing import Chosen
from services.sync.transact import Cause, ReadConfigs, transact

PATIENCE = 30.0
"""Seconds without any answer after which what is on its way is left to itself."""
_PAUSE = 0.2
_CHUNK = 100
_WAKE = "INSERT INTO sync.wake (link) SELECT id FROM sync.link WHERE id = ANY($1::uuid[])"
_MOVING = """
SELECT id::text FROM sync.link
 WHERE id = ANY($1::uuid[]) AND (unsettled_since IS NOT NULL OR id IN (SELECT link FROM sync.wake))
"""
_HALVES = """
SELECT id::text, connection, left_id, right_id, seq FROM sync.link
 WHERE seq > $1 AND status <> 'ended' AND connection = ANY($2::text[]) AND ($3::uuid[] IS NULL OR id = ANY($3))
 ORDER BY seq LIMIT $4
"""
_LOOKING = """
SELECT c.account, c.contact_id FROM sync.contact c
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON c.account = k.account AND c.contact_id = k.id
 WHERE c.looking
"""
_SENT = """
SELECT count(*) FROM sync.journal
 WHERE day >= $1::timestamptz::date - 1 AND at >= $1 AND link = ANY($2::uuid[]) AND detail ? 'writes'
"""


async def send(
    store: Store, links: Sequence[str], went: Callable[[int], object] = lambda _: None, patience: float = PATIENCE
) -> tuple[int, int]:
    """Have these pairs decided anew, and wait for the answers; return the writes decided, and the pairs still moving.

    Nothing is decided here: the running sync takes them up, under its own locks, holds and pace.
    """
    began: datetime = await store.fetchval("SELECT now()")
    for start in range(0, len(links), _CHUNK):
        await store.execute(_WAKE, list(links[start : start + _CHUNK]))
    waiting = list(links)
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while waiting and loop.time() < heard + patience:
        left = [row["id"] for row in await store.fetch(_MOVING, waiting)]
        if len(left) < len(waiting):
            went(len(waiting) - len(left))
            heard = loop.time()
        waiting = left
        if waiting:
            await asyncio.sleep(_PAUSE)
    return await store.fetchval(_SENT, began, list(links)), len(waiting)


async def read_anew(
    store: Store,
    manifests: Mapping[str, Manifest],
    chosen: Chosen,
    went: Callable[[int], object] = lambda _: None,
    patience: float = PATIENCE,
) -> int:
    """Have the pairs' contacts read in their apps, at the accounts' own pace; return how many didn't answer.

    What the apps answer is an observation like any other: real edits that nobody had told of begin to flow.
    """

    async def read(database: Database) -> Configs:
        return await read_configs(database, manifests)

    seq, asked = 0, dict[ContactKey, None]()
    ids = None if chosen.links is None else list(chosen.links)
    configs = await store.retrying(read)
    while rows := await store.fetch(_HALVES, seq, list(chosen.connections), ids, _CHUNK):
        seq = rows[-1]["seq"]
        keys = [
            (configs.connections[row["connection"]].account(side), row[f"{side}_id"])
            for row in rows
            for side in SIDES
            if row[f"{side}_id"] is not None
        ]
        fresh = [key for key in dict.fromkeys(keys) if key not in asked]
        asked.update(dict.fromkeys(fresh))
        await _ask(store, read, fresh)
    return await _answered(store, list(asked), went, patience)


async def _ask(store: Store, read: ReadConfigs, keys: Sequence[ContactKey]) -> None:
    causes = [
        Cause(item=Sighted(account=account, contact_id=id, look=True), type="sighted", id=id) for account, id in keys
    ]

    async def together(_: Database) -> Sequence[Cause]:
        return causes

    if await transact(store, read, together):
        return
    for cause in causes:

        async def one(_: Database, cause: Cause = cause) -> Sequence[Cause]:
            return [cause]

        while not await transact(store, read, one):
            continue


async def _answered(store: Store, asked: Sequence[ContactKey], went: Callable[[int], object], patience: float) -> int:
    waiting = list(asked)
    loop = asyncio.get_running_loop()
    heard = loop.time()
    while waiting and loop.time() < heard + patience:
        rows = await store.fetch(_LOOKING, [key[0] for key in waiting], [key[1] for key in waiting])
        if len(rows) < len(waiting):
            went(len(waiting) - len(rows))
            heard = loop.time()
        waiting = [(row["account"], row["contact_id"]) for row in rows]
        if waiting:
            await asyncio.sleep(_PAUSE)
    return len(waiting)
