"""What publications of deliveries ask of the database, and that it is asked after they began."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from services.contracts.events import ContactChanged
from services.ingest.publish import Publisher
from services.runtime.store import Store
from services.runtime.suppression import digest_of
from tests.integration.ingest_rig import open_log, records
from tests.integration.sync_messages import changed, message, shop

KEY = b"0123456789abcdef0123456789abcdef"
FORGET = "INSERT INTO registry.forgotten (id, asked_by, contacts) VALUES ($1, 'a test', 1)"
DIGEST = "INSERT INTO registry.suppression (entry, digest) VALUES ($1, $2)"
VERSION = "INSERT INTO registry.suppression_key (key, version) VALUES ($1, 1)"


class Watched:
    """A store whose first answer is late, and that counts what it was asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[str] = []
        self.answered = asyncio.Event()
        self.late = asyncio.Event()

    async def fetchval(self, query: str, /, *arguments: object) -> int | bytes | None:
        self.asked.append(query)
        value: int | bytes | None = await self._store.fetchval(query, *arguments)
        self.answered.set()
        if len(self.asked) == 1:
            await self.late.wait()
        return value

    async def fetch(self, query: str, /, *arguments: object) -> Sequence[object]:
        self.asked.append(query)
        return await self._store.fetch(query, *arguments)


async def test_publications_at_once_share_a_question_that_none_of_them_came_after(store: Store) -> None:
    watched = Watched(store)
    async with open_log(store) as log, asyncio.timeout(20), asyncio.TaskGroup() as group:
        publisher = Publisher(log, store=watched)
        group.create_task(publisher.publish([message(changed("shop", "cus_0", shop("Ada", "ada@x.example"), at=1))]))
        await watched.answered.wait()

        # The answer is known and hasn't arrived: whoever is forgotten now isn't in it.
        entry = uuid.UUID(int=1)
        async with store.transaction() as tx:
            await tx.execute(VERSION, KEY)
            await tx.execute(FORGET, entry)
            await tx.execute(DIGEST, entry, digest_of(KEY, "contact", "shop", "cus_7"))
        others = [
            group.create_task(
                publisher.publish([message(changed("shop", f"cus_{n}", shop("Ada", "ada@x.example"), at=n))])
            )
            for n in range(1, 21)
        ]
        await asyncio.sleep(0)
        watched.late.set()
        await asyncio.gather(*others)
    assert sum("version" in query for query in watched.asked) == 2
    found = {each.message.contact_id for each in await records(store) if isinstance(each.message, ContactChanged)}
    assert found == {f"cus_{n}" for n in range(21)} - {"cus_7"}


async def test_each_publication_after_another_asks_anew(store: Store) -> None:
    watched = Watched(store)
    watched.late.set()
    async with open_log(store) as log:
        publisher = Publisher(log, store=watched)
        for n in range(3):
            await publisher.publish([message(changed("shop", f"cus_{n}", shop("Ada", "ada@x.example"), at=n))])
    assert len(watched.asked) == 3
