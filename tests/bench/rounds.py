"""Competitors in turns: in each round every one of them once, beginning with another one each time."""

from __future__ import annotations

import gc
import inspect
import os
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from tests.bench.row import Run

Work = Callable[[], Run | Awaitable[Run]]
_TICKS = os.sysconf("SC_CLK_TCK")


async def rounds(count: int, **competitors: Work) -> dict[str, tuple[Run, ...]]:
    """Return the runs of each competitor; the n-th runs of all of them belong together."""
    names = list(competitors)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(count):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            made = competitors[name]()
            runs[name].append(await made if inspect.isawaitable(made) else made)
    return {name: tuple(made) for name, made in runs.items()}


class Watch:
    """Measures a `with` block: seconds on the wall, and of processor time of this process or of those given."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self.seconds = 0.0
        self.cpu = 0.0

    def __enter__(self) -> Self:
        self._cpu, self._began = self._used(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = time.perf_counter() - self._began, self._used() - self._cpu

    def _used(self) -> float:
        return sum(map(cpu_of, self._pids)) if self._pids else time.process_time()

    def rate(self, events: int) -> Run:
        """A run whose figure is events per second on the wall."""
        return Run(events / self.seconds, self.cpu / events)

    def each(self, events: int) -> Run:
        """A run whose figure is microseconds per event on the wall."""
        return Run(self.seconds / events * 1e6, self.cpu / events)

    def cpu_each(self, events: int) -> Run:
        """A run whose figure is microseconds of processor time per event: for pure work, deaf to neighbours."""
        return Run(self.cpu / events * 1e6, self.cpu / events)


def repeated(work: Callable[[], object], seconds: float) -> Callable[[], Run]:
    """A competitor that does pure work over and over for about so long; its figure is µs of processor time each."""
    work()
    began = time.process_time()
    times = 0
    while time.process_time() - began < 0.01:
        work()
        times += 1
    times = max(1, round(times * seconds / (time.process_time() - began)))

    def run() -> Run:
        turns = range(times)
        with Watch() as watch:
            for _ in turns:
                work()
        return watch.cpu_each(times)

    return run


def peak(work: Callable[[], object]) -> float:
    """Return the bytes that Python has allocated more, at most, while the work is done once: no measure of time."""
    work()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return float(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def cpu_of(pid: int) -> float:
    """Seconds of processor time that a process has used, user and system.

    Fields 14 and 15 of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, counted after the name in brackets.
    """
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int | None = None) -> float:
    """Bytes of memory that a process, this one without a number, has resident.

    https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
    """
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text("ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
