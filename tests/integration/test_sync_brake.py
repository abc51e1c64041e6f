"""Many deletions at once, on a real Postgres: fails when they aren't counted across transactions and processes (E6)."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from services.contracts.commands import Tag, Update
from services.contracts.contact import Fields
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from services.sync.control import approve, held, reject
from services.sync.sweeper import Sweeper
from tests.integration.sync_messages import changed, deleted, of, scan_finished, shop, written
from tests.integration.sync_rig import MANIFESTS, PAIR, PARTITIONS, active, rig


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
        async with store.transaction(readonly=True) as database:
            (waiting,) = await held(database)
        assert (waiting.kind, waiting.connection, waiting.value) == ("window", "pair", "21 of 40")
        assert await approve(store, MANIFESTS, waiting)
        assert not await reject(store, MANIFESTS, waiting)
        await made.sweep()
        assert len({tag.contact_id for tag in of(await made.drain(), Tag)}) == 21
        async with store.transaction(readonly=True) as database:
            assert await held(database) == []


async def test_f3_a_contact_written_too_often_goes_on_when_a_person_says_so(store: Store) -> None:
    twelve = replace(PAIR, options=replace(PAIR.options, most_writes=12))
    async with rig(store, twelve) as made:
        events, receipts = await made.own(EVENTS), await made.own(RECEIPTS)
        await active(made, events, receipts)
        for turn in range(12):
            phone = f"+1202555{100 + turn:04}"
            await events.take(changed("shop", "cus", shop("Ada", "cus@example.com", phone=phone), at=20 + 10 * turn))
            for update in of(await made.drain(), Update):
                if update.aim.side == "right":
                    card = {**update.fields, "n": update.expected.get("n", ()), "email": ("cus@example.com",)}
                    await receipts.take(written(update, at=25 + 10 * turn, fields=card))
        await made.drain()
        async with store.transaction(readonly=True) as database:
            waiting = [change for change in await held(database) if change.kind == "often"]
        assert [(change.account, change.value) for change in waiting] == [("office", "12")]
        assert not await reject(store, MANIFESTS, waiting[0])
        assert await approve(store, MANIFESTS, waiting[0])
        await made.sweep()
        assert [update.aim.side for update in of(await made.drain(), Update)] == ["right"]
