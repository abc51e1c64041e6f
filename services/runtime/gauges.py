"""What is read from the database and the log every few seconds, so that it can be scraped."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, TypeAlias

import structlog
from prometheus_client import Gauge

from services.runtime.log import Log, Partition
from services.runtime.log.progress import Progress
from services.runtime.metrics import Metrics
from services.runtime.store import Store

Reading: TypeAlias = Callable[[], Awaitable[None]]
"""Reads a role's gauges once, and sets them."""

EVERY = 5.0
"""Seconds between two readings."""
_BEAT = 0.5
_MOST_MARKS = 4096


async def keep(metrics: Metrics, readings: Mapping[str, Reading], seconds: float = EVERY) -> NoReturn:
    """Read every role's gauges, again and again.

    What can't be read keeps its value, and `measured_at_seconds` says since when. Whatever goes wrong here stops no
    role: it is logged once until it works again.
    """
    log = structlog.get_logger()
    failing: set[str] = set()
    while True:
        for role, read in readings.items():
            try:
                await read()
            except Exception as error:  # noqa: BLE001 - contacts go on being synchronised while nobody measures it
                if role not in failing:
                    log.warning("gauges_unread", role=role, error=type(error).__name__)
                failing.add(role)
            else:
                failing.discard(role)
                metrics.measured_at_seconds.labels(role).set_to_current_time()
        await asyncio.sleep(seconds)


async def beat(metrics: Metrics) -> NoReturn:
    """Measure how late the loop comes to what is due: it is late when somebody holds it up."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _BEAT
        await asyncio.sleep(_BEAT)
        metrics.loop_delay_seconds.observe(max(0.0, loop.time() - due))


class Rows:
    """A gauge whose labels are rows of a query: what is no longer among them goes."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._last: set[tuple[str, ...]] = set()

    def set(self, rows: Mapping[tuple[str, ...], float]) -> None:
        """Set the gauge by labels, in the order of their names."""
        for gone in self._last - rows.keys():
            self._gauge.remove(*gone)
        for labels, value in rows.items():
            self._gauge.labels(*labels).set(value)
        self._last = set(rows)


class Backlog:
    """For how long each partition's oldest unhandled message has been waiting, as far as repeated looks show. Pure."""

    def __init__(self) -> None:
        self._marks: dict[Partition, deque[tuple[float, int]]] = {}
        """When a partition's end was first seen beyond the end before; those not yet handled."""

    def look(
        self, now: float, ends: Mapping[Partition, int], handled: Mapping[Partition, int]
    ) -> dict[Partition, float]:
        """Return the seconds by partition. `now`: monotonic seconds. `handled`: the first offset that isn't."""
        waiting: dict[Partition, float] = {}
        for place, end in ends.items():
            marks = self._marks.setdefault(place, deque())
            at = handled.get(place, end)
            while marks and marks[0][1] <= at:
                marks.popleft()
            if end > (marks[-1][1] if marks else at):
                marks.append((now, end))
            if len(marks) > _MOST_MARKS:
                self._marks[place] = marks = _thinned(marks)
            waiting[place] = now - marks[0][0] if marks else 0.0
        return waiting


def _thinned(marks: deque[tuple[float, int]]) -> deque[tuple[float, int]]:
    """Every two marks as one: the earlier moment with the later end."""
    all_ = list(marks)
    halved = deque((first[0], second[1]) for first, second in zip(all_[::2], all_[1::2], strict=False))
    halved.extend(all_[-1:] if len(all_) % 2 else ())
    return halved


class Lag:
    """How far a group is behind on its topics, in messages and in seconds, whoever owns the partitions."""

    def __init__(self, log: Log, store: Store, progress: Progress, metrics: Metrics) -> None:
        self._log = log
        self._store = store
        self._progress = progress
        self._metrics = metrics
        self._backlog = Backlog()

    async def read(self, group: str, topics: tuple[str, ...]) -> None:
        """Set `lag` and `lag_seconds`. Raises what the log and the store raise."""
        async with self._store.transaction(readonly=True) as database:
            done = await self._progress.all(database, group)
        bounds = {place: ends for topic in topics for place, ends in (await self._log.bounds(topic)).items()}
        handled = {place: done.get(place, first) for place, (first, _) in bounds.items()}
        ends = {place: end for place, (_, end) in bounds.items()}
        waiting = self._backlog.look(asyncio.get_running_loop().time(), ends, handled)
        for place, end in ends.items():
            labels = place.topic, str(place.number)
            self._metrics.lag.labels(*labels).set(max(0, end - handled[place]))
            self._metrics.lag_seconds.labels(*labels).set(waiting[place])
