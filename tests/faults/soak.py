"""Half an hour of people at work: `python -m tests.faults.soak [--minutes 30] [--rate N] [--page FILE]`.

Every role as a process of its own on a real Kafka and a real PostgreSQL, pairs of Stripe accounts, no faults. Without
`--rate` the rate is stepped up first, to the highest of at most 200 changes a second at which no change waits longer
and longer. Then it is held. Each process's memory is sampled every ten seconds; from minute 5 on it may grow by less
than 1 MiB in ten minutes. In the end everything has to have come to rest, and the page says what was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from services.demo.child import DemoError
from tests.faults.campaign import _scanned
from tests.faults.crowd import Crowd, share
from tests.faults.growth import Growth
from tests.faults.house import House, house
from tests.faults.rest import _behind, rest
from tests.faults.schedule import Pair
from tests.faults.soaked import Moment, Soaked, report

STEPS = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0, 180.0, 200.0)
"""Changes a second, tried one after the other."""
STEP_SECONDS = 20.0
PROMPT = 0.25
"""Seconds for half of the edits: with more of them they queue up, and half an hour is longer than 20 seconds."""
PAIRS = 12
"""Of accounts. An account is written half of its pair's changes: at 200 a second 8.3, far below Stripe's 25."""
ROUND = 60.0
"""Seconds after which the same contact is edited again: ten times in ten minutes, where 30 writes stop a link."""
EVERY = 10.0
"""Seconds between two samples."""
WARM_SECONDS = 60.0
SETTLED = 300.0
"""Seconds until memory has what it needs."""
_PAGE = Path(".contactsync") / "faults" / "soak.md"


@dataclass
class Soak:
    """A soak under way."""

    home: House
    crowd: Crowd
    growth: Growth = field(default_factory=Growth)
    moments: list[Moment] = field(default_factory=list)

    async def fastest(self) -> float:
        """Return the highest of the rates that is held."""
        # A stretch that isn't judged: what first scans leave the database to clean up is another matter.
        await self.crowd.work(STEPS[0], WARM_SECONDS)
        await self.calm(240)
        best = STEPS[0]
        for rate in STEPS:
            begun = await self.crowd.work(rate, STEP_SECONDS)
            now = asyncio.get_running_loop().time()
            late = self.crowd.between(begun + STEP_SECONDS / 2, now)
            behind, oldest = self.crowd.waiting, self.crowd.oldest(now)
            holds = behind < 2 * rate and oldest < STEP_SECONDS / 4 and share(late, 0.5) < PROMPT
            told = f"p50 {share(late, 0.5):.2f} s, p99 {share(late, 0.99):.2f} s, {behind} not written yet"
            _tell(f"{rate:g} changes a second: {told}{'' if holds else ': too fast'}")
            await self.calm(240)
            if not holds:
                break
            best = rate
        return best

    async def calm(self, seconds: float) -> None:
        """Wait until everything that was given is written."""
        async with asyncio.timeout(seconds):
            while self.crowd.waiting:
                self.crowd.note()
                await asyncio.sleep(0.1)

    async def hold(self, rate: float, seconds: float) -> float:
        """Let people work at the rate for so long, and sample; return when it began (the loop's time)."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        sampling = asyncio.create_task(self._sample(begun), name="sampling")
        try:
            await self.crowd.work(rate, seconds)
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
        return begun

    async def _sample(self, begun: float) -> None:
        loop = asyncio.get_running_loop()
        for number in range(1, 1_000_000):
            await asyncio.sleep(max(0.0, begun + number * EVERY - loop.time()))
            self.home.roles.failed()
            at = loop.time() - begun
            self.growth.sample(at, pids(self.home))
            lag = sum((await _behind(self.home)).values())
            self.moments.append(Moment(at, lag, self.crowd.waiting))
            self.crowd.forget()
            if number % 6 == 0:
                waits = self.crowd.between(begun + at - 60, begun + at)
                figures = f"p50 {share(waits, 0.5):.2f} s, p99 {share(waits, 0.99):.2f} s"
                _tell(f"minute {number // 6}: {figures}, {self.crowd.waiting} not written yet, lag {lag}")


def pids(home: House) -> dict[str, int]:
    """The processes of the roles that run now."""
    running = {role.name: role._process for role in home.roles if role.running}
    return {name: process.pid for name, process in running.items() if process is not None}


async def soaked(minutes: float, wanted: float | None, people: int, folder: Path) -> Soaked:
    """Run it, and return what was measured."""
    async with house(folder, (Pair("stripe", people),) * PAIRS, syncs=2, ingests=1, connectors=1, poll=30.0) as home:
        crowd = Crowd(home.pairs, people)
        crowd.settle_in()
        # What stands now stays: the accounts are many objects, and looking through them all is a pause for everybody.
        gc.freeze()
        async with home.roles.kept():
            _tell(f"{2 * PAIRS * people} contacts are read for the first time")
            await _scanned(home)
            assert (left := await rest(home, 240)) == "", left
            soak = Soak(home, crowd)
            rate = wanted or await soak.fastest()
            crowd.waits.clear()
            crowd.late, given, coalesced = 0.0, crowd.given, crowd.coalesced
            _tell(f"holding {rate:g} changes a second for {minutes:g} minutes")
            begun = await soak.hold(rate, 60 * minutes)
            waiting = crowd.waiting
            ended = asyncio.get_running_loop().time()
            await soak.calm(300)
            calm = asyncio.get_running_loop().time() - ended
            unrest = await rest(home, 240)
            return Soaked(
                minutes=minutes,
                rate=rate,
                stepped=wanted is None,
                pairs=PAIRS,
                people=people,
                begun=begun,
                changes=crowd.given - given,
                coalesced=crowd.coalesced - coalesced,
                late=crowd.late,
                waiting=waiting,
                calm=calm,
                unrest=unrest,
                settled=min(SETTLED, 20 * minutes),
                waits=crowd.waits,
                moments=soak.moments,
                growth=soak.growth,
                ends=home.roles.own_ends,
            )


def main() -> int:
    """Measure; 0 if the rate was held, no process grew, and all came to rest."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long the rate is held (30)")
    parser.add_argument("--rate", type=float, help="changes a second; found by stepping up by default")
    parser.add_argument("--page", type=Path, default=_PAGE, help=f"where the report goes ({_PAGE})")
    parser.add_argument("--keep", type=Path, help="keep logs and data in this folder")
    chosen = parser.parse_args()
    people = math.ceil((chosen.rate or STEPS[-1]) * ROUND / PAIRS)
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="contactsync-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    # Every user may pass: the database's server runs as another one.
    folder.chmod(0o755)
    try:
        ended = asyncio.run(soaked(chosen.minutes, chosen.rate, people, folder))
    except DemoError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's words
        return 2
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    chosen.page.parent.mkdir(parents=True, exist_ok=True)
    chosen.page.write_text(report(ended), encoding="utf-8")
    print(f"report: {chosen.page}")  # noqa: T201 - as above
    print(ended.line())  # noqa: T201 - as above
    return 0 if ended.good else 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's words


if __name__ == "__main__":
    sys.exit(main())
