"""Writes whose outcome nobody knows, and how they are settled."""

import asyncio

import pytest

from services.contracts.app import Trouble
from services.contracts.envelope import derived
from services.contracts.receipts import Deferred, Refused, Stale, Unknown, Written
from services.runtime.app import Undecided
from services.runtime.log import RECEIPTS
from services.runtime.store import Store
from tests.integration.paper import Crash, PaperApp
from tests.integration.paper_rig import ACCOUNT, LINK, aim, create, link, rig, update

FIRST_KEY = derived("create", LINK, "left", 0)
SECOND_KEY = derived("create", LINK, "left", 1)


async def test_p4_an_answer_lost_after_the_change_is_asked_for_under_the_same_key(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "drop")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.work(worker)
        await at.pass_time(worker, 5)
        ((_, outcome),) = await at.outcomes()
        assert isinstance(outcome, Written)
        assert outcome.replayed
        assert app.keys == [FIRST_KEY, FIRST_KEY]
        assert len(app.cards) == 1


async def test_p4_without_keys_the_app_is_asked_and_nothing_is_sent_twice(store: Store) -> None:
    app = PaperApp(keys=False)
    app.fault("write", "drop")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 5)
        ((_, outcome),) = await at.outcomes()
        assert isinstance(outcome, Written)
        assert outcome.looked
        assert len(app.cards) == 1
        assert app.count("write") == 1


@pytest.mark.parametrize(("keys", "verb"), [(True, "write"), (False, "settle")])
async def test_p4_a_write_in_doubt_is_cleared_up_once_at_a_time(store: Store, keys: bool, verb: str) -> None:
    app = PaperApp(keys=keys, parallel=4)
    app.fault("write", "drop")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        await worker.writes.flights.land()
        assert await at.state() == "unknown 1"
        at.clock.advance(10)
        app.gates[ACCOUNT] = asyncio.Event()
        before = app.count(verb)
        for _ in range(10):
            await worker.writes.step()
            await asyncio.sleep(0)
        assert app.count(verb) == before + 1
        app.gates[ACCOUNT].set()
        await worker.writes.flights.land()
        assert await at.state() == "settled 1"
        assert len(app.cards) == 1


async def test_p4_the_key_rises_only_on_proof_that_nothing_was_made(store: Store) -> None:
    app = PaperApp(keys=False)
    app.fault("write", "lose")
    app.fault("settle", Undecided(reason="too early", after=30), Undecided(reason="too early", after=30))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 40)
        assert app.keys == [FIRST_KEY]
        assert await at.state() == "unknown 1"
        await at.pass_time(worker, 60)
        assert app.keys == [FIRST_KEY, SECOND_KEY]
        assert await at.state() == "settled 1"
        assert len(app.cards) == 1


@pytest.mark.parametrize("key", [400, 404, 409, 412, 500, "unanswered"])
async def test_p4_a_question_that_fails_proves_nothing(store: Store, key: int | str) -> None:
    app = PaperApp(keys=False)
    app.fault("write", "drop")
    app.fault("settle", Trouble(key=key, detail="That question isn't answered."))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        at.clock.advance(1)
        await at.work(worker)
        assert await at.state() == "unknown 1"
        await at.pass_time(worker, 10)
        assert app.keys == [FIRST_KEY]
        assert isinstance((await at.outcomes())[0][1], Written)
        assert len(app.cards) == 1


async def test_p4_a_refused_repetition_proves_nothing_about_the_first_sending(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "drop", Trouble(key=403, detail="The key lost that right."))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 10)
        ((_, outcome),) = await at.outcomes()
        assert isinstance(outcome, Written)
        assert app.count("settle") == 1
        assert len(app.cards) == 1


async def test_p4_a_replayed_failure_is_not_repeated_for_ever(store: Store) -> None:
    app = PaperApp()
    failure = Trouble(key=500, detail="The app failed.")
    app.fault("write", failure, failure)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 20)
        assert app.keys == [FIRST_KEY, FIRST_KEY, SECOND_KEY]
        assert app.count("settle") == 1
        assert len(app.cards) == 1


async def test_p4_after_the_keys_lifetime_the_app_is_asked_instead(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "drop")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        at.clock.advance(app.manifest.key_lifetime + 1)
        await at.work(worker)
        assert app.count("write") == 1
        assert app.count("settle") == 1
        assert await at.state() == "settled 1"


async def test_p4_a_later_create_repeats_the_frozen_body_and_its_difference_follows(store: Store) -> None:
    app = PaperApp(keys=False)
    app.fault("write", "drop")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1), email="ada@example.com", name="Ada", phone="1"))
        await worker.writes.step()
        await at.took(create(aim(2), email="ada@example.com", name="Ada King"))
        await at.pass_time(worker, 5)
        assert len(app.cards) == 1
        card = next(iter(app.cards.values()))
        assert card.fields == {"email": ("ada@example.com",), "name": ("Ada King",), "phone": ()}
        outcomes = dict(await at.outcomes())
        second = outcomes[2]
        assert isinstance(second, Written)
        assert second.looked
        assert second.seen is not None
        assert second.seen.contact.fields["name"] == ("Ada King",)


