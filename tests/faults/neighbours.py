"""What a sick account costs the others: `python -m tests.faults.neighbours [--seconds 60] [--pairs 5] [--outage 600]`.

Three connections between Stripe accounts share one process of each role. People edit customers in all three at a
steady rate, whatever becomes of it (open loop). In turns, all accounts are well, or one target refuses everything with
429 or takes a minute for every answer. Told: the p99 from an edit to the write that carries it, or a later one of its
contact, at the two healthy targets; sick over well, per pair of turns, and the median of those ratios. At the end the
target is away for the outage, and what it is written afterwards is compared with what was edited meanwhile. All of it
takes about three quarters of an hour; it gives up after twice the time that it should take.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import itertools
import statistics
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from services.connectors.stripe.sandbox.fault import Where
from services.demo.child import DemoError
from services.runtime.log import EVENTS
from tests.end_to_end.processes import until
from tests.faults.accounts import Shop
from tests.faults.campaign import _scanned
from tests.faults.crowd import share
from tests.faults.generator import Generator, address
from tests.faults.house import House, house
from tests.faults.model import Model
from tests.faults.rest import _behind, rest
from tests.faults.schedule import Make, Pair
from tests.faults.soaked import machine

PEOPLE = 120
"""In each account. They take their turns, each once in 30 seconds: 20 times in ten minutes, where 30 stop a link."""
RATE = 4.0
"""Edits a second in each connection: what it takes is far below a Stripe account's 25 a second."""
HEALTHY = (0, 1)
SICK = 2
POLL = 10.0
HANGS = 60.0
"""Seconds for which a hanging account keeps every request."""
MOST = 1.25
"""By how much the healthy accounts' p99 may grow."""
REST = 240.0
_AFTER = 3.0
_IN_DOUBT = "SELECT count(*) FROM connectors.ledger WHERE account = $1 AND state = 'unknown'"
_PAGE = Path(".contactsync") / "faults" / "neighbours.md"


@dataclass(frozen=True)
class Edit:
    """A value that a person gave: its number, whose it is, and when (the account's clock)."""

    number: int
    at: int
    person: int
    time: float


@dataclass(frozen=True)
class Turn:
    """Waits of the healthy accounts' edits while the third one was well, or sick."""

    edits: int
    p50: float
    p99: float


@dataclass
class Result:
    """All figures: per kind of sickness the pairs of turns (well, sick), and what was told of the outage."""

    pairs: dict[str, list[tuple[Turn, Turn]]] = field(default_factory=dict)
    outage: str = ""
    good: bool = True

    def ratio(self, how: str) -> float:
        """The median of sick over well."""
        return statistics.median(sick.p99 / well.p99 for well, sick in self.pairs[how])


class People:
    """People at work in all connections, and the times of what they did."""

    def __init__(self, home: House, rng: Random) -> None:
        self._home = home
        self._rng = rng
        self._turns = itertools.cycle(rng.sample(range(PEOPLE), PEOPLE))
        self._count = 0
        self.last: dict[tuple[int, int], int] = {}
        """(connection, person) -> the number of the newest value."""

    async def work(self, seconds: float) -> list[Edit]:
        """Edit for so long; return what was given."""
        loop = asyncio.get_running_loop()
        end, given = loop.time() + seconds, list[Edit]()
        due = loop.time()
        while due < end:
            await asyncio.sleep(max(0.0, due - loop.time()))
            person = next(self._turns)
            given += [self._edit(at, person) for at in range(len(self._home.pairs))]
            due += self._rng.expovariate(RATE)
        return given

    def _edit(self, at: int, person: int) -> Edit:
        shop, _ = self._home.pairs[at]
        assert isinstance(shop, Shop)
        self._count += 1
        customer = shop._find(address(at, person))
        assert customer is not None
        made = Edit(self._count, at, person, shop.sandbox.clock())
        self.last[at, person] = made.number
        shop.sandbox.dashboard.update(customer["id"], description=worded(made.number))
        return made

    def turn(self, given: list[Edit]) -> Turn:
        """How long the healthy accounts' edits waited. Everything has to have come to rest: whoever waits, counts."""
        by_person: dict[tuple[int, int], list[Edit]] = defaultdict(list)
        carried: dict[int, float] = {}
        for at in HEALTHY:
            for request in target(self._home, at).sandbox.requests.writes():
                number = numbered(str(request.params.get("description")))
                carried.setdefault(number, request.at)
        for edit in given:
            if edit.at in HEALTHY:
                by_person[edit.at, edit.person].append(edit)
        waits = []
        for key, edits in by_person.items():
            numbers = [edit.number for edit in edits if edit.number in carried]
            for edit in edits:
                later = bisect.bisect_left(numbers, edit.number)
                assert later < len(numbers), f"an edit of {address(*key)} never came"
                waits.append(min(carried[number] for number in numbers[later:]) - edit.time)
        waits.sort()
        return Turn(len(waits), share(waits, 0.5), share(waits, 0.99))


