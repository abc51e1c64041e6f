"""Looks and finds: shared, answered as events, and never in the way of writes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.connectors import reads
from services.contracts.app import Trouble
from services.contracts.events import ContactChanged, ContactDeleted, LookAnswer
from services.contracts.receipts import Absent, Deferred, Found, Written
from services.runtime.log import EVENTS
from services.runtime.store import Store
from tests.integration.paper import PaperApp
from tests.integration.paper_rig import aim, create, find, link, look, rig


async def test_p9_two_askers_share_one_find_and_both_are_answered(store: Store) -> None:
    async with rig(store) as at:
        at.app.add("left-paper", "c7", email="ada@example.com")
        worker = await at.worker()
        await at.took(find("ada@example.com", link(1), 1), find("ada@example.com", link(2), 4))
        await at.took(find("ada@example.com", link(1), 1))
        assert await store.fetchval("SELECT count(*) FROM connectors.read") == 1
        await at.work(worker)
        assert at.app.count("find") == 1
        (event,) = await at.said(EVENTS)
        assert isinstance(event, ContactChanged)
        assert event.origin == "find"
        reports = [report for report in await at.reports() if isinstance(report, Found)]
        assert sorted((report.link, report.number) for report in reports) == sorted([(link(1), 1), (link(2), 4)])
        assert {report.contact_ids for report in reports} == {("c7",)}


async def test_p9_a_find_without_a_hit_says_so(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(find("nobody@example.com", link(1), 2))
        await at.work(worker)
        assert await at.reports() == [
            Absent(link=link(1), account="left-paper", address="nobody@example.com", number=2)
        ]
        assert await at.said(EVENTS) == []


async def test_p9_a_look_is_answered_once_with_the_newest_number(store: Store) -> None:
    async with rig(store) as at:
        at.app.add("left-paper", "c7", email="ada@example.com")
        worker = await at.worker()
        await at.took(look("c7", 1), look("c7", 2), look("c7", 1, attempt=9))
        await at.work(worker)
        assert at.app.count("look") == 1
        (event,) = await at.said(EVENTS)
        assert isinstance(event, ContactChanged)
        assert (event.origin, event.look) == ("look", LookAnswer(2, 1))


async def test_p9_a_look_at_nobody_is_a_deletion(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(look("c404", 3))
        await at.work(worker)
        (event,) = await at.said(EVENTS)
        assert isinstance(event, ContactDeleted)
        assert event.look == LookAnswer(3, 1)


async def test_p9_who_asks_while_the_read_is_under_way_is_asked_for_anew(
    store: Store, eventually: Callable[..., Awaitable[None]]
) -> None:
    async with rig(store) as at:
        at.app.add("left-paper", "c7", email="ada@example.com")
        worker = await at.worker()
        gate = at.app.gates["left-paper"] = asyncio.Event()
        await at.took(look("c7", 1))
        step = asyncio.create_task(worker.reads.step())

        async def asked() -> bool:
            return at.app.count("look") == 1

        await eventually(asked)
        await at.took(look("c7", 2))
        gate.set()
        await step
        await at.work(worker)
        answers = [event.look for event in await at.said(EVENTS) if isinstance(event, ContactChanged) and event.look]
        assert answers == [LookAnswer(1, 1), LookAnswer(2, 1)]


async def test_p9_as_many_are_asked_at_once_as_the_app_allows_and_of_each_contact_one(
    store: Store, eventually: Callable[..., Awaitable[None]]
) -> None:
    app = PaperApp(parallel=3)
    for number in range(5):
        app.add("left-paper", f"c{number}", email=f"c{number}@example.com")
    async with rig(store, app) as at:
        worker = await at.worker()
        gate = app.gates["left-paper"] = asyncio.Event()
        await at.took(look("c0", 1))
        assert await worker.reads.step() == 0
        await at.took(look("c0", 2), *(look(f"c{number}", 1) for number in range(1, 5)))
        for _ in range(2):
            assert await worker.reads.step() == 0
        stepping = asyncio.create_task(worker.reads.step())

        async def three() -> bool:
            return app.count("look") == 3

        await eventually(three)
        assert not stepping.done()
        assert worker.reads.flights.held == [("look", f"c{number}") for number in range(3)]
        gate.set()
        while await stepping == 0:
            stepping = asyncio.create_task(worker.reads.step())
        await worker.reads.flights.land()
        await at.work(worker)
        await worker.reads.flights.land()
        await worker.flush()
        events = [event for event in await at.said(EVENTS) if isinstance(event, ContactChanged)]
        asked = sorted((event.contact_id, event.look.number) for event in events if event.look is not None)
        assert asked == [("c0", 1), ("c0", 2), ("c1", 1), ("c2", 1), ("c3", 1), ("c4", 1)]
        assert app.count("look") == 6


@pytest.mark.parametrize("parallel", [1, 3])
async def test_access_that_went_since_the_claim_stops_nobody(store: Store, parallel: int) -> None:
    app = PaperApp(parallel=parallel)
    app.add("left-paper", "c7", email="ada@example.com")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(look("c7", 1), create(aim(1)))
        for lane in (worker.reads, worker.writes):
            before, lane._desk.access = lane._desk.access, None
            assert await lane.step() == 0
            await lane.flights.land()
            assert not lane.flights.clean
            lane._desk.access = before
        assert (app.count("look"), app.count("write")) == (0, 0)
        await at.pass_time(worker, 20)
        assert app.count("look") == 1
        assert len(app.cards) == 2


async def test_p9_an_account_that_is_down_is_asked_one_thing_at_a_time(store: Store) -> None:
    app = PaperApp(parallel=3)
    app.fault("look", *[Trouble(key=503, detail="Away.")] * 50)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(*(look(f"c{number}", 1) for number in range(8)))
        for _ in range(20):
            await worker.reads.step()
            await worker.reads.flights.land()
        down = app.count("look")
        assert worker.reads.flights.held == []
        at.clock.advance(40)
        for _ in range(20):
            await worker.reads.step()
        await worker.reads.flights.land()
        assert app.count("look") == down + 1


async def test_a_failing_look_is_asked_again_later(store: Store) -> None:
    app = PaperApp()
    app.add("left-paper", "c7", email="ada@example.com")
    app.fault("look", Trouble(key=503, detail="Away."), Trouble(key="unanswered", detail="Nothing."))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(look("c7", 1))
        await at.work(worker)
        assert await at.said(EVENTS) == []
        await at.pass_time(worker, 20)
        assert len(await at.said(EVENTS)) == 1


async def test_p16_reads_and_writes_have_shares_of_their_own(store: Store) -> None:
    app = PaperApp(pace=1.0)
    async with rig(store, app) as at:
        app.add("left-paper", "c7", email="ada@example.com")
        worker = await at.worker()
        for number in range(1, 5):
            await at.took(create(aim(1, link=link(number))), look("c7", number))
        await at.work(worker)
        assert (app.count("write"), app.count("look")) == (1, 1)
        await at.pass_time(worker, 2, step=1)
        assert app.count("write") == 3


async def test_p9_a_claim_takes_one_read_whatever_plan_the_database_makes(store: Store) -> None:
    async with rig(store) as at:
        await at.worker()
        await at.took(look("c1", 1))
        await store.execute("ANALYZE connectors.read")  # one row: the planner may now put either side of a join first
        await at.took(look("c2", 1), look("c3", 1))
        async with store.transaction() as tx:
            read = await reads.claim(tx, "left-paper", at.clock.now())
            assert read is not None
            inflight = await tx.fetch("SELECT subject FROM connectors.read WHERE state = 'inflight'")
        assert [row["subject"] for row in inflight] == [read.subject]


async def test_c3_a_create_that_had_to_wait_is_checked_again_before_it_is_sent(store: Store) -> None:
    async with rig(store, PaperApp(searched=True)) as at:
        worker = await at.worker()
        await at.took(create(aim(1)), create(aim(1, link=link(2)), email="bob@example.com"))
        at.app.add("left-paper", "theirs", email="ada@example.com")  # a person's, made while it waited
        at.clock.advance(60)
        await at.work(worker)
        assert await at.outcomes() == [(1, Deferred(reason="taken"))]
        assert isinstance((await at.outcomes(link(2)))[0][1], Written)
        assert at.app.count("write") == 1
        await at.took(create(aim(2), email="else@example.com"))
        await at.work(worker)
        assert at.app.count("find") == 2  # a fresh one isn't asked about again
        assert isinstance((await at.outcomes())[-1][1], Written)


async def test_c3_a_create_isnt_sent_while_it_cannot_be_checked(store: Store) -> None:
    async with rig(store, PaperApp(searched=True)) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        at.clock.advance(60)
        at.app.fault("find", Trouble(key=500, detail="Something went wrong."))
        await at.work(worker)
        assert at.app.count("write") == 0
        assert await at.state() == "pending 1"
        await at.pass_time(worker, 10)
        assert await at.state() == "settled 1"
        assert at.app.count("write") == 1
