"""One decision at a time per person (P0), on real rows and with two workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Look, Tag, Update
from services.contracts.connection import Connection, Options
from services.contracts.contact import Fields, PersonName
from services.contracts.envelope import derived
from services.contracts.events import ContactMerged, ContactTouched
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.log import Message as Posted
from services.runtime.store import Store
from services.sync.core.take import Reconsider
from services.sync.transact import Cause, transact
from tests.integration.sync_messages import changed, deleted, message, of, one, scan_finished, shop, writes, written
from tests.integration.sync_rig import PAIR, Rig, active, drained, rig, workers

PAIRS = 200
GAINS = "INSERT INTO sync.contact_address VALUES ($1, 'shop', 'cus')"
Eventually = Callable[..., Awaitable[None]]
OPEN = replace(PAIR, options=Options(avoid_duplicates=False))
"""Contacts without an address take part, too."""


def both_sides(person: int) -> list[Posted]:
    address = f"p{person}@example.com"
    left = changed("shop", f"cus-{person}", shop(f"P {person}", address))
    fields: Fields = {"n": (PersonName(given="P", family=str(person)),), "email": (address,)}
    return [message(left), message(changed("office", f"card-{person}", fields))]


async def publish_people(made: Rig) -> None:
    for at in range(0, PAIRS, 10):
        await made.log.publish(EVENTS, [each for person in range(at, at + 10) for each in both_sides(person)])


async def test_p0_both_sides_new_at_once_make_one_link_per_person(store: Store, eventually: Eventually) -> None:
    async with rig(store, scanned=False) as made, workers(made):
        await publish_people(made)
        await eventually(lambda: drained(made), 30)
        links = await made.links()
        assert len(links) == PAIRS
        assert {(link.status, link.paired) for link in links} == {("active", True)}
        for account in ("shop", "office"):
            await made.log.publish_everywhere(EVENTS, message(scan_finished(account)))
        await eventually(lambda: drained(made))
        await made.sweep()
        assert not of(await made.commands(), Create)


async def test_p0_both_sides_new_at_once_make_one_create_per_person(store: Store, eventually: Eventually) -> None:
    async with rig(store) as made, workers(made):
        await publish_people(made)
        await eventually(lambda: drained(made), 30)
        await made.sweep()
        creates = of(await made.commands(), Create)
        per_person = Counter(create.fields["email"] for create in creates)
        assert not per_person or max(per_person.values()) == 1
        alone = [link for link in await made.links() if not link.paired and not link.unsettled]
        assert {link.wait.reason for link in alone if link.wait} <= {"receipt"}
        assert len(alone) == len(creates)
        assert len(await made.links()) == PAIRS + len(alone)


async def test_p0_a_receipt_an_event_and_a_sweep_of_one_link_at_once(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        for turn in range(1, 31):
            at = 100.0 * turn
            await events.take(changed("shop", "cus", shop(f"Ada {turn}", "cus@example.com"), at=at))
            update = one(await made.drain(), Update)
            await made.make_due()
            told: Fields = {"n": (PersonName(given="Ada", family=str(turn)),), "email": ("cus@example.com",)}
            await asyncio.gather(
                receipts.take(written(update, at=at + 10, fields=told)),
                events.take(
                    changed("shop", "cus", shop(f"Ada {turn}", "cus@example.com", phone="+1 202 555 0101"), at=at + 20)
                ),
                made.sweeper.sweep(),
            )
            follow = one(await made.drain(), Update)
            assert follow.fields == {"tel": ("+1 202 555 0101",)}
            told = {**told, "tel": ("+1 202 555 0101",)}
            await receipts.take(written(follow, at=at + 30, fields=told))
            assert not writes(await made.drain())
            await events.take(changed("shop", "cus", shop(f"Ada {turn}", "cus@example.com"), at=at + 40))
            clearing = one(await made.drain(), Update)
            await receipts.take(written(clearing, at=at + 50, fields={**told, "tel": ()}))
        after = (await made.links())[0]
        assert after.right.issued == after.right.settled
        assert not writes(await made.drain())


async def test_p0_a_contact_that_gains_an_address_in_between_is_decided_with_more_locks(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(changed("shop", "cus", shop("B", "b@example.com")))
        async with made.holding("SELECT FROM sync.address WHERE address = 'b@example.com' FOR UPDATE") as database:
            # It has named its keys and waits for the first: what it finds there isn't what it has seen.
            taking = asyncio.create_task(events.take(deleted("shop", "cus", at=10)))
            await made.locked(1)
            await database.execute(GAINS, "c@example.com")
        await taking
        assert await store.fetchval("SELECT count(*) FROM sync.address WHERE address = 'c@example.com'") == 1
        assert await store.fetchval("SELECT deleted FROM sync.contact")


async def test_p0_a_batch_that_cannot_hold_its_locks_together_falls_apart(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(changed("shop", "cus", shop("B", "b@example.com")))
        await made.drain()
        people = [changed("shop", f"cus-{at}", shop("P", f"p{at}@example.com")) for at in range(5)]
        async with made.holding("INSERT INTO sync.address VALUES ('c@example.com')") as later:
            async with made.holding("SELECT FROM sync.address WHERE address = 'b@example.com' FOR UPDATE") as database:
                taking = asyncio.create_task(events.take(*people, deleted("shop", "cus", at=10)))
                await made.locked(1)
                await database.execute(GAINS, "c@example.com")
            # The second time it waits for the address that was new to it, and by then there is one more.
            await made.waiting_for(later)
            await later.execute(GAINS, "d@example.com")
        await taking
        assert "batch_split" in capsys.readouterr().out
        assert len(of(await made.commands(), Create)) == len(people)
        assert await store.fetchval("SELECT next_offset FROM sync.progress WHERE topic = $1", EVENTS) == len(people) + 2
        assert await store.fetchval("SELECT deleted FROM sync.contact WHERE contact_id = 'cus'")


async def test_p0_first_sights_of_a_contact_without_an_address_in_two_partitions(store: Store) -> None:
    """Nothing is there to lock: neither address nor contact nor link has a row yet."""
    async with rig(store, OPEN) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await events.take(changed("shop", "cus", {"name": ("Ada",)}))
        create = one(await made.drain(), Create)
        async with made.holding("LOCK TABLE sync.contact IN SHARE MODE"):
            both = asyncio.gather(
                receipts.take(written(create, at=10, contact_id="card", fields={"n": (PersonName(full="Ada"),)})),
                events.take(ContactTouched(account="office", contact_id="card", origin="webhook")),
            )
            await made.locked(2)
        await both
        link = await made.link()
        assert (link.left.contact_id, link.right.contact_id) == ("cus", "card")
        assert await store.fetchval("SELECT state->'contact' FROM sync.contact WHERE contact_id = 'card'") is not None


async def test_p0_two_writers_of_the_same_people_never_end_in_a_deadlock(database: str, store: Store) -> None:
    async with rig(store, PAIR, Connection(name="second-pair", left="second", right="office")) as made:
        people = [f"p{at}@example.com" for at in range(12)]
        owners = [await made.own(EVENTS, number) for number in range(4)]

        async def feed(number: int) -> None:
            account = ("shop", "office", "second", "shop")[number]
            for turn in range(15):
                start = (turn * 5 + number * 3) % len(people)
                mine = [people[(start + at * (1 if number % 2 else -1)) % len(people)] for at in range(6)]
                await owners[number].take(
                    *(
                        changed(
                            account,
                            f"{number}-{address}",
                            {"email": (address,), "phone": (f"+120255501{turn:02}",)},
                            at=turn * 10,
                        )
                        for address in mine
                    )
                )

        async def sweep() -> None:
            for _ in range(15):
                await made.make_due()
                await made.sweeper.sweep()

        await asyncio.gather(*(feed(number) for number in range(4)), sweep())
        # Whatever had to be repeated was repeated: everything is in, each reservation has one holder.
        assert await store.fetchval("SELECT sum(next_offset) FROM sync.progress") == 4 * 15 * 6
        creates = of(await made.commands(), Create)
        held = Counter((create.aim.account, address) for create in creates for address in create.addresses)
        assert not held or max(held.values()) == 1


async def test_p0_a_deadlock_is_repeated(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        for name in ("a", "b"):
            await events.take(changed("shop", name, shop(name, f"{name}@example.com")))
        await made.drain()
        holder = await asyncpg.connect(store.dsn)
        try:
            await holder.execute("SET deadlock_timeout = '10s'")
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute("SELECT FROM sync.contact WHERE contact_id = 'a' FOR UPDATE")
            taking = asyncio.create_task(events.take(changed("shop", "a", shop("A", "a@example.com"), at=10)))
            await made.locked(1)
            # The worker holds the address and waits for the contact; now the other way round.
            await holder.execute("SELECT FROM sync.address WHERE address = 'a@example.com' FOR UPDATE")
            await transaction.rollback()
            await taking
        finally:
            await holder.close()
        assert (
            await store.fetchval(
                "SELECT state->'contact'->'fields'->'name'->>0 FROM sync.contact WHERE contact_id = 'a'"
            )
            == "A"
        )


async def test_p0_what_nobody_knows_is_no_trouble(store: Store) -> None:
    async with rig(store) as made:
        ghost = derived("link", "nobody's")

        async def begin(_: object) -> list[Cause]:
            return [Cause(item=Reconsider(link=ghost), type="reconsider", id=ghost)]

        assert await transact(store, made.worker.configs, begin)
        assert not await made.links()


async def test_c5_a_merge_is_followed_across_transactions_and_partitions(store: Store) -> None:
    async with rig(store) as made:
        one_place, another = await made.own(EVENTS, 0), await made.own(EVENTS, 1)
        link = await active(made, one_place, await made.own(RECEIPTS))
        gone = link.right.contact_id or ""
        heir: Fields = {"n": (PersonName(given="Bob", family="Hill"),), "email": ("bob@example.com",)}
        await one_place.take(ContactMerged(account="office", contact_id=gone, into="heir", origin="webhook"))
        looks = {look.contact_id: look.look for look in of(await made.commands(), Look)}
        await another.take(changed("office", "heir", heir, at=200, look=looks["heir"]))
        await one_place.take(deleted("office", gone, at=200, look=looks[gone]))
        assert {each.right.contact_id for each in await made.links() if each.left.contact_id == "cus"} == {"heir"}
        assert of(await made.commands(), Tag) == []
