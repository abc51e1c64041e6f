"""B5: a change's journey, from one account to the request at the other, beside two bare hops through Kafka."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from services.runtime.log.open import open_log
from services.runtime.store import Store
from tests.bench.hops import Hops
from tests.bench.place import Bench
from tests.bench.rounds import rounds
from tests.bench.row import Measured, Row, Run, Target
from tests.bench.town import Stretch, Town, town
from tests.faults.crowd import share

RATES = (50.0, 200.0)
PAIRS, QUICK_PAIRS = 12, 2
"""Of accounts. An account is written half of its pair's changes: at 200 a second 8.3, far below Stripe's 25."""
PEOPLE, QUICK_PEOPLE = 50, 20
"""In each account. At 200 a second a contact is edited every three seconds."""
SECONDS, QUICK_SECONDS = 6.0, 1.0
"""Of a run at a steady rate."""
STEP = 1.25
"""By how much a rate is faster than the one before, on the way to the highest."""
SLOWEST = 10.0
STEP_SECONDS = 8.0
HELD_SECONDS = 60.0
Roles = Mapping[str, tuple[str, ...]]
KAFKA: Roles = {"ingest": ("ingest",), "sync": ("sync",), "connectors": ("connectors",)}
EMBEDDED: Roles = {"all-roles": ()}
_MILLI = 1_000


async def rows(bench: Bench) -> list[Row]:
    """Latency at each rate and the highest rate, on each log."""
    async with _hops(bench) as hops:
        made = await _rows(bench, "embedded log, one process", "postgres:", EMBEDDED, hops)
        if bench.kafka:
            made += await _rows(bench, "Kafka, a process for each role", f"kafka://{bench.kafka}", KAFKA, hops)
        else:
            made.append(_missing(bench.kafka_missing))
    return made


@contextlib.asynccontextmanager
async def _hops(bench: Bench) -> AsyncIterator[Hops | None]:
    if not bench.kafka:
        yield None
        return
    async with (
        bench.database() as dsn,
        Store.open(dsn, min_size=1, max_size=2) as store,
        open_log(f"kafka://{bench.kafka}", store) as log,
        Hops.open(bench.kafka, log) as hops,
    ):
        yield hops


def _missing(why: str) -> Row:
    ours = Measured(name="contactsync", missing=why)
    return Row(id="B5", workload="an edit to the request at the other account, Kafka", unit="ms p99", ours=ours)


async def _rows(bench: Bench, where: str, url: str, roles: Roles, hops: Hops | None) -> list[Row]:
    pairs, people = (QUICK_PAIRS, QUICK_PEOPLE) if bench.quick else (PAIRS, PEOPLE)
    folder = bench.folder / url.partition(":")[0]
    async with bench.database() as dsn, town(folder, dsn, url, roles=roles, pairs=pairs, people=people) as place:
        await place.work(SLOWEST, 1.0)  # every plan is made, every connection open
        made = [await _latency(bench, where, rate, place, hops) for rate in RATES[: 1 if bench.quick else None]]
        if not bench.quick:
            made.append(await _highest(where, place))
    return made


async def _latency(bench: Bench, where: str, rate: float, place: Town, hops: Hops | None) -> Row:
    seconds, count = (QUICK_SECONDS, 1) if bench.quick else (SECONDS, bench.runs)
    stretches: list[Stretch] = []
    medians: list[float] = []

    async def ours() -> Run:
        stretch = await place.work(rate, seconds)
        stretches.append(stretch)
        return Run(_MILLI * share(stretch.waits, 0.99), stretch.ours)

    async def limit() -> Run:
        assert hops is not None
        waits = await hops.run(rate, seconds)
        medians.append(_MILLI * share(waits, 0.5))
        return Run(_MILLI * share(waits, 0.99))

    runs = await rounds(count, ours=ours, **({"limit": limit} if hops is not None else {}))
    middle = sorted(stretches, key=lambda stretch: share(stretch.waits, 0.99))[len(stretches) // 2]
    held = sum(stretch.held for stretch in stretches)
    notes = [
        f"{rate:g} edits a second for {seconds:g} s, over {2 * len(place.crowd.pairs)} accounts",
        "from when the edit was due to the request at the other account, the webhook's making and sending included",
        f"p50 {_MILLI * share(middle.waits, 0.5):.0f} ms"
        + (f", of the hops {sorted(medians)[len(medians) // 2]:.1f} ms" if medians else ""),
        f"the rate was held in {held} of {len(stretches)} runs"
        + ("" if held else ": latency grows with the run's length, and says little more than that"),
        f"the machine until all of the median run was written: {middle.shares()}",
    ]
    if coalesced := sum(stretch.coalesced for stretch in stretches):
        notes.append(f"{coalesced} edits were made again before they were written, and aren't among the figures")
    return Row(
        id="B5",
        workload=f"an edit to the request at the other account, {rate:g}/s, {where}",
        unit="ms p99",
        ours=Measured(name="contactsync", runs=runs["ours"]),
        limit=Measured(
            name="two bare Kafka hops of 3 KB at this rate",
            runs=runs.get("limit", ()),
            missing="" if hops is not None else bench.kafka_missing,
        ),
        target=Target(most=2, plus=15, unit="ms") if rate == RATES[-1] else None,
        notes=tuple(notes),
        cause=_cause(middle),
    )


def _cause(stretch: Stretch) -> str:
    return (
        f"the machine writes {stretch.changes / stretch.took:.0f} changes a second, and the rest waits: each costs "
        f"{_MILLI * stretch.ours:.1f} ms of our processor time, beside the accounts, the broker and the database "
        f"on the same machine: {stretch.shares()}"
    )


async def _highest(where: str, place: Town) -> Row:
    """Step the rate up until it isn't held twice, then hold the best of them for a minute, or the next below it."""
    rate = SLOWEST
    while (await place.work(rate * STEP, STEP_SECONDS)).held or (await place.work(rate * STEP, STEP_SECONDS)).held:
        rate *= STEP
    while not (stretch := await place.work(rate, HELD_SECONDS)).held and rate > 1:
        rate /= STEP
    quantiles = ", ".join(f"p{part * 100:g} {_MILLI * share(stretch.waits, part):.0f} ms" for part in (0.5, 0.99))
    return Row(
        id="B5",
        workload=f"the highest rate of edits held for {HELD_SECONDS:g} s, {where}",
        unit="edits/s",
        ours=Measured(name="contactsync", runs=(Run(rate, stretch.ours),)),
        notes=(
            f"held: on average no more edits on their way in the last third than in the one before; {quantiles}",
            f"rates are {STEP:g} times the one before; a step that isn't held is tried once more",
            f"the machine meanwhile: {stretch.shares()}",
        ),
    )
