"""Several writes in one request: which go together, and an answer to each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from services.connectors.health import FAILURES_TO_OPEN
from services.contracts.app import Pace, Trouble
from services.contracts.commands import Create, Write
from services.contracts.receipts import Deferred, Refused, Stale, Unchanged, Written
from services.runtime.app import Access, Attempt, Batches
from services.runtime.store import Store
from tests.integration.paper import Crash, PaperApp
from tests.integration.paper_rig import ACCOUNT, Rig, aim, create, link, rig, update

ALONE = Trouble(key="not_sent", detail="It goes by itself.")
MOST = 5


class Stack(PaperApp):
    """Takes several writes in one request. `items`: link -> what is answered there instead of doing it."""

    def __init__(
        self, *, batch: float = 0.0, parallel: int = 1, searched: bool = False, keys: bool = False, most: int = MOST
    ) -> None:
        super().__init__(keys=keys, parallel=parallel, searched=searched)
        pace = Pace(poll=1, read=1e6, write=1e6, burst=1000, batch=batch)
        self._manifest = msgspec.structs.replace(self._manifest, batch=most, pace=pace)
        self.items: dict[str, Trouble] = {}
        self.sizes: list[int] = []
        self.asked = asyncio.Event()

    async def write_all(
        self, access: Access, writes: Sequence[tuple[Write, Attempt]]
    ) -> Sequence[Written | Unchanged | Refused | Stale | Trouble] | Trouble:
        assert not any(attempt.n for _, attempt in writes)
        self.sizes.append(len(writes))
        self.asked.set()
        fault = await self._before("write_all", access.account, str(len(writes)))
        unanswered = Trouble(key="unanswered", detail="The app didn't answer.")
        if fault is not None and fault not in ("drop", "crash"):
            return fault if isinstance(fault, Trouble) else unanswered
        answers: list[Written | Unchanged | Refused | Stale | Trouble] = []
        for command, attempt in writes:
            answer = self.items.pop(command.aim.link, None) or self._apply(access.account, command)
            if not isinstance(answer, Trouble):
                self._answers[attempt.key] = answer
            answers.append(answer)
        if fault == "crash":
            raise Crash
        return answers if fault is None else unanswered


def person(n: int) -> Create:
    return create(aim(1, link=link(n)), email=f"{n}@example.com", name=f"Name {n}")


async def states(at: Rig) -> list[str]:
    return [row["state"] for row in await at.store.fetch("SELECT state FROM connectors.ledger ORDER BY state")]


@pytest.mark.parametrize("parallel", [1, 3])
async def test_what_is_there_goes_together_and_what_comes_alone_goes_alone(store: Store, parallel: int) -> None:
    app = Stack(parallel=parallel)
    assert isinstance(app, Batches)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(person(1))
        await at.work(worker)
        await worker.writes.flights.land()
        assert (app.sizes, app.count("write")) == ([], 1)
        await at.took(*map(person, range(2, 13)))
        await at.work(worker)
        await worker.writes.flights.land()
        await at.work(worker)
        assert (app.sizes, app.count("write")) == ([5, 5], 2)
        for n in range(1, 13):
            ((_, outcome),) = await at.outcomes(link(n))
            assert isinstance(outcome, Written)
        assert len(app.cards) == 12


async def test_each_write_is_followed_by_its_own_answer(store: Store) -> None:
    app = Stack()
    for n in range(4):
        app.add(ACCOUNT, f"c{n + 50}", name="Was")
    async with rig(store, app) as at:
        worker = await at.worker()
        app.cards[ACCOUNT, "c51"].version = 2
        app.cards[ACCOUNT, "c52"].fields["name"] = ("A person's",)
        app.cards[ACCOUNT, "c52"].version = 2
        app.items[link(4)] = ALONE
        changes = [update(aim(1, link=link(n)), f"c{n + 50}", was="Was", now="New", guard="1") for n in range(4)]
        gone = update(aim(1, link=link(5)), "nobody", was="Was", now="New", guard="1")
        await at.took(*changes[:3], person(4), gone)
        await at.pass_time(worker, 5)
        assert app.sizes == [5]
        told = {n: (await at.outcomes(link(n)))[0][1] for n in (0, 1, 2, 4, 5)}
        assert {n: type(outcome) for n, outcome in told.items()} == {
            0: Written,
            1: Written,
            2: Stale,
            4: Written,
            5: Refused,
        }
        assert [app.cards[ACCOUNT, f"c{n}"].fields["name"] for n in (50, 51, 52)] == [
            ("New",),
            ("New",),
            ("A person's",),
        ]
        # The lost guard and what goes by itself are written once more, each by itself.
        assert app.count("write") == 2


@pytest.mark.parametrize("keys", [True, False])
async def test_p4_a_lost_answer_leaves_each_in_doubt_counts_once_and_doubles_nothing(store: Store, keys: bool) -> None:
    app = Stack(keys=keys, most=FAILURES_TO_OPEN + 2)
    app.fault("write_all", "drop")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(*map(person, range(FAILURES_TO_OPEN + 2)))
        await worker.writes.step()
        assert set(await states(at)) == {"unknown"}
        row = await store.fetchrow("SELECT breaker_open_since FROM connectors.account WHERE account = $1", ACCOUNT)
        assert row is None or row["breaker_open_since"] is None
        await at.pass_time(worker, 10)
        assert set(await states(at)) == {"settled"}
        assert len(app.cards) == FAILURES_TO_OPEN + 2
        assert app.sizes == [FAILURES_TO_OPEN + 2]
        assert app.count("write") == (FAILURES_TO_OPEN + 2 if keys else 0)


@pytest.mark.parametrize("parallel", [1, 3])
async def test_p4_a_crash_leaves_each_in_doubt(store: Store, parallel: int) -> None:
    app = Stack(parallel=parallel)
    app.gates[ACCOUNT] = asyncio.Event()
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(*map(person, range(3)))
        step = asyncio.create_task(worker.writes.step())
        async with asyncio.timeout(10):
            await app.asked.wait()
        if parallel > 1:
            await step
            landing = asyncio.create_task(worker.writes.flights.land())
            await asyncio.sleep(0)
            landing.cancel()
            await asyncio.wait([landing])
        else:
            step.cancel()
            await asyncio.wait([step])
        assert await states(at) == ["inflight"] * 3
        app.gates[ACCOUNT].set()
        again = await at.worker()
        assert await states(at) == ["unknown"] * 3
        await at.pass_time(again, 5)
        assert await states(at) == ["settled"] * 3
        # Nothing had been done: what is proved absent is sent anew.
        assert len(app.cards) == 3


async def test_a_throttle_of_the_whole_request_holds_the_account_and_sends_all_again(store: Store) -> None:
    app = Stack()
    app.fault("write_all", Trouble(key=429, detail="Too many.", retry_after=60))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(*map(person, range(3)))
        await at.work(worker)
        assert await states(at) == ["pending"] * 3
        await at.pass_time(worker, 70)
        assert await states(at) == ["settled"] * 3
        # What was sent before goes by itself.
        assert (app.sizes, app.count("write")) == ([3], 3)


async def test_requests_of_several_have_a_pace_of_their_own(store: Store) -> None:
    app = Stack(batch=0.1)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(*map(person, range(8)))
        await worker.writes.step()
        await worker.writes.step()
        assert (app.sizes, app.count("write")) == ([5], 1)
        at.clock.advance(10)
        await worker.writes.step()
        assert (app.sizes, app.count("write")) == ([5, 2], 1)


async def test_p11_only_what_may_be_sent_goes_along(store: Store) -> None:
    app = Stack()
    async with rig(store, app) as at:
        worker = await at.worker()
        await store.execute(
            "INSERT INTO registry.connection (name, version, config_version, body, paused_at) "
            "VALUES ('paused', 3, 1, '{}', now())"
        )
        held = person(2)
        held = msgspec.structs.replace(held, aim=msgspec.structs.replace(held.aim, connection="paused"))
        await at.took(person(1), held, person(3))
        await at.work(worker)
        assert app.sizes == [2]
        ((_, outcome),) = await at.outcomes(link(2))
        assert isinstance(outcome, Deferred)
        assert len(app.cards) == 2


async def test_c3_a_create_that_waited_is_checked_and_goes_alone(store: Store) -> None:
    app = Stack(searched=True)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(person(1), person(2))
        at.clock.advance(60)
        app.add(ACCOUNT, "c9", email="1@example.com", name="A person's")
        await at.took(person(3), person(4))
        await at.work(worker)
        assert app.count("find") == 2
        assert (app.sizes, app.count("write")) == ([2], 1)
        ((_, outcome),) = await at.outcomes(link(1))
        assert isinstance(outcome, Deferred)
