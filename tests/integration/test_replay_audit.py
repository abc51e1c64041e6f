"""The audit of a real installation: inputs kept by every path, decided again, compared (G5, P17)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from services.contracts.app import Manifest
from services.contracts.commands import Update
from services.contracts.contact import Fields, PersonName
from services.contracts.envelope import Message
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from services.sync import control
from services.sync.hand import links
from services.sync.replay import checkpoint
from services.sync.replay.audit import Filters
from services.sync.replay.past import NotThereError
from services.sync.replay.run import Audited, NoStartError, run
from services.sync.restore import restore
from tests.core.bench import BOOK
from tests.integration.sync_messages import changed, deleted, message, of, scan_finished, shop, writes, written
from tests.integration.sync_rig import MANIFESTS, PAIR, Owner, Rig, drained, rig, workers

Eventually = Callable[..., Awaitable[None]]


@dataclass
class Place:
    """A partition whose messages are in the log before they are taken in."""

    made: Rig
    owner: Owner

    async def take(self, *messages: Message) -> None:
        posted = [message(one) for one in messages]
        await self.made.log.append(self.owner.place, posted)
        await self.owner.take(*posted)


async def audited(made: Rig, manifests: Mapping[str, Manifest] = MANIFESTS, filters: Filters | None = None) -> Audited:
    bounds = {**await made.log.bounds(EVENTS), **await made.log.bounds(RECEIPTS)}
    return await run(made.store, made.log.read, bounds, manifests, filters=filters)


def assert_clean(done: Audited) -> None:
    assert done.whole
    assert [each.told() for each in done.audit.differences] == []
    assert done.audit.clean


def card(given: str, address: str) -> Fields:
    return {"n": (PersonName(given=given),), "email": (address,)}


async def story(made: Rig) -> tuple[Place, Place]:
    """Everything that changes what sync knows: events, receipts, scans, sweeps, and what people say."""
    events, receipts = Place(made, await made.own()), Place(made, await made.own(RECEIPTS))
    await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
    for account in ("shop", "office"):
        for number in range(4):
            place = events if number == 0 else Place(made, await made.own(EVENTS, number))
            await place.take(scan_finished(account))
    await made.sweep()
    (create,) = writes(await made.drain())
    await receipts.take(written(create, at=10))
    await made.sweep()
    # An address that may not flow is held; a person lets it go.
    office = f"made-{create.aim.link}"
    await events.take(changed("office", office, card("Ada", "ada.king@example.com"), at=100))
    async with made.store.transaction() as database:
        (held,) = await control.held(database)
    assert await control.approve(made.store, MANIFESTS, held)
    for update in of(await made.drain(), Update):
        await receipts.take(written(update, at=110, fields=shop("Ada", "ada.king@example.com")))
    # Two strangers, linked by hand; the same again, and a batch of many.
    await events.take(
        changed("shop", "bob", shop("Bob", "bob@example.com"), at=120),
        changed("office", "robert", card("Robert", "robert@example.org"), at=121),
        changed("shop", "eve", shop("Eve", "eve@example.com"), at=122),
        changed("shop", "eve", shop("Eva", "eve@example.com"), at=123),
    )
    await made.drain()
    # Another config, then a deletion and a person's return.
    await made.connect(replace(PAIR, winner="right"))
    await made.sweep()
    await events.take(deleted("office", office, at=200))
    await made.sweep()
    await events.take(changed("office", office, card("Ada", "ada.king@example.com"), at=300))
    await made.sweep()
    return events, receipts


async def test_p17_an_audit_of_everything_finds_nothing(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        await story(made)
        content = await made.content()
        done = await audited(made)
        assert_clean(done)
        assert done.audit.transactions == done.total >= 12
        assert done.audit.messages >= 8
        assert await made.content() == content


async def test_g5_a_changed_meaning_is_told(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        await story(made)
        fields = tuple(replace(each, writable=False) if each.canonical == "name" else each for each in BOOK.fields)
        done = await audited(made, {**MANIFESTS, "book_app": replace(BOOK, fields=fields)})
        assert not done.audit.clean
        assert done.audit.counts["effect"] + done.audit.counts["writes"] + done.audit.counts["lines"] > 0
        told = "\n".join(each.told() for each in done.audit.differences)
        assert "pair link" in told
        assert "example.com" not in told
        other = await audited(
            made, {**MANIFESTS, "book_app": replace(BOOK, fields=fields)}, Filters(connection="another")
        )
        assert not other.audit.differences


async def test_p17_history_goes_on_from_a_checkpoint(store: Store, tmp_path: Path) -> None:
    async with rig(store, scanned=False) as made:
        events, _ = await story(made)
        path = tmp_path / "checkpoint"
        async with store.transaction("repeatable_read", readonly=True) as database:
            await checkpoint.take(database, path)
        assert path.stat().st_mode & 0o077 == 0
        await events.take(changed("shop", "zoe", shop("Zoe", "zoe@example.com"), at=400))
        await store.execute("UPDATE sync.input_start SET whole = false")
        with pytest.raises(NoStartError, match="--checkpoint"):
            await audited(made)
        head, world = checkpoint.read(path)
        bounds = {**await made.log.bounds(EVENTS), **await made.log.bounds(RECEIPTS)}
        done = await run(store, made.log.read, bounds, MANIFESTS, start=(head, world))
        assert_clean(done)
        assert done.audit.transactions == 1
        damaged = path.read_bytes()
        path.write_bytes(damaged[: len(damaged) // 2])
        with pytest.raises(checkpoint.DamagedError, match="cut short"):
            checkpoint.read(path)


async def test_p12_p17_a_checkpoint_in_a_restored_database_knows_what_came_before_it(
    store: Store, tmp_path: Path
) -> None:
    async with rig(store, scanned=False) as made:
        await story(made)
        # What a copy holds whose server had counted far more transactions than the new one.
        await store.execute("UPDATE sync.input SET xid = '9000000000'")
        async with store.transaction() as database:
            await restore(database, MANIFESTS, {})
        path = tmp_path / "checkpoint"
        async with store.transaction("repeatable_read", readonly=True) as database:
            await checkpoint.take(database, path)
        events = Place(made, await made.own())
        await events.take(changed("shop", "zoe", shop("Zoe", "zoe@example.com"), at=400))
        bounds = {**await made.log.bounds(EVENTS), **await made.log.bounds(RECEIPTS)}
        done = await run(store, made.log.read, bounds, MANIFESTS, start=checkpoint.read(path))
        assert_clean(done)
        assert done.audit.transactions == 1


async def test_g5_an_audit_that_was_stopped_goes_on_where_it_was(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        await story(made)
        bounds = {**await made.log.bounds(EVENTS), **await made.log.bounds(RECEIPTS)}
        half = await run(
            store, made.log.read, bounds, MANIFESTS, went=lambda audit, total: audit.transactions < total // 2
        )
        assert not half.whole
        rest = await run(store, made.log.read, bounds, MANIFESTS, start=(half.head, half.audit.world))
        assert_clean(rest)
        assert rest.audit.transactions + half.audit.transactions == half.total


async def test_p17_many_workers_at_once_leave_a_history_that_holds(store: Store, eventually: Eventually) -> None:
    async with rig(store, scanned=False) as made, workers(made):
        for account in ("shop", "office"):
            await made.log.publish_everywhere(EVENTS, message(scan_finished(account)))
        people = [
            message(each)
            for turn in range(4)
            for person in range(30)
            for each in (
                changed("shop", f"cus-{person}", shop(f"P {person}-{turn}", f"p{person % 20}@example.com"), at=turn),
                changed("office", f"card-{person}", card(f"P {turn}", f"p{(person + turn) % 25}@example.com"), at=turn),
            )
        ]
        sweeping = asyncio.create_task(made.sweeper.run())
        for at in range(0, len(people), 8):
            await made.log.publish(EVENTS, people[at : at + 8])
        await eventually(lambda: drained(made), 60)
        sweeping.cancel()
        await asyncio.wait({sweeping})
        assert_clean(await audited(made))


async def test_p17_another_log_than_that_of_then_is_noticed(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        owner = await made.own()
        await owner.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        with pytest.raises(NotThereError, match="isn't the log of then"):
            await audited(made)


async def test_p17_a_forgotten_persons_messages_are_no_difference(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        events, _ = await story(made)
        await events.take(changed("shop", "zoe", shop("Zoe", "zoe@example.com"), at=400))
        (gone,) = [each for each in await made.links() if each.left.contact_id == "zoe"]
        await store.execute(
            "DELETE FROM log.record WHERE topic = $1 AND convert_from(value, 'UTF8') LIKE '%zoe@example.com%'", EVENTS
        )
        for statement in (
            "DELETE FROM sync.contact WHERE contact_id = 'zoe'",
            "DELETE FROM sync.contact_address WHERE contact_id = 'zoe'",
        ):
            await store.execute(statement)
        await store.execute("DELETE FROM sync.link WHERE id = $1", gone.id)
        await store.execute("DELETE FROM sync.reservation WHERE link = $1", gone.id)
        done = await audited(made)
        assert_clean(done)
        assert done.audit.forgotten == 1


async def test_p17_what_was_erased_is_passed_over_and_what_cant_be_read_is_told(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        place = Place(made, await made.own())
        await place.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        headers = await store.fetchval("SELECT headers FROM log.record WHERE topic = $1", EVENTS)
        change = "UPDATE log.record SET headers = $2, value = '' WHERE topic = $1"
        for name, kind in (("contact.unheard", "error"), ("erased", "state")):
            said = msgspec.msgpack.decode(headers)
            said = [(key, name.encode() if key == "ce_type" else value) for key, value in said]
            await store.execute(change, EVENTS, msgspec.msgpack.encode(said))
            found = (await audited(made)).audit
            assert set(found.counts) == {kind, "state"}
            assert found.forgotten == (name == "erased")


async def test_c7_a_pair_made_by_hand_is_taken_as_it_is(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        events = Place(made, await made.own())
        await events.take(
            changed("shop", "bob", shop("Bob", "bob@example.com")),
            changed("office", "robert", card("Robert", "robert@example.org")),
        )
        await links.link(store, MANIFESTS, PAIR, "bob", "robert")
        await events.take(changed("shop", "bob", shop("Bob B.", "bob@example.com"), at=50))
        row = await store.fetchrow("SELECT body FROM sync.input WHERE body::text LIKE '%given%'")
        assert row is not None
        assert msgspec.json.decode(row["body"])["items"][0]["type"] == "given"
        assert_clean(await audited(made))
