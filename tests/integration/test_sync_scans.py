"""The inbox (P6), the end of the first scan (P7) and what a later scan no longer shows (E6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from services.contracts.commands import Create, Look, Tag
from services.contracts.contact import Fields, PersonName
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from services.sync import control
from services.sync.control import HeldChange
from services.sync.scans import HELD_FROM
from tests.integration.sync_messages import changed, deleted, message, of, scan_finished, shop, writes
from tests.integration.sync_rig import MANIFESTS, PARTITIONS, Owner, Rig, active, rig

MIDST = "LOCK TABLE sync.journal IN SHARE MODE"


async def owners(made: Rig) -> list[Owner]:
    return [await made.own(EVENTS, number) for number in range(PARTITIONS)]


async def pass_scan(everywhere: Sequence[Owner], account: str, number: int = 1, start: float = 0) -> None:
    for owner in everywhere:
        await owner.take(scan_finished(account, number, start=start))


async def test_p6_an_event_id_counts_once_in_one_batch_and_in_two(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        first = message(changed("shop", "cus", shop("Ada", "ada@example.com")), id="evt_1")
        other = message(changed("shop", "cus", shop("Not Ada", "ada@example.com"), at=50), id="evt_1")
        await events.take(first, first, other)
        await events.take(first, other)
        assert (await made.counts())["inbox"] == 1
        assert len(of(await made.commands(), Create)) == 1
        name = await store.fetchval("SELECT state->'contact'->'fields'->'name'->>0 FROM sync.contact")
        assert name == "Ada"


async def test_p6_an_event_id_counts_once_per_account(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(message(changed("shop", "cus", shop("Ada", "ada@example.com")), id="1.1.x"))
        await events.take(message(changed("second", "cus", shop("Bob", "bob@example.com")), id="1.1.x"))
        assert (await made.counts())["contact"] == 2


async def test_p6_yesterday_s_event_is_known_today(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await store.execute("INSERT INTO sync.inbox VALUES (current_date - 1, 'shop', 'evt_1')")
        await events.take(message(changed("shop", "cus", shop("Ada", "ada@example.com")), id="evt_1"))
        assert (await made.counts())["contact"] == 0


async def test_p7_creates_wait_until_both_scans_have_ended_in_every_partition(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        everywhere = await owners(made)
        for at in range(12):
            await everywhere[at % 4].take(changed("shop", f"cus-{at}", shop("P", f"p{at}@example.com"), scan=1))
        await pass_scan(everywhere, "shop")
        await pass_scan(everywhere[:-1], "office")
        await pass_scan(everywhere[:1], "office")
        await made.sweep()
        assert not await made.commands()
        assert {link.wait.reason for link in await made.links() if link.wait} == {"scan"}
        await pass_scan(everywhere[-1:], "office")
        assert (await made.counts())["wake"] == 12
        await made.sweep()
        assert len(of(await made.commands(), Create)) == 12


async def test_p7_a_link_being_written_while_the_scan_ends_is_woken_too(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        everywhere = await owners(made)
        await pass_scan(everywhere, "shop")
        await pass_scan(everywhere[:-1], "office")
        async with made.holding(MIDST) as holder:
            taking = asyncio.create_task(everywhere[0].take(changed("shop", "cus", shop("Ada", "ada@example.com"))))
            await made.waiting_for(holder)
            ending = asyncio.create_task(pass_scan(everywhere[-1:], "office"))
            await made.locked(2)
            assert not ending.done()
        await asyncio.gather(taking, ending)
        await made.sweep()
        assert len(of(await made.commands(), Create)) == 1


async def test_p7_a_decision_that_comes_while_the_scan_ends_comes_after_it(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        everywhere = await owners(made)
        await pass_scan(everywhere, "shop")
        await everywhere[0].take(changed("shop", "first", shop("Eve", "eve@example.com")))
        await pass_scan(everywhere[:-1], "office")
        async with made.holding("LOCK TABLE sync.wake IN SHARE MODE") as holder:
            ending = asyncio.create_task(pass_scan(everywhere[-1:], "office"))
            await made.waiting_for(holder)
            taking = asyncio.create_task(everywhere[0].take(changed("shop", "cus", shop("Ada", "ada@example.com"))))
            await made.locked(2)
            assert not taking.done()
        await asyncio.gather(taking, ending)
        assert [create.addresses for create in of(await made.drain(), Create)] == [("ada@example.com",)]
        await made.sweep()
        assert [create.addresses for create in of(await made.drain(), Create)] == [("eve@example.com",)]


async def all_known(made: Rig) -> bool:
    return (await made.counts())["contact"] == 3 * 7


async def test_p7_the_end_of_a_scan_gets_through_while_others_decide_without_a_pause(
    store: Store, eventually: Callable[..., Awaitable[None]]
) -> None:
    async with rig(store, scanned=False) as made:
        everywhere = await owners(made)
        await pass_scan(everywhere, "shop")
        over = asyncio.Event()

        async def decide(owner: Owner) -> int:
            turn = 0
            while not over.is_set():
                turn += 1
                contact = f"{owner.place.number}-{turn % 7}"
                await owner.take(changed("shop", contact, shop(str(turn), f"{contact}@example.com"), at=turn * 10))
            return turn

        busy = [asyncio.create_task(decide(owner)) for owner in everywhere[:3]]
        await eventually(lambda: all_known(made))
        async with asyncio.timeout(20):
            for number in range(1, 6):
                await pass_scan(everywhere[3:], "office", number)
        over.set()
        await asyncio.gather(*busy)
        assert await store.fetchval("SELECT count(*) FROM sync.scan_pass WHERE account = 'office'") == 5


async def known(made: Rig, everywhere: Sequence[Owner], count: int) -> None:
    """So many contacts of the office, seen by its first scan, without partners."""
    for at in range(count):
        fields: Fields = {"n": (PersonName(given=str(at)),), "email": (f"p{at}@example.com",)}
        await everywhere[at % 4].take(changed("office", f"card-{at}", fields, scan=1))
    await pass_scan(everywhere, "office", 1)
    await made.drain()


async def test_p7_contacts_that_a_scan_no_longer_shows_are_looked_at(store: Store) -> None:
    async with rig(store) as made:
        everywhere = await owners(made)
        await known(made, everywhere, HELD_FROM - 1)
        await everywhere[3].take(changed("office", "new", {"email": ("new@example.com",)}, at=200))
        await made.drain()
        await pass_scan(everywhere, "office", 2, start=100)
        assert not await held_changes(made)
        await made.sweep()
        looks = of(await made.drain(), Look)
        assert {look.contact_id for look in looks} == {f"card-{at}" for at in range(HELD_FROM - 1)}
        assert (await made.counts())["suspect"] == 0


async def test_p7_a_suspect_is_looked_at_before_its_partner_is_tagged(store: Store) -> None:
    async with rig(store) as made:
        everywhere, receipts = await owners(made), await made.own(RECEIPTS)
        link = await active(made, everywhere[0], receipts)
        await pass_scan(everywhere, "office", 2, start=100)
        await made.sweep()
        (look,) = of(await made.drain(), Look)
        assert look.contact_id == link.right.contact_id
        await everywhere[1].take(deleted("office", look.contact_id, at=110, look=look.look))
        assert not writes(await made.drain())
        await made.sweep()
        assert not await made.drain()
        await made.pass_time(3)
        await made.sweep()
        assert [tag.contact_id for tag in of(await made.drain(), Tag)] == ["cus"]


async def held_changes(made: Rig) -> Sequence[HeldChange]:
    async with made.store.transaction() as database:
        return await control.held(database)


async def suspects(made: Rig) -> HeldChange:
    """Twenty contacts at once are gone: a person is asked."""
    everywhere = await owners(made)
    await known(made, everywhere, HELD_FROM)
    await pass_scan(everywhere, "office", 2, start=100)
    await made.sweep()
    assert not await made.commands()
    (change,) = await held_changes(made)
    assert (change.kind, change.account, change.value) == ("deletions", "office", str(HELD_FROM))
    return change


async def test_e6_many_suspects_wait_for_a_yes_and_are_then_looked_at(database: str, store: Store) -> None:
    async with rig(store) as made:
        change = await suspects(made)
        async with Store.open(database) as restarted:
            assert await control.approve(restarted, MANIFESTS, change)
            assert not await control.approve(restarted, MANIFESTS, change)
        assert not await held_changes(made)
        await made.sweep()
        assert len(of(await made.drain(), Look)) == HELD_FROM


async def test_e6_many_suspects_that_a_person_rejects_are_let_be(store: Store) -> None:
    async with rig(store) as made:
        change = await suspects(made)
        assert await control.reject(store, MANIFESTS, change)
        assert not await control.reject(store, MANIFESTS, change)
        await made.sweep()
        assert not await held_changes(made)
        assert not await made.commands()


async def test_e6_a_repeated_end_of_a_scan_asks_nobody_again(store: Store) -> None:
    async with rig(store) as made:
        change = await suspects(made)
        assert await control.reject(store, MANIFESTS, change)
        for number in range(PARTITIONS):
            await (await made.own(EVENTS, number)).take(scan_finished("office", 2, start=100))
        assert not await held_changes(made)
