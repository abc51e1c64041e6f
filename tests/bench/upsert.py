"""The limit of B3: the rows that a run wrote, written again by the same statements in batches, with nothing decided."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg

from services.runtime.store import Store
from services.sync import save
from tests.bench.rounds import Watch
from tests.bench.row import Run

BATCH = 200
"""Events of one transaction, as the worker's."""
CONNECTIONS = 12
"""As many as the worker has partitions."""
_LINKS = """
SELECT id, connection, left_id, right_id, status, alias_of, wait_reason, wait_on, wait_since, reconsider_at,
       config_version, holds, refusals, unsettled, unsettled_since, state
  FROM sync.link WHERE id = ANY($1::uuid[]) ORDER BY seq
"""
_CONTACTS = """
SELECT c.account, c.contact_id, c.deleted, c.order_end, c.scan, c.looking, c.mark, c.state, c.object, c.merged_into
  FROM sync.link l JOIN sync.contact c ON c.account = 'shop' AND c.contact_id = l.left_id
 WHERE l.id = ANY($1::uuid[]) ORDER BY l.seq
"""
_INBOX = """
INSERT INTO sync.inbox (day, account, event_id) SELECT current_date, * FROM unnest($1::text[], $2::text[])
"""
_OUTBOX = "SELECT topic, key, headers, value FROM sync.outbox ORDER BY id DESC LIMIT $1"


class Upsert:
    """Writes rows through connections of its own."""

    def __init__(self, store: Store, connections: Sequence[asyncpg.Connection[asyncpg.Record]]) -> None:
        self._store = store
        self._connections = connections
        self._numbers = itertools.count()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, store: Store, dsn: str) -> AsyncIterator[Upsert]:
        """Connect."""
        connections = [await asyncpg.connect(dsn, server_settings={"jit": "off"}) for _ in range(CONNECTIONS)]
        try:
            yield cls(store, connections)
        finally:
            for connection in connections:
                await connection.close()

    async def run(self, links: Sequence[str]) -> Run:
        """Write again what was written for these links: one contact, link, outbox row and inbox row for each."""
        written = [
            await self._store.fetch(_LINKS, links),
            await self._store.fetch(_CONTACTS, links),
            await self._store.fetch(_OUTBOX, len(links)),
        ]
        number = next(self._numbers)
        batches = []
        for first in range(0, len(links), BATCH):
            share = [rows[first : first + BATCH] for rows in written]
            ids = [f"limit:{number}:{first + at}" for at in range(len(share[0]))]
            batches.append((*map(_columns, share), (["shop"] * len(ids), ids)))
        waiting = iter(batches)

        async def work(connection: asyncpg.Connection[asyncpg.Record]) -> None:
            for link, contact, outbox, inbox in waiting:
                async with connection.transaction():
                    await connection.execute(_INBOX, *inbox)
                    await connection.execute(save._CONTACTS, *contact)
                    await connection.execute(save._LINKS, *link)
                    await connection.execute(save._OUTBOX, *outbox)

        with Watch() as watch:
            await asyncio.gather(*map(work, self._connections))
        return watch.rate(len(links))


def _columns(rows: Sequence[asyncpg.Record]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))
