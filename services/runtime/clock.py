"""Time as an argument: a real clock, and one that tests advance."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
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


class DatabaseClock:
    """The database's time of day, told by this machine's clock and a measured difference.

    Orders of observations made by several processes compare by one clock this way. The difference is as exact as
    half the round trip of the best of five measurements.
    """

    def __init__(self) -> None:
        self._ahead = timedelta()

    async def measure(self, ask: Callable[[], Awaitable[datetime]]) -> None:
        """Measure the difference anew; `ask` returns the database's `clock_timestamp()`."""
        measured: list[tuple[timedelta, timedelta]] = []
        for _ in range(5):
            before = datetime.now(UTC)
            there = await ask()
            after = datetime.now(UTC)
            measured.append((after - before, there - before - (after - before) / 2))
        self._ahead = min(measured)[1]

    def now(self) -> datetime:
        """The database's time of day in UTC."""
        return datetime.now(UTC) + self._ahead

    def monotonic(self) -> float:
        """This machine's monotonic seconds."""
        return time.monotonic()
