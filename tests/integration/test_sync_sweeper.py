"""Nothing depends on another event coming by, and what is at rest stays at rest (P10)."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.connection import Connection, MappingLine
from services.contracts.contact import PersonName
from services.contracts.receipts import AccountBack, Deferred, Receipt, Refused
from services.runtime.log import RECEIPTS
from services.runtime.store import Store
from services.sync.sweeper import CHUNK
from tests.integration.sync_messages import changed, deleted, of, one, shop, written
from tests.integration.sync_rig import PAIR, Owner, Rig, active, rig

SECOND_PAIR = Connection(name="second-pair", left="shop", right="annex")
WAKE = "INSERT INTO sync.wake (link) SELECT id FROM sync.link"


async def people(made: Rig, events: Owner, count: int) -> None:
    """So many contacts of the shop whose creates are under way."""
    for at in range(0, count, 50):
        some = range(at, min(at + 50, count))
        await events.take(*(changed("shop", f"cus-{n}", shop(str(n), f"p{n}@example.com")) for n in some))


async def test_p10_more_links_than_a_chunk_are_all_reconsidered(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await people(made, events, CHUNK * 2 + 7)
        await made.make_due()
        assert await made.sweep() == 3
        assert await store.fetchval("SELECT count(*) FROM sync.link WHERE reconsider_at IS NOT NULL") == 0


async def test_p10_woken_links_are_reconsidered_once_however_often_they_were_woken(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await people(made, events, 3)
        before = len(await made.journal())
        for _ in range(5):
            await store.execute(WAKE)
        assert await made.sweep() == 1
        assert (await made.counts())["wake"] == 0
        assert len(await made.journal()) <= before + 1


async def test_p10_a_glance_after_a_commit_finds_what_is_due_and_what_was_woken(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await people(made, events, 3)
        assert not await made.sweeper.glance()
        await store.execute(WAKE)
        assert await made.sweeper.glance()
        assert (await made.counts())["wake"] == 0
        await made.make_due()
        assert await made.sweeper.glance()
        assert await store.fetchval("SELECT count(*) FROM sync.link WHERE reconsider_at IS NOT NULL") == 0
        assert not await made.sweeper.glance()


async def test_p10_a_wake_during_the_sweep_is_not_lost(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await people(made, events, 1)
        await store.execute(WAKE)
        async with made.holding("SELECT FROM sync.link FOR UPDATE") as holder:
            sweeping = asyncio.create_task(made.sweeper.sweep())
            await made.waiting_for(holder)
            await holder.execute(WAKE)
        assert await sweeping
        assert (await made.counts())["wake"] == 1
        assert await made.sweeper.sweep()
        assert not await made.sweeper.sweep()


async def test_p10_a_wake_that_commits_late_under_an_earlier_number_is_not_lost(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await people(made, events, 1)
        async with made.holding(WAKE):
            await store.execute(WAKE)
            assert await made.sweep() == 1
        assert await made.sweep() == 1
        assert (await made.counts())["wake"] == 0


async def test_p10_links_decided_under_another_config_are_decided_again(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await made.connect(replace(PAIR, mappings=(MappingLine(default="name", enabled=False),)))
        assert await made.sweep() >= 1
        assert (await made.link()).config_version == 2
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        assert not await made.commands()
        await made.connect(PAIR)
        await made.sweep()
        assert one(await made.drain(), Update).fields["n"] == (PersonName(given="Eve"),)


async def test_p10_a_new_connection_sees_every_contact_that_is_there(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        receipts = await made.own(RECEIPTS)
        await people(made, events, CHUNK + 20)
        await receipts.take(*(written(create, at=10) for create in of(await made.drain(), Create)))
        await events.take(deleted("shop", "cus-0", at=20))
        await made.drain()
        await made.connect(SECOND_PAIR)
        await made.sweep()
        creates = of(await made.drain(), Create)
        assert len(creates) == CHUNK + 19
        assert {create.aim.account for create in creates} == {"annex"}
        assert not await made.sweeper.sweep()


async def test_p10_a_sweeper_that_starts_anew_finds_what_another_left(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        receipts = await made.own(RECEIPTS)
        await people(made, events, 5)
        await receipts.take(*(written(create, at=10) for create in of(await made.drain(), Create)))
        await made.connect(SECOND_PAIR)
        await store.execute(WAKE)
        async with made.holding("SELECT FROM sync.link FOR UPDATE") as holder:
            sweeping = asyncio.create_task(made.sweeper.sweep())
            await made.waiting_for(holder)
            sweeping.cancel()
            await asyncio.wait({sweeping})
        other = Rig(store, made.log)
        await other.sweep()
        assert len(of(await other.drain(), Create)) == 5
        assert (await other.counts())["wake"] == 0


async def long_lived(made: Rig) -> None:
    """Links in every state that lasts: in step, duplicate, outside, refused, held, deleted, waiting for much."""
    events, receipts = await made.own(), await made.own(RECEIPTS)
    for name in ("step", "kept", "refuse", "gone", "back", "away"):
        await active(made, events, receipts, name)
    links = {link.left.contact_id: link for link in await made.links()}
    await events.take(
        changed("shop", "twin", shop("Twin", "step@example.com"), at=50),
        changed("shop", "nobody", {"name": ("No address",)}, at=50),
        changed("shop", "waits", shop("Waits", "waits@example.com"), at=50),
        changed("shop", "refuse", shop("Refused", "refuse@example.com"), at=50),
        changed("shop", "away", shop("Away", "away@example.com"), at=50),
        changed(
            "office",
            links["kept"].right.contact_id or "",
            {"n": (PersonName(given="Ada"),), "email": ("other@example.com",)},
            at=50,
        ),
        deleted("office", links["gone"].right.contact_id or "", at=50),
        deleted("shop", "back", at=50),
    )
    for update in of(await made.commands(), Update):
        outcome = (
            Refused(reason="the app doesn't take it", fields=("n",))
            if update.aim.link == links["refuse"].id
            else Deferred(reason="account")
        )
        await receipts.take(Receipt(aim=update.aim, outcome=outcome))
    await made.pass_time(10)
    for _ in range(5):
        await made.sweep()
        await made.pass_time(10)
    await made.sweep()


async def test_p10_a_state_at_rest_stays_untouched_by_sweeps(store: Store) -> None:
    async with rig(store) as made:
        await long_lived(made)
        states = {(link.status, link.wait.reason if link.wait else None) for link in await made.links()}
        assert len(states) >= 5, states
        before = await made.content()
        for _ in range(20):
            assert not await made.sweeper.sweep()
        assert await made.content() == before
        # The clock of everything that waits may run out: it is asked again, and comes to rest again.
        await made.pass_time(4000)
        await made.sweep()
        before = await made.content()
        assert not await made.sweeper.sweep()
        assert await made.content() == before


async def test_p10_the_loop_doesn_t_spin_at_rest(store: Store) -> None:
    async with rig(store) as made:
        await long_lived(made)
        turning = asyncio.create_task(made.sweeper.run())
        calls = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        before = await store.fetchval(calls)
        await asyncio.sleep(1)
        turning.cancel()
        await asyncio.wait({turning})
        # Four turns a second, of a handful of statements each.
        assert await store.fetchval(calls) - before < 200
        assert turning.cancelled()


async def test_p10_an_account_that_is_back_wakes_who_waits_for_it(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        update = one(await made.drain(), Update)
        await receipts.take(Receipt(aim=update.aim, outcome=Deferred(reason="account")))
        await events.take(changed("shop", "cus", shop("Zoe", "cus@example.com"), at=110))
        early = of(await made.drain(), Update)
        await receipts.take(AccountBack(account="office"))
        await made.sweep()
        late = of(await made.drain(), Update)
        assert [update.fields["n"] for update in (*early, *late)] == [(PersonName(given="Zoe"),)]
        await receipts.take(written((*early, *late)[0], at=120))
        assert not await made.commands()
