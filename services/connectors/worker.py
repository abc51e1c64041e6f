"""One account's worker: its lanes of reads and writes, and the publishing of what they decide."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from services.connectors.asking import ReadLane
from services.connectors.desk import Desk
from services.connectors.pacing import pause_after
from services.connectors.publish import flush
from services.connectors.writes import WriteLane
from services.runtime.log import Log, LogUnavailableError
from services.runtime.log.errors import is_passing

T = TypeVar("T")

LONGEST_STEP = 120.0
"""Seconds for one step of a lane, above those that one call of an app may take."""
LONGEST_REST = 5.0
"""Seconds after which a resting lane looks again by itself: pauses, resumes and configs change without a message."""


class Worker:
    """Works off one account, under a lease that its owner keeps. `run` ends after `finish`."""

    def __init__(self, desk: Desk, log: Log) -> None:
        self._desk = desk
        self._log = log
        self.reads = ReadLane(desk)
        self.writes = WriteLane(desk)
        self._health = desk.health
        self._woken = (asyncio.Event(), asyncio.Event())
        self.reads.flights.landed = partial(self._landed, self._woken[0])
        self.writes.flights.landed = partial(self._landed, self._woken[1])
        self._finishing = False

    @property
    def lease(self) -> int:
        """The token of the lease under which it works."""
        return self._desk.lease

    async def open(self) -> None:
        """Read the account, and take over what a former worker left: see the lanes' `recover`."""
        await self._desk.open()
        await self.writes.recover()
        await self.reads.recover()
        self._desk.said.set()

    async def run(self) -> None:
        """Open, then work until `finish`. `LeaseLostError` comes out in an exception group, and so does a bug."""
        await _patiently(self.open)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lane(self.reads.step, self._woken[0]))
                group.create_task(self._lane(self.writes.step, self._woken[1]))
                group.create_task(self._publish())
        finally:
            await asyncio.gather(self.reads.flights.land(), self.writes.flights.land())
        with contextlib.suppress(LogUnavailableError):  # the next worker publishes it
            await self.flush()

    def finish(self) -> None:
        """Begin nothing more."""
        self._finishing = True
        self.wake()

    def wake(self) -> None:
        """There may be something new to do."""
        for event in (*self._woken, self._desk.said):
            event.set()

    def _landed(self, woken: asyncio.Event) -> None:
        """An answer was recorded: there may be more for its lane, and for both if the account's health changed."""
        woken.set()
        if self._desk.health != self._health:
            self._health = self._desk.health
            self.wake()

    async def flush(self) -> int:
        """Publish what is there; return how many messages that were. Raises `LogUnavailableError`."""
        total = 0
        while count := await flush(self._desk.store, self._log, self._desk.account):
            total += count
        return total

    async def _lane(self, step: Callable[[], Awaitable[float]], woken: asyncio.Event) -> None:
        while not self._finishing:
            woken.clear()
            try:
                async with asyncio.timeout(LONGEST_STEP):
                    rest = await _patiently(step)
            except TimeoutError as error:
                # Each step reads what is there first, and puts in doubt what the one before left open.
                self._desk.log.warning("step_cut_short", seconds=LONGEST_STEP, exc_info=error)
                continue
            if rest > 0:
                await _rest(woken, min(rest, LONGEST_REST))

    async def _publish(self) -> None:
        failures = 0
        said = self._desk.said
        while not self._finishing:
            said.clear()
            try:
                await _patiently(self.flush)
            except LogUnavailableError:
                failures += 1
                structlog.get_logger().warning("reports_unpublished", account=self._desk.account, attempts=failures)
                await asyncio.sleep(min(5.0, pause_after(failures)))
                continue
            failures = 0
            await _rest(said, LONGEST_REST)


async def _patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Do `step` until the database lets it. Each step reads what is there first, so repeating one does no harm."""
    failures = 0
    while True:
        try:
            return await step()
        except Exception as error:
            if not is_passing(error):
                raise
            failures += 1
            await asyncio.sleep(min(5.0, pause_after(failures)))


async def _rest(woken: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await woken.wait()
