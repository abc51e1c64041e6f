"""Time as an argument: a real clock, and one that tests advance."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What knows the time."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment. They never go back: the ones to measure durations with."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The machine's time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The machine's monotonic seconds."""
        return time.monotonic()


@dataclass
class ManualClock:
    """A clock that stands still until it is advanced."""

    time: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    ticks: float = 0.0

    def now(self) -> datetime:
        """The time that it was set to."""
        return self.time

    def monotonic(self) -> float:
        """The seconds that it was advanced by."""
        return self.ticks

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises `ValueError` for going back."""
        if seconds < 0:
            raise ValueError("time doesn't go back")
        self.time += timedelta(seconds=seconds)
        self.ticks += seconds
