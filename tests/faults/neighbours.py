"""What a sick account costs the others: `python -m tests.faults.neighbours [--seconds 60] [--pairs 5] [--outage 600]`.

Three connections between Stripe accounts share one process of each role. People edit customers in all three at a
steady rate, whatever becomes of it (open loop). In turns, all accounts are well, or one target refuses everything with
429 or takes a minute for every answer. Printed: the p99 from an edit to the write that carries it at the two healthy
targets, sick over well, per pair of turns, and the median of those ratios. At the end the target is away for the
outage, and what it is written afterwards is compared with what was edited meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from services.connectors.stripe.sandbox.fault import Where
from tests.faults.accounts import Shop
from tests.faults.campaign import _scanned
from tests.faults.generator import Generator, address
from tests.faults.house import House, house
from tests.faults.model import Model
from tests.faults.rest import rest
from tests.faults.schedule import Make, Pair

PEOPLE = 30
RATE = 4.0
"""Edits a second in each connection: what it takes is far below a Stripe account's 25 a second."""
HEALTHY = (0, 1)
SICK = 2


class People:
    """People at work in all connections, and the times of what they did."""

    def __init__(self, home: House, rng: Random) -> None:
        self._home = home
        self._rng = rng
        self._edits = 0
        self.edited: dict[str, tuple[int, float]] = {}
        """Value -> connection, and when it was given."""
        self.last: dict[tuple[int, int], str] = {}
        """(connection, person) -> the newest value."""

    async def work(self, seconds: float) -> set[str]:
        """Edit for so long; return the values given."""
        loop = asyncio.get_running_loop()
        end, given = loop.time() + seconds, set[str]()
        due = loop.time()
        while due < end:
            await asyncio.sleep(max(0.0, due - loop.time()))
            for at in range(len(self._home.pairs)):
                given.add(self._edit(at))
            due += self._rng.expovariate(RATE)
        return given

    def _edit(self, at: int) -> str:
        shop, _ = self._home.pairs[at]
        assert isinstance(shop, Shop)
        self._edits += 1
        person, value = self._rng.randrange(PEOPLE), f"note {self._edits}"
        customer = shop._find(address(at, person))
        assert customer is not None
        self.edited[value] = at, shop.sandbox.clock()
        self.last[at, person] = value
        shop.sandbox.dashboard.update(customer["id"], description=value)
        return value

    def waits(self, given: set[str]) -> list[float]:
        """Seconds from each edit to the write that carried its value to a healthy target."""
        found = {}
        for at in HEALTHY:
            for request in target(self._home, at).sandbox.requests.writes():
                value = str(request.params.get("description"))
                if value in given and value not in found and self.edited[value][0] == at:
                    found[value] = request.at - self.edited[value][1]
        return sorted(found.values())


def target(home: House, at: int) -> Shop:
    """The right account of a connection."""
    shop = home.pairs[at][1]
    assert isinstance(shop, Shop)
    return shop


def p99(waits: Sequence[float]) -> float:
    """The 99th percentile."""
    return waits[min(len(waits) - 1, int(0.99 * len(waits)))]


def fall_sick(shop: Shop, how: str) -> None:
    """Let every request fail in that way from now on."""
    everything = Where(times=None)
    if how == "429":
        shop.sandbox.faults.rate_limit(everything)
    else:
        shop.sandbox.faults.slow(60, everything)


async def turns(home: House, office: People, seconds: float, pairs: int, how: str) -> float:
    """Well and sick in turns; return the median of the ratios."""
    ratios = []
    for number in range(pairs):
        figures = {}
        for state in ("well", how) if number % 2 == 0 else (how, "well"):
            if state != "well":
                fall_sick(target(home, SICK), how)
            given = await office.work(seconds)
            await asyncio.sleep(3)
            waits = office.waits(given)
            target(home, SICK).sandbox.faults.clear()
            assert (left := await rest(home, 240)) == "", left
            figures[state] = p99(waits)
            print(f"  {state}: {len(waits)} edits, p50 {waits[len(waits) // 2]:.3f} s, p99 {p99(waits):.3f} s")  # noqa: T201
        ratios.append(figures[how] / figures["well"])
    ratio = statistics.median(ratios)
    told = ", ".join(f"{each:.2f}" for each in ratios)
    print(f"neighbours {how}: p99 sick/well median={ratio:.2f} of {pairs} pairs of {seconds:g} s ({told})")  # noqa: T201
    return ratio


async def outage(home: House, office: People, seconds: float) -> bool:
    """The target is away for so long; whether only the newest values were written afterwards."""
    shop = target(home, SICK)
    shop.sandbox.faults.broken(Where(times=None), status=503)
    written = len(shop.sandbox.requests.writes())
    begun = shop.sandbox.clock()
    given = await office.work(seconds)
    shop.sandbox.faults.clear()
    back = shop.sandbox.clock()
    assert (left := await rest(home, 300)) == "", left
    after = [str(each.params.get("description")) for each in shop.sandbox.requests.writes()[written:]]
    people = {person: value for (at, person), value in office.last.items() if at == SICK and value in given}
    early = [each for each in shop.sandbox.requests.writes()[written:] if begun + 60 < each.at < back]
    newest = sorted(after) == sorted(people.values())
    edits = sum(office.edited[value][0] == SICK for value in given)
    print(  # noqa: T201
        f"outage: {seconds:g} s, {edits} edits of {len(people)} contacts, {len(after)} writes afterwards, "
        f"only the newest values: {newest}, written meanwhile: {len(early)}"
    )
    return newest and not early


async def measured(seconds: float, pairs: int, away: float, folder: Path) -> bool:
    """Run all of it; whether the others were left alone."""
    async with house(folder, (Pair("stripe", PEOPLE),) * 3, syncs=1, ingests=1, connectors=1, poll=30.0) as home:
        generator = Generator(home.pairs, Model())
        for at in range(3):
            for person in range(PEOPLE):
                await generator._make(Make(0, at, person, ("left", "right")), same=True)
        async with home.roles.kept():
            await _scanned(home)
            assert (left := await rest(home, 120)) == "", left
            office = People(home, Random(1))
            await office.work(5)
            good = [await turns(home, office, seconds, pairs, how) <= 1.25 for how in ("429", "hanging")]
            if away:
                good.append(await outage(home, office, away))
    return all(good)


def main() -> int:
    """Measure; 0 if the median ratios are 1.25 at most and the outage ended well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.neighbours", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="one turn (60)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of turns (5)")
    parser.add_argument("--outage", type=float, default=600, help="seconds of the outage at the end (600); 0 for none")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="contactsync-neighbours-") as folder:
        Path(folder).chmod(0o755)
        good = asyncio.run(measured(chosen.seconds, chosen.pairs, chosen.outage, Path(folder)))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
