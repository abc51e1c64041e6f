"""What a soak measured, and its page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.crowd import share
from tests.faults.growth import MOST, Growth

INTRODUCTION = """\
People change contacts in pairs of Stripe accounts at a steady rate, whatever becomes of it, and every role runs as
processes on a real Kafka and a real PostgreSQL. `make soak` measures this page; a shorter one is
`make soak ARGS="--minutes 5 --rate 20"`. How it works: `docs/faults-how.md`."""
SLICE = 300.0


@dataclass(frozen=True)
class Moment:
    """What was waiting at `at` seconds: messages in the log (`lag`), and edits that aren't on the other side."""

    at: float
    lag: int
    waiting: int


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """The figures. `waits` are (the loop's time of an edit, seconds until it came to the other side)."""

    minutes: float
    rate: float
    stepped: bool
    """Whether the rate was found by stepping up."""
    pairs: int
    people: int
    begun: float
    changes: int
    coalesced: int
    late: float
    """Seconds by which an edit was given after its time, at most."""
    waiting: int
    """Edits that weren't written when people stopped."""
    calm: float
    """Seconds until they were."""
    unrest: str
    settled: float
    """Seconds from which on memory counts."""
    waits: Sequence[tuple[float, float]]
    moments: Sequence[Moment]
    growth: Growth
    ends: Sequence[str]
    """Processes that ended by themselves."""

    @property
    def kept_up(self) -> bool:
        """Whether the edits were given on time, and those of a few seconds at most were still on their way."""
        return self.waiting < 5 * self.rate and self.late < 5 and self.changes >= 0.99 * self.rate * 60 * self.minutes

    @property
    def good(self) -> bool:
        """Whether the rate was held, memory stayed, nobody ended, and everything came to rest."""
        steady = self.growth.steady(self.settled)
        return self.kept_up and steady and not self.ends and not self.unrest

    def line(self) -> str:
        """The figures in one line."""
        waits = sorted(wait for _, wait in self.waits)
        most = max(self.growth.after(self.settled).values(), default=0.0)
        return (
            f"soak: minutes={self.minutes:g} rate={self.rate:g} changes={self.changes} held={_yes(self.kept_up)} "
            f"p50={share(waits, 0.5):.3f} p99={share(waits, 0.99):.3f} most_mib_per_10_minutes={most:.2f} "
            f"rest={_yes(not self.unrest)}"
        )


def report(soaked: Soaked) -> str:
    """The page as Markdown."""
    found = "found by stepping up to it" if soaked.stepped else "as it was told"
    lines = [
        *("# A soak", "", INTRODUCTION, "", f"`{soaked.line()}`", ""),
        f"{machine()}. PostgreSQL with the product's settings: all is written through to the disk.",
        "",
        (
            f"{soaked.rate:g} changes a second for {soaked.minutes:g} minutes, {found}; {soaked.pairs} connections "
            f"between {2 * soaked.pairs} Stripe accounts with {soaked.people} contacts each. An edit was given at most "
            f"{soaked.late:.2f} s after its time; {soaked.coalesced} were edited again before they were written. When "
            f"people stopped, {soaked.waiting} weren't written yet; {soaked.calm:.1f} s later all were."
        ),
        *("", "## How long an edit takes to the other side", ""),
        "| minutes | edits | p50 | p99 | most | lag of the log, at most | edits on their way, at most |",
        "|---|---|---|---|---|---|---|",
        *_slices(soaked),
        *("", f"## Memory, from minute {soaked.settled / 60:.3g} on", ""),
        f"| process | first sample | at minute {soaked.settled / 60:.3g} | last | MiB in 10 minutes (below {MOST:g}) |",
        *("|---|---|---|---|---|", *_memory(soaked)),
    ]
    if soaked.growth.restarted:
        lines += ["", f"Started again meanwhile: {', '.join(sorted(soaked.growth.restarted))}."]
    if soaked.ends:
        lines += ["", "Ended by themselves:", "", *(f"- {end}" for end in soaked.ends)]
    if soaked.unrest:
        lines += ["", "It didn't come to rest:", "", "```", soaked.unrest, "```"]
    return "\n".join([*lines, ""])


def machine() -> str:
    """This machine in a few words: processors, memory, Python; and how busy it is."""
    info = Path("/proc/cpuinfo").read_text("utf-8", "replace") if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} processors ({model}), {gib:.0f} GiB, Python {platform.python_version()}; "
        f"a load of {load:.1f} at the end"
    )


def _slices(soaked: Soaked) -> list[str]:
    told = []
    length = min(SLICE, max(60.0, soaked.minutes * 60 / 6))
    for number in range(int(-(-soaked.minutes * 60 // length))):
        start, end = number * length, min((number + 1) * length, soaked.minutes * 60)
        waits = sorted(wait for at, wait in soaked.waits if start <= at - soaked.begun < end)
        moments = [each for each in soaked.moments if start <= each.at < end + 1]
        told.append(
            f"| {start / 60:g}-{end / 60:g} | {len(waits)} | {share(waits, 0.5):.3f} s | {share(waits, 0.99):.3f} s "
            f"| {share(waits, 1):.3f} s | {max((each.lag for each in moments), default=0)} "
            f"| {max((each.waiting for each in moments), default=0)} |"
        )
    return told


def _memory(soaked: Soaked) -> list[str]:
    grown, told = soaked.growth.after(soaked.settled), []
    for name, samples in sorted(soaked.growth.samples.items()):
        late = [mib for at, mib in samples if at >= soaked.settled] or [samples[-1][1]]
        slope = f"{grown[name]:+.2f}" if name in grown else "not known"
        told.append(f"| {name} | {samples[0][1]:.1f} | {late[0]:.1f} | {late[-1]:.1f} | {slope} |")
    return told


def _yes(good: bool) -> str:
    return "yes" if good else "no"
