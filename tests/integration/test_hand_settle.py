"""A person's word about what became of a write (G9, P4), beside a worker that goes on asking."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from services.connectors import hand
from services.connectors.hand import Applied, Made, Misfit, NotApplied, Word
from services.connectors.worker import Worker
from services.contracts.contact import Contact, Order
from services.contracts.envelope import derived
from services.contracts.receipts import Observation, Outcome, Written
from services.runtime.app import Undecided
from services.runtime.store import Store
from tests.integration.paper import Fault, PaperApp
from tests.integration.paper_rig import ACCOUNT, LINK, Rig, aim, create, rig, update

NEVER_KNOWN = [Undecided(reason="it can't be told", after=30)] * 500
FIRST_KEY, SECOND_KEY = derived("create", LINK, "left", 0), derived("create", LINK, "left", 1)


@asynccontextmanager
async def in_doubt(store: Store, fault: Fault, app: PaperApp | None = None) -> AsyncIterator[tuple[Rig, Worker]]:
    """An app whose answer to the first write is lost (`drop`: it was done, `lose`: not), and which can't tell."""
    app = app or PaperApp(keys=False)
    app.fault("write", fault)
    app.fault("settle", *NEVER_KNOWN)
    async with rig(store, app) as at:
        yield at, await at.worker()


async def settle(at: Rig, word: Word) -> Misfit | None:
    async with at.store.transaction() as tx:
        return await hand.settle(tx, LINK, "left", word, at.clock.now())


async def listed(at: Rig, older_than: float = 3600) -> list[hand.UnknownOutcome]:
    async with at.store.transaction(readonly=True) as tx:
        return list(await hand.unknown(tx, at.clock.now() - hand.LISTED_AFTER * (older_than / 3600)))


def contact_of(at: Rig) -> str:
    ((_, contact_id),) = at.app.cards
    return contact_id


def written(outcomes: Sequence[tuple[int, Outcome]]) -> list[Outcome]:
    return [outcome for _, outcome in outcomes if isinstance(outcome, Written)]


async def test_g9_a_create_that_made_a_contact_is_settled_with_it(store: Store) -> None:
    async with in_doubt(store, "drop") as (at, worker):
        await at.took(create(aim(1)))
        await at.pass_time(worker, 120, step=30)
        assert await at.state() == "unknown 1"
        assert not await listed(at)
        await at.pass_time(worker, 3600, step=300)
        (found,) = await listed(at)
        assert (found.link, found.side, found.kind, found.connection) == (LINK, "left", "create", "pair")
        contact_id = contact_of(at)
        assert await settle(at, Applied()) == "create"
        assert await settle(at, Made(contact_id=contact_id)) is None
        assert await settle(at, Made(contact_id=contact_id)) == "known"
        await at.pass_time(worker, 120, step=30)
        assert written(await at.outcomes()) == [Written(contact_id=contact_id, looked=True)]
        assert at.app.keys == [FIRST_KEY]
        assert not await listed(at, 0)


async def test_g9_a_create_that_made_nothing_is_sent_anew_under_another_key(store: Store) -> None:
    async with in_doubt(store, "lose") as (at, worker):
        await at.took(create(aim(1)))
        await at.pass_time(worker, 120, step=30)
        assert await settle(at, NotApplied()) is None
        await at.pass_time(worker, 10)
        assert at.app.keys == [FIRST_KEY, SECOND_KEY]
        (outcome,) = written(await at.outcomes())
        assert isinstance(outcome, Written)
        assert outcome.contact_id == contact_of(at)


@pytest.mark.parametrize(("fault", "word", "sent"), [("drop", Applied(), 1), ("lose", NotApplied(), 2)])
async def test_g9_an_update_is_settled_or_sent_anew_as_the_person_says(
    store: Store, fault: Fault, word: Word, sent: int
) -> None:
    app = PaperApp(keys=False)
    app.add(ACCOUNT, "c", name="Ada")
    async with in_doubt(store, fault, app) as (at, worker):
        await at.took(update(aim(1), "c", was="Ada", now="Countess"))
        await at.pass_time(worker, 120, step=30)
        assert await at.state() == "unknown 1"
        assert [found.kind for found in await listed(at, 0)] == ["update"]
        assert await settle(at, Made(contact_id="c")) == "no create"
        assert await settle(at, word) is None
        await at.pass_time(worker, 10)
        assert await at.state() == "settled 1"
        assert app.count("write") == sent
        assert app.cards[ACCOUNT, "c"].fields["name"] == ("Countess",)
        assert len(written(await at.outcomes())) == 1


async def test_g9_a_workers_late_answer_does_not_count_after_a_persons_word(store: Store) -> None:
    async with in_doubt(store, "drop") as (at, worker):
        await at.took(create(aim(1)))
        await at.pass_time(worker, 60, step=30)
        contact_id = contact_of(at)
        at.app.faults["settle"].clear()
        at.app.gates[ACCOUNT] = asyncio.Event()
        asked = at.app.count("settle")
        at.clock.advance(60)
        asking = asyncio.create_task(at.work(worker))
        async with asyncio.timeout(10):
            while at.app.count("settle") == asked:  # noqa: ASYNC110 - the paper app counts, and doesn't tell
                await asyncio.sleep(0.005)
        assert await settle(at, Made(contact_id=contact_id)) is None
        at.app.gates[ACCOUNT].set()
        await asking
        assert written(await at.outcomes()) == [Written(contact_id=contact_id, looked=True)]


async def test_g9_what_a_newer_version_has_more_is_written_to_the_contact_that_the_person_names(store: Store) -> None:
    async with in_doubt(store, "drop") as (at, worker):
        await at.took(create(aim(1)))
        await at.pass_time(worker, 60, step=30)
        await at.took(create(aim(2), email="ada@example.com", name="Countess"))
        contact_id = contact_of(at)
        assert await settle(at, Made(contact_id=contact_id)) is None
        await at.pass_time(worker, 60, step=30)
        assert await at.state() == "unknown 2"
        assert await settle(at, Made(contact_id=contact_id)) == "unseen"
        card = at.app.cards[ACCOUNT, contact_id]
        contact = Contact(fields=dict(card.fields), mark=card.mark, guard=str(card.version))
        shown = Observation(contact_id=contact_id, order=Order(5, 5), contact=contact)
        assert await settle(at, Made(contact_id=contact_id, seen=shown)) is None
        await at.pass_time(worker, 60, step=30)
        assert await at.state() == "settled 2"
        assert (len(at.app.cards), card.fields["name"]) == (1, ("Countess",))


async def test_g9_two_people_who_settle_one_outcome_at_once_lead_to_one_receipt(store: Store) -> None:
    async with in_doubt(store, "drop") as (at, worker):
        await at.took(create(aim(1)))
        await at.pass_time(worker, 60, step=30)
        word = Made(contact_id=contact_of(at))
        said = await asyncio.gather(settle(at, word), settle(at, word), settle(at, NotApplied()))
        assert sorted(map(str, said)) == ["None", "known", "known"]
