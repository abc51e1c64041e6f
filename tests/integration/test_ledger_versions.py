"""Commands into the ledger, by version."""

import msgspec
import pytest

from services.connectors.ledger import retire
from services.contracts.receipts import Deferred, Written
from services.runtime.log import EVENTS, PARKED
from services.runtime.log.poison import PoisonedError
from services.runtime.store import Store
from tests.integration.paper import Card, PaperApp
from tests.integration.paper_rig import LINK, aim, create, link, rig, update


async def test_p1_a_side_has_one_unsettled_write(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "lose")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        assert await at.state() == "unknown 1"
        await at.took(create(aim(2), email="ada@example.com", name="Ada King"))
        assert await at.state() == "unknown 1"
        await at.pass_time(worker, 5)
        assert await at.state() == "settled 2"
        assert [n for n, _ in await at.outcomes()] == [1, 2]
        assert len(app.cards) == 1
        assert next(iter(app.cards.values())).fields["name"] == ("Ada King",)


async def test_p1_sides_of_one_link_are_apart(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(1)), create(aim(1, side="right")))
        await at.work(worker)
        assert await at.state(side="left") == await at.state(side="right") == "settled 1"


async def test_p12_a_settled_version_is_answered_again_with_the_stored_receipt(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.work(worker)
        first = await at.outcomes()
        await store.execute("DELETE FROM log.record WHERE topic = 'contacts.receipts'")
        await at.took(create(aim(1)))
        await at.work(worker)
        assert await at.outcomes() == first
        assert at.app.count("write") == 1


async def test_p12_an_older_version_is_superseded(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(5)))
        await at.work(worker)
        await at.took(create(aim(4)))
        await at.work(worker)
        assert (4, Deferred(reason="superseded")) in await at.outcomes()
        assert at.app.count("write") == 1


async def test_p12_a_newer_incarnation_outranks_every_older_version(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        at.app.add("left-paper", "c9", name="Ada")
        await at.took(update(aim(7), "c9", was="Ada", now="Ada K"))
        await at.work(worker)
        await at.took(update(aim(1, incarnation=2), "c9", was="Ada K", now="Ada King"))
        await at.work(worker)
        assert at.app.cards["left-paper", "c9"].fields["name"] == ("Ada King",)


async def test_p12_a_pending_command_gives_way_to_a_newer_one(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(1)), create(aim(2), email="ada@example.com", name="Ada King"))
        await at.work(worker)
        outcomes = dict(await at.outcomes())
        assert outcomes[1] == Deferred(reason="superseded")
        assert isinstance(outcomes[2], Written)
        assert at.app.count("write") == 1


async def test_a_doubled_command_is_written_once(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(1)), create(aim(1)))
        await at.took(create(aim(1)))
        await at.work(worker)
        assert at.app.count("write") == 1
        assert len(await at.outcomes()) == 1


async def test_what_cannot_be_read_is_parked_and_the_rest_goes_on(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        odd = create(aim(1, link="not-a-uuid"))
        records = [at.record(b"{}", "command.from_tomorrow"), at.record(odd), at.record(create(aim(1)))]
        async with store.transaction() as tx:
            assert await at.intake.take(tx, records) == {"left-paper"}
        await at.work(worker)
        assert await at.count(PARKED) == 2
        assert await at.state(LINK) == "settled 1"
        assert await at.count(EVENTS) == 0


async def test_a_command_topic_that_is_mostly_unreadable_stops_its_reader_before_anything_is_set_aside(
    store: Store,
) -> None:
    async with rig(store) as at:
        odd = [at.record(b"{}", "command.from_tomorrow") for _ in range(30)]
        with pytest.raises(PoisonedError, match=r"contacts\.commands\.paper"):
            async with store.transaction() as tx:
                await at.intake.take(tx, [*odd, at.record(create(aim(1)))])
        assert await at.count(PARKED) == 0


async def test_a_waiting_command_and_a_parked_header_may_hold_any_text(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "lose")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        odd = msgspec.structs.replace(
            at.record(b"{}", "command.from_tomorrow"), headers=(("ce_id", b"a\x00b"),), key=b"left\x00paper"
        )
        async with store.transaction() as tx:
            await at.intake.take(tx, [odd, at.record(create(aim(2), email="ada@example.com", name="Ada\x00King"))])
        assert await at.state() == "unknown 1"
        await at.pass_time(worker, 5)
        assert await at.state() == "settled 2"
        assert next(iter(app.cards.values())).fields["name"] == ("Ada\x00King",)
        # Nobody has an account of that name: the host publishes it.
        assert await store.fetchval("SELECT count(*) FROM connectors.report WHERE topic = $1", PARKED) == 1


async def test_commands_are_worked_off_oldest_first(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        for number in (3, 1, 2):
            at.clock.advance(1)
            await at.took(create(aim(1, link=link(number)), email=f"{number}@example.com"))
        await at.work(worker)
        assert [what for verb, _, what in at.app.calls if verb == "write"] == [link(3), link(1), link(2)]


async def test_p12_after_a_restore_an_open_create_is_proved_before_another_is_sent(store: Store) -> None:
    async with rig(store, PaperApp(keys=False)) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        # The copy is of this moment; the create is sent after it, and the ledger doesn't know.
        at.app.cards["left-paper", "c9"] = Card(
            {"email": ("ada@example.com",), "name": ("Ada",)}, mark=create(aim(1)).aim.link
        )
        async with store.transaction() as tx:
            await retire(tx)
        await at.took(create(aim(1)))
        await at.took(create(aim(1, incarnation=2), email="ada@example.com", name="Ada King"))
        await at.work(worker)
        assert list(at.app.cards) == [("left-paper", "c9")]
        assert at.app.cards["left-paper", "c9"].fields["name"] == ("Ada King",)
        assert [type(outcome) for _, outcome in await at.outcomes()] == [Deferred, Written]


async def test_p12_commands_that_the_copy_has_forgotten_are_not_sent_when_they_are_read_again(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        at.app.add("left-paper", "c9", name="Ada King")
        await store.execute("UPDATE registry.incarnation SET n = 2")
        await at.took(update(aim(3), "c9", was="Ada", now="Ada Byron"))
        await at.work(worker)
        assert at.app.cards["left-paper", "c9"].fields["name"] == ("Ada King",)
        assert await at.outcomes() == [(3, Deferred(reason="superseded"))]
        await at.took(update(aim(2, incarnation=2), "c9", was="Ada King", now="Ada Lovelace"))
        await at.work(worker)
        assert at.app.cards["left-paper", "c9"].fields["name"] == ("Ada Lovelace",)


async def test_p12_a_create_that_the_copy_has_forgotten_is_proved_before_another_is_sent(store: Store) -> None:
    async with rig(store, PaperApp(keys=False)) as at:
        worker = await at.worker()
        # Sent before the restore, and made; the command is still in the topic.
        at.app.cards["left-paper", "c9"] = Card(
            {"email": ("ada@example.com",), "name": ("Ada",)}, mark=create(aim(1)).aim.link
        )
        await store.execute("UPDATE registry.incarnation SET n = 2")
        await at.took(create(aim(1)))
        await at.work(worker)
        assert at.app.count("write") == 0
        await at.took(create(aim(1, incarnation=2), email="ada@example.com", name="Ada King"))
        await at.work(worker)
        assert list(at.app.cards) == [("left-paper", "c9")]
        assert at.app.cards["left-paper", "c9"].fields["name"] == ("Ada King",)
