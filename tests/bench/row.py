"""One row of the table: what was measured beside its limit and its peer, run by run, and what it comes to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal

import msgspec

Of = Literal["limit", "peer", "value"]
FEWEST = 5
"""Runs without which a spread says little."""


class Run(msgspec.Struct, frozen=True):
    """What one run of one competitor came to."""

    value: float
    """In the row's unit."""
    cpu: float | None = None
    """Seconds of processor time per event, of all its processes without the servers that all competitors share."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A competitor and its runs; without runs, `missing` says why."""

    name: str
    runs: tuple[Run, ...] = ()
    missing: str = ""
    memory: float | None = None
    """Bytes per event; the row's notes say of what kind."""

    @property
    def values(self) -> tuple[float, ...]:
        """The figure of each run, in the row's unit."""
        return tuple(run.value for run in self.runs)

    @property
    def median(self) -> float | None:
        """The median of the runs' figures, None without runs."""
        return statistics.median(self.values) if self.runs else None

    @property
    def cpu(self) -> float | None:
        """The median of seconds of processor time per event, None where it wasn't taken."""
        taken = [run.cpu for run in self.runs if run.cpu is not None]
        return statistics.median(taken) if taken else None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What our figure, divided by that of the limit or the peer (or as it is: `value`), has to be.

    `plus`, in the row's unit, is taken off our figure first: at most 2 times the limit and 15 ms more.
    """

    of: Of = "limit"
    most: float | None = None
    least: float | None = None
    plus: float = 0.0
    unit: str = ""
    """Of a target for a `value`."""

    def words(self) -> str:
        """Say it: `≤ 1.5× limit`."""
        sign, bound = ("≤", self.most) if self.most is not None else ("≥", self.least)
        if self.of == "value":
            return f"{sign} {bound:g} {self.unit}".rstrip()
        more = f" + {self.plus:g} {self.unit}".rstrip() if self.plus else ""
        return f"{sign} {bound:g}× {self.of}{more}"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A workload measured. Runs with the same number belong together: they were made one after the other."""

    id: str
    workload: str
    unit: str
    """Of all figures in it: `µs per event`, `events/s`, `ms p99`."""
    ours: Measured
    limit: Measured | None = None
    peer: Measured | None = None
    target: Target | None = None
    notes: tuple[str, ...] = ()
    """What the figures mean, and the settings that were asserted."""
    when: str = ""
    """When it was measured, if that was in another run than the page's others."""
    cause: str = ""
    """What was measured to stand between the figure and its target; told where the target is missed."""

    def ratios(self, other: Measured | None, plus: float = 0.0) -> tuple[float, ...]:
        """Return our figure over the other's, pair by pair of runs; nothing if one of them wasn't measured."""
        if other is None:
            return ()
        # A figure that has no pair, such as a limit that is a constant, stands for each of our runs.
        others = other.values * len(self.ours.runs) if len(other.runs) == 1 else other.values
        return tuple((own - plus) / its for own, its in zip(self.ours.values, others, strict=False) if its)

    @property
    def to_limit(self) -> float | None:
        """The median of our figure over the limit's."""
        return _median(self.ratios(self.limit))

    @property
    def to_peer(self) -> float | None:
        """The median of our figure over the peer's."""
        return _median(self.ratios(self.peer))

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `-` without a target or what it is about."""
        target = self.target
        if target is None:
            return "-"
        match target.of:
            case "limit":
                found = _median(self.ratios(self.limit, target.plus))
            case "peer":
                found = _median(self.ratios(self.peer, target.plus))
            case "value":
                found = self.ours.median
        if found is None:
            return "-"
        met = (target.most is None or found <= target.most) and (target.least is None or found >= target.least)
        return "met" if met else "missed"


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
