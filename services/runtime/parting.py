"""The end of a process: it may take its time, and no more than that."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

import structlog

from services.runtime.health import Health

DRAIN_SECONDS = 40.0
"""For all roles to finish what they have begun: a batch, a write, leaving their groups."""
CANCEL_SECONDS = 5.0
"""For what was cancelled after that."""
LAST_SECONDS = 60.0
"""From the signal to the end, whatever happens; orchestrators are told to wait a little longer before they kill."""


class Parting(asyncio.Event):
    """The event that everything in the process ends by.

    Once it is set, the process has `seconds` to end by itself; else it is ended hard, with status 1. That is seen to on
    a thread of its own: what keeps a process from ending may well hold its loop.
    """

    def __init__(self, seconds: float = LAST_SECONDS, leave: Callable[[int], object] = os._exit) -> None:
        super().__init__()
        self._seconds = seconds
        self._leave = leave
        self._timer: threading.Timer | None = None

    def set(self) -> None:
        """Begin the end."""
        super().set()
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def over(self) -> None:
        """Note that it ended in time."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        structlog.get_logger().error("end_cut_short", seconds=self._seconds)
        self._leave(1)


async def until_the_end(
    endless: AbstractSet[asyncio.Task[Any]], ending: AbstractSet[asyncio.Task[Any]], stop: asyncio.Event, health: Health
) -> None:
    """Wait for `stop`, or until a task fails; then let all of them finish. Raises what the task raised.

    `endless` tasks are cancelled at once, and finish what they have begun; `ending` ones end by themselves when `stop`
    is set. The process isn't ready any more from then on.
    """
    stopping = asyncio.create_task(stop.wait(), name="stop")
    everything = {*endless, *ending, stopping}
    try:
        done, _ = await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        health.draining = True
        stop.set()
        failed = _told(done)
        for task in endless:
            task.cancel()
        ended, late = await asyncio.wait(everything, timeout=DRAIN_SECONDS)
        _told(ended - done)
        for task in late:
            structlog.get_logger().warning("role_cut_short", role=task.get_name(), seconds=DRAIN_SECONDS)
        if failed:
            failed[0].result()
    finally:
        for task in everything:
            task.cancel()
        await asyncio.wait(everything, timeout=CANCEL_SECONDS)


def _told(tasks: AbstractSet[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Log the failures among tasks that have ended, and return them."""
    failed = [task for task in tasks if not task.cancelled() and task.exception() is not None]
    for task in failed:
        structlog.get_logger().error("role_failed", role=task.get_name(), error=_kind(task.exception()))
    return failed


def _kind(error: BaseException | None) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