def worded(number: int) -> str:
    """A value as a person gives it."""
    return f"note {number}"


def numbered(text: str) -> int:
    """The number in a value; 0 if it is none of ours."""
    name, _, number = text.partition(" ")
    return int(number) if name == "note" and number.isdigit() else 0


def target(home: House, at: int) -> Shop:
    """The right account of a connection."""
    shop = home.pairs[at][1]
    assert isinstance(shop, Shop)
    return shop


def fall_sick(shop: Shop, how: str) -> None:
    """Let every request fail in that way from now on."""
    everything = Where(times=None)
    if how == "429":
        shop.sandbox.faults.rate_limit(everything)
    else:
        shop.sandbox.faults.slow(HANGS, everything)


async def turns(home: House, people: People, seconds: float, pairs: int, how: str, result: Result) -> None:
    """Well and sick in turns, each first as often as the other."""
    told = result.pairs.setdefault(how, [])
    for number in range(pairs):
        figures = {}
        for state in ("well", how) if number % 2 == 0 else (how, "well"):
            if state != "well":
                fall_sick(target(home, SICK), how)
            given = await people.work(seconds)
            await asyncio.sleep(_AFTER)
            target(home, SICK).sandbox.faults.clear()
            assert (left := await rest(home, REST)) == "", left
            figures[state] = made = people.turn(given)
            _tell(f"{state}: {made.edits} edits, p50 {made.p50:.3f} s, p99 {made.p99:.3f} s")
        told.append((figures["well"], figures[how]))
    result.good = result.good and result.ratio(how) <= MOST
    _tell(f"neighbours {how}: p99 sick/well median={result.ratio(how):.2f} of {pairs} pairs of {seconds:g} s")


async def outage(home: House, people: People, seconds: float, result: Result) -> None:
    """The target is away for so long; only the newest values may be written afterwards."""
    shop = target(home, SICK)
    shop.sandbox.faults.broken(Where(times=None), status=503)
    written = len(shop.sandbox.requests.writes())
    given = [edit for edit in await people.work(seconds) if edit.at == SICK]

    async def heard() -> bool:
        return not [place for place in await _behind(home) if place.topic == EVENTS]

    # Whatever people did is to be known before the target is back: it is about what waited, not about the last second.
    for each in home.shops:
        await each.sandbox.webhooks.drain()
    await until(heard, REST, "all edits are known")
    doubtful = await home.store.fetchval(_IN_DOUBT, shop.name)
    meanwhile = len(shop.sandbox.requests.writes()) - written
    shop.sandbox.faults.clear()
    back = asyncio.get_running_loop().time()
    assert (left := await rest(home, 2 * REST)) == "", left
    took = asyncio.get_running_loop().time() - back
    after = [numbered(str(each.params.get("description"))) for each in shop.sandbox.requests.writes()[written:]]
    newest = {edit.person: people.last[SICK, edit.person] for edit in given}
    older = Counter(after) - Counter(newest.values())
    only = not Counter(newest.values()) - Counter(after) and older.total() <= doubtful
    result.outage = (
        f"Away for {seconds:g} s (503 to everything), {len(given)} edits of {len(newest)} contacts: {meanwhile} writes "
        f"meanwhile, {len(after)} afterwards: each contact's newest value, and {older.total()} older ones of the "
        f"{doubtful} writes whose outcome was in doubt since it began: these are repeated first (P4). Only that: "
        f"{'yes' if only else 'no'}; at rest {took:.0f} s after it was back."
    )
    _tell(result.outage)
    result.good = result.good and only and not meanwhile


