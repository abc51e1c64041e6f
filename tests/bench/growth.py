"""B9: B3 and a change's journey once more, with ten thousand, a hundred thousand and a million known contacts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.connectors.stripe.sandbox import StripeSandbox
from tests.bench import known
from tests.bench.folding import prepared
from tests.bench.place import Bench, BrokenError
from tests.bench.rounds import Work, rounds
from tests.bench.row import Measured, Row, Run, Target
from tests.end_to_end.two_stripes import House, house, live
from tests.faults.accounts import Shop
from tests.faults.crowd import Crowd, share

SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (1_000, 5_000)
EVENTS_OF_A_RUN, QUICK_EVENTS = 1_500, 100
"""At most: all runs, each of people of its own, have to do with the smallest number of known contacts."""
PEOPLE = 150
"""Who edits in the journeys; the others are known and don't move."""
RATE = 10.0
SECONDS = 15.0
_TEMPLATE = f"p{known.TOKEN}@example.com"
_REST_SECONDS = 60.0
_CALM_SECONDS = 60.0
_NOTE_SECONDS = 0.01
_MILLI = 1_000
_MICRO = 1_000_000
_RUNS, _QUICK_RUNS = 5, 2


async def rows(bench: Bench) -> list[Row]:
    """For B3 and for the journey: each size beside the smallest. Starting up the journeys is too long for a taste."""
    made = await _folding(bench)
    return made if bench.quick else [*made, *await _journeys(bench)]


async def _folding(bench: Bench) -> list[Row]:
    most = QUICK_EVENTS if bench.quick else EVENTS_OF_A_RUN
    events = min(most, _sizes(bench)[0] // (_count(bench) + 1))
    async with contextlib.AsyncExitStack() as stack:
        works: dict[str, Work] = {}
        for size in _sizes(bench):
            made = await stack.enter_async_context(prepared(bench, "postgres:", size, events))
            await made.run()  # every partition is claimed, every plan made

            async def each(made_run: Work = made.run) -> Run:
                run = made_run()
                assert not isinstance(run, Run)
                rate = await run
                return Run(_MICRO / rate.value, rate.cpu)

            works[str(size)] = each
        runs = await rounds(_count(bench), **works)
    return _grown(
        bench,
        runs,
        workload="events to state, links and outbox, embedded log",
        unit="µs per event",
        notes=(f"{events:,} events in a run, each an update of another pair",),
    )


@dataclass
class Journey:
    """An installation that knows many, and the few who edit."""

    house: House
    crowd: Crowd

    async def run(self, seconds: float) -> tuple[float, ...]:
        """Edit at `RATE` for so long; return the waits in seconds, sorted."""
        loop, crowd = asyncio.get_running_loop(), self.crowd
        crowd.waits.clear()
        begun = loop.time()
        for number in range(round(RATE * seconds)):
            moment = begun + number / RATE
            while (ahead := moment - loop.time()) > 0:
                crowd.note()
                await asyncio.sleep(min(ahead, _NOTE_SECONDS))
            crowd._edit(moment)
        async with asyncio.timeout(_CALM_SECONDS):
            while crowd.waiting:
                crowd.note()
                await asyncio.sleep(_NOTE_SECONDS)
        # What the writes themselves are told of isn't to disturb the next one.
        await self.house.rest(_REST_SECONDS)
        return tuple(sorted(wait for _, wait in crowd.waits))


@contextlib.asynccontextmanager
async def journey(bench: Bench, size: int) -> AsyncIterator[Journey]:
    """A database of its own with so many known pairs of two Stripe accounts, and everything at work."""
    crowds: list[Crowd] = []

    def seed(left: StripeSandbox, right: StripeSandbox) -> None:
        crowds.append(Crowd([(Shop("l", left), Shop("r", right))], PEOPLE))
        for shop in (left, right):
            shop.webhooks.hold()
            shop.dashboard.create(email=_TEMPLATE, name="Ada")
        crowds[0].settle_in()

    folder: Path = bench.folder / f"known-{size}"
    options = "{most_writes: 0}"
    async with bench.database() as dsn, house(dsn, folder, options=options, seed=seed) as home:
        await home.rest(_REST_SECONDS)
        left, right = (next(each["id"] for each in live(shop) if each["email"] == _TEMPLATE) for shop in home.both)
        store = home.installation.store
        await known.rename(store, left, right)
        await known.multiply(store, size)
        found = await store.fetchval("SELECT count(*) FROM sync.link WHERE status = 'active' AND unsettled = 0")
        if found <= size:
            raise BrokenError(f"{found} pairs are known, not {size}")
        yield Journey(home, crowds[0])


async def _journeys(bench: Bench) -> list[Row]:
    medians: dict[str, list[float]] = {}
    async with contextlib.AsyncExitStack() as stack:
        works: dict[str, Work] = {}
        for size in _sizes(bench):
            made = await stack.enter_async_context(journey(bench, size))
            await made.run(0.5)  # every plan is made, every connection open
            medians[str(size)] = []

            async def each(made: Journey = made, size: int = size) -> Run:
                waits = await made.run(SECONDS)
                medians[str(size)].append(_MILLI * share(waits, 0.5))
                return Run(_MILLI * share(waits, 0.99))

            works[str(size)] = each
        runs = await rounds(_count(bench), **works)
    notes = f"one pair of accounts, {RATE:g} edits a second for {SECONDS:g} s, from when the edit was due"
    middle = {name: tuple(Run(value) for value in values) for name, values in medians.items()}
    workload = "an edit to the request at the other account, embedded log"
    return [
        *_grown(bench, middle, workload=workload, unit="ms p50", notes=(notes,)),
        *_grown(bench, runs, workload=workload, unit="ms p99", notes=(notes,)),
    ]


def _grown(
    bench: Bench, runs: dict[str, tuple[Run, ...]], *, workload: str, unit: str, notes: tuple[str, ...]
) -> list[Row]:
    smallest, *others = _sizes(bench)
    merged = f"into one contact in {known.MERGED_EACH} another one was merged; databases of their own, in turns"
    return [
        Row(
            id="B9",
            workload=f"{workload}: {size:,} known pairs beside {smallest:,}",
            unit=unit,
            ours=Measured(name=f"{size:,} known pairs", runs=runs[str(size)]),
            limit=Measured(name=f"{smallest:,} known pairs", runs=runs[str(smallest)]),
            target=Target(most=1.25) if size == others[-1] else None,
            notes=(*notes, merged),
        )
        for size in others
    ]


def _sizes(bench: Bench) -> tuple[int, ...]:
    return QUICK_SIZES if bench.quick else SIZES


def _count(bench: Bench) -> int:
    return _QUICK_RUNS if bench.quick else max(_RUNS, bench.runs)
