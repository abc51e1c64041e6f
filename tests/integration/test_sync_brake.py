"""Many deletions at once, on a real Postgres: fails when they aren't counted across transactions and processes (E6)."""

from __future__ import annotations

import asyncio

from services.contracts.commands import Tag
from services.contracts.contact import Fields
from services.runtime.log import EVENTS
from services.runtime.store import Store
from services.sync.sweeper import Sweeper
from tests.integration.sync_messages import changed, deleted, of, scan_finished
from tests.integration.sync_rig import MANIFESTS, PAIR, PARTITIONS, rig


async def test_e6_deletions_are_counted_once_across_transactions_and_sweepers(store: Store) -> None:
    async with rig(store, PAIR, scanned=False) as made:
        owners = [await made.own(EVENTS, number) for number in range(PARTITIONS)]
        for n in range(40):
            fields: Fields = {"email": (f"p{n}@example.com",)}
            await owners[n % 4].take(changed("shop", f"cus{n}", fields), changed("office", f"card{n}", fields))
        for owner in owners:
            await owner.take(scan_finished("shop"), scan_finished("office"))
        await made.sweep()
        await made.drain()
        assert await store.fetchval("SELECT count(*) FROM sync.link WHERE status = 'active'") == 40
        await asyncio.gather(
            *(
                owner.take(*(deleted("office", f"card{n}", at=50) for n in range(at, 40, 4)))
                for at, owner in enumerate(owners)
            )
        )
        await made.pass_time(3)
        other = Sweeper(store, MANIFESTS, lambda: None)
        while any(await asyncio.gather(made.sweeper.sweep(), other.sweep())):
            continue
        assert len({tag.contact_id for tag in of(await made.drain(), Tag)}) == 19
        row = await store.fetchrow("SELECT active, count, said FROM sync.deletion_window")
        assert row is not None
        assert tuple(row) == (40, 40, None)
        assert await store.fetchval("SELECT count(*) FROM sync.link WHERE wait_reason = 'deletions'") == 21