async def measured(seconds: float, pairs: int, away: float, folder: Path) -> Result:
    """Run all of it."""
    result = Result()
    async with house(folder, (Pair("stripe", PEOPLE),) * 3, syncs=1, ingests=1, connectors=1, poll=POLL) as home:
        generator = Generator(home.pairs, Model())
        for at in range(3):
            for person in range(PEOPLE):
                await generator._make(Make(0, at, person, ("left", "right")), same=True)
        async with home.roles.kept():
            await _scanned(home)
            assert (left := await rest(home, REST)) == "", left
            people = People(home, Random(1))
            await people.work(5)
            assert (left := await rest(home, REST)) == "", left
            for how in ("429", "hanging") if pairs else ():
                await turns(home, people, seconds, pairs, how, result)
            if away:
                await outage(home, people, away, result)
    return result


def report(result: Result, seconds: float) -> str:
    """The figures as a page of Markdown."""
    lines = [
        *("# What a sick account costs its neighbours", ""),
        (
            f"Three connections between Stripe accounts in one process of each role, {RATE:g} edits a second in each, "
            f"turns of {seconds:g} s; seconds from an edit at the two healthy connections to its write. {machine()}."
        ),
        "",
        "| the third account | pair | well: p50 | p99 | sick: p50 | p99 | sick/well p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    names = {"429": "answers 429 to everything", "hanging": f"keeps every request {HANGS:g} s"}
    for how, pairs in result.pairs.items():
        for number, (well, sick) in enumerate(pairs, 1):
            figures = f"{well.p50:.3f} | {well.p99:.3f} | {sick.p50:.3f} | {sick.p99:.3f}"
            lines.append(f"| {names[how]} | {number} | {figures} | {sick.p99 / well.p99:.2f} |")
        lines.append(f"| {names[how]} | **median** | | | | | **{result.ratio(how):.2f}** (at most {MOST:g}) |")
    return "\n".join([*lines, "", *([result.outage, ""] if result.outage else [])])


def expected(seconds: float, pairs: int, away: float) -> float:
    """Seconds that it takes: turns with their rest, what hangs on for a while, the outage, and the start."""
    return 4 * pairs * (seconds + _AFTER + 3 * POLL) + pairs * HANGS + (away + 120 if away else 0) + 120


def main() -> int:
    """Measure; 0 if the median ratios are 1.25 at most and the outage ended well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="one turn (60)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of turns (5)")
    parser.add_argument("--outage", type=float, default=600, help="seconds of the outage at the end (600); 0 for none")
    parser.add_argument("--page", type=Path, default=_PAGE, help=f"where the table goes ({_PAGE})")
    chosen = parser.parse_args()
    usual = expected(chosen.seconds, chosen.pairs, chosen.outage)
    _tell(f"this takes up to {usual / 60:.0f} minutes")

    async def bounded(folder: Path) -> Result:
        async with asyncio.timeout(2 * usual):
            return await measured(chosen.seconds, chosen.pairs, chosen.outage, folder)

    with tempfile.TemporaryDirectory(prefix="contactsync-neighbours-", ignore_cleanup_errors=True) as folder:
        # Every user may pass: the database's server runs as another one.
        Path(folder).chmod(0o755)
        try:
            result = asyncio.run(bounded(Path(folder)))
        except DemoError as error:
            _tell(str(error))
            return 2
    chosen.page.parent.mkdir(parents=True, exist_ok=True)
    chosen.page.write_text(report(result, chosen.seconds), encoding="utf-8")
    print(report(result, chosen.seconds))  # noqa: T201 - a command's words
    return 0 if result.good else 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's words


if __name__ == "__main__":
    sys.exit(main())