async def test_p4_a_deferred_create_that_was_attempted_keeps_key_and_body(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "drop")
    app.fault("settle", *[Undecided(reason="too early", after=1)] * 2)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        await store.execute("UPDATE registry.account SET removed_at = now()")
        await at.pass_time(worker, 10)
        assert await at.outcomes() == [(1, Deferred(reason="config", attempted=True))]
        await store.execute("UPDATE registry.account SET removed_at = NULL")
        at.clock.advance(10)
        await at.took(create(aim(2)))
        await at.pass_time(worker, 5)
        assert app.keys == [FIRST_KEY, FIRST_KEY]
        assert len(app.cards) == 1
        assert isinstance(dict(await at.outcomes())[2], Written)


async def test_p4_an_unknown_outcome_is_told_after_a_minute_and_blocks_its_side_only(store: Store) -> None:
    app = PaperApp(keys=False)
    app.fault("write", "lose")
    app.fault("settle", *[Undecided(reason="too early", after=20)] * 10)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        at.clock.advance(1)
        await at.took(create(aim(1, link=link(2)), email="bob@example.com"))
        await at.pass_time(worker, 50)
        assert await at.outcomes() == []
        assert isinstance((await at.outcomes(link(2)))[0][1], Written)
        await at.pass_time(worker, 60)
        ((_, told),) = await at.outcomes()
        assert isinstance(told, Unknown)
        assert told.reason == "too early"


async def test_p4_an_update_in_doubt_is_settled_by_its_value(store: Store) -> None:
    app = PaperApp(keys=False)
    app.add("left-paper", "c9", name="Ada")
    app.fault("write", "drop", "lose")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(update(aim(1), "c9", was="Ada", now="Ada King"))
        await at.pass_time(worker, 5)
        assert app.count("write") == 1
        await at.took(update(aim(2), "c9", was="Ada King", now="Ada L"))
        await at.pass_time(worker, 5)
        assert app.count("write") == 3
        assert app.cards["left-paper", "c9"].fields["name"] == ("Ada L",)


async def test_a_killed_worker_leaves_a_doubt_that_the_next_one_settles(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "crash")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        with pytest.raises(Crash):
            await worker.writes.step()
        assert await at.state() == "inflight 1"
        await at.work(await at.worker())
        assert await at.state() == "settled 1"
        assert len(app.cards) == 1
        assert isinstance((await at.outcomes())[0][1], Written)


async def test_a_crash_between_answer_and_publication_publishes_once_more(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.work(worker, publish=False)
        assert await at.state() == "settled 1"
        assert await at.count(RECEIPTS) == 0
        await at.work(await at.worker())
        assert await at.count(RECEIPTS) == 1
        assert at.app.count("write") == 1


async def test_p14_a_lost_guard_is_written_once_more_when_our_fields_are_as_expected(store: Store) -> None:
    app = PaperApp()
    card = app.add("left-paper", "c9", name="Ada", phone="1")
    async with rig(store, app) as at:
        worker = await at.worker()
        card.fields["phone"] = ("2",)
        card.version = 2
        await at.took(update(aim(1), "c9", was="Ada", now="Ada King", guard="1"))
        await at.work(worker)
        assert card.fields == {"name": ("Ada King",), "phone": ("2",)}
        assert isinstance((await at.outcomes())[0][1], Written)


async def test_p14_a_lost_guard_over_a_changed_field_is_stale(store: Store) -> None:
    app = PaperApp()
    card = app.add("left-paper", "c9", name="Augusta")
    card.version = 2
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(update(aim(1), "c9", was="Ada", now="Ada King", guard="1"))
        await at.work(worker)
        ((_, outcome),) = await at.outcomes()
        assert isinstance(outcome, Stale)
        assert outcome.seen.contact.fields["name"] == ("Augusta",)
        assert card.fields["name"] == ("Augusta",)


async def test_an_answer_that_blames_the_value_is_a_refusal(store: Store) -> None:
    app = PaperApp()
    app.fault("write", Trouble(key=400, detail="The name is too long.", field="name"))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.work(worker)
        assert await at.outcomes() == [(1, Refused(reason="The name is too long.", code="400", fields=("name",)))]
        await at.took(create(aim(2)))
        await at.work(worker)
        assert app.keys == [FIRST_KEY, SECOND_KEY]


async def test_a_contact_that_is_gone_is_reported_and_not_made_again(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(update(aim(1), "c404", was="Ada", now="Ada King"))
        await at.work(worker)
        ((_, outcome),) = await at.outcomes()
        assert isinstance(outcome, Refused)
        assert outcome.gone
        assert at.app.cards == {}
