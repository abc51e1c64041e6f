"""A database restored from a copy, and what nobody answers: fails when either leaves a link unsettled for ever."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.connectors.restore import restore as restore_connectors
from services.contracts.commands import Look, Update
from services.runtime.log import EVENTS, RECEIPTS, FencedError, Partition
from services.runtime.store import Store
from services.sync.core.issue import RESEND
from services.sync.restore import restore
from tests.integration.sync_messages import changed, of, one, shop, writes, written
from tests.integration.sync_rig import MANIFESTS, PAIR, Rig, active, rig


async def put_back(made: Rig, ends: Mapping[Partition, int] | None = None) -> int:
    """What `contactsync migrate --restored` does; `ends`: where the log ends then."""
    async with made.store.transaction() as database:
        await database.execute("UPDATE registry.incarnation SET n = n + 1")
        await restore_connectors(database)
        return await restore(database, MANIFESTS, ends or {})


async def test_p12_after_a_restore_many_open_writes_are_looked_into_in_one_transaction(store: Store) -> None:
    async with rig(store, PAIR) as made:
        events, receipts = await made.own(EVENTS), await made.own(RECEIPTS)
        names = [f"cus{n}" for n in range(5)]
        for name in names:
            await active(made, events, receipts, name, name)
        await events.take(
            *(changed("shop", name, shop(name, f"{name}@example.com", phone="+12025550155"), at=20) for name in names)
        )
        assert len(of(await made.drain(), Update)) == len(names)
        assert await put_back(made) == len(names)
        assert not any(link.unsettled for link in await made.links())
        looks = of(await made.drain(), Look)
        assert {look.account for look in looks} == {"office"}
        assert len(looks) == len(names)
        with pytest.raises(FencedError):
            await events.take(changed("shop", "cus0", shop("Ada", "cus0@example.com"), at=30))


async def test_p10_a_command_that_vanished_is_sent_again_by_the_sweeper(store: Store) -> None:
    async with rig(store, PAIR) as made:
        events, receipts = await made.own(EVENTS), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Ada", "cus@example.com", phone="+12025550155"), at=20))
        lost = one(await made.drain(), Update)
        await made.sweep()
        assert await made.drain() == []
        await made.pass_time(RESEND / 1_000_000)
        await made.sweep()
        again = one(await made.drain(), Update)
        assert again == lost
        await made.sweep()
        assert await made.drain() == []
        await receipts.take(written(again, at=40))
        assert (await made.link()).half(again.aim.side).pending is None


async def test_p10_a_look_that_vanished_is_asked_again_by_the_sweeper(store: Store) -> None:
    async with rig(store, PAIR) as made:
        events, receipts = await made.own(EVENTS), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Ada King", "cus@example.com"), at=0))
        lost = one(await made.drain(), Look)
        await made.sweep()
        assert await made.drain() == []
        await made.pass_time(RESEND / 1_000_000)
        await made.sweep()
        again = one(await made.drain(), Look)
        assert (again.contact_id, again.look.number, again.look.attempt) == ("cus", lost.look.number, 2)
        await made.sweep()
        assert not writes(await made.drain())


async def test_p12_after_a_restore_links_wait_until_every_partition_was_read_up_to_its_end(store: Store) -> None:
    async with rig(store, PAIR) as made:
        events, receipts = await made.own(EVENTS), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await put_back(made, {events.place: events.position + 2, receipts.place: receipts.position})
        events = await made.own(EVENTS)
        await events.take(changed("shop", "cus", shop("Ada", "cus@example.com", phone="+12025550155"), at=20))
        await made.pass_time(60)
        await made.sweep()
        assert not writes(await made.drain())
        assert (await made.link()).wait is not None
        await events.take(changed("shop", "cus", shop("Ada", "cus@example.com", phone="+12025550166"), at=30))
        await made.pass_time(60)
        await made.sweep()
        assert one(await made.drain(), Update).fields == {"tel": ("+12025550166",)}
        assert await store.fetchval("SELECT count(*) FROM sync.catching_up") == 0
