"""Runs of several partitions that wait at the same time are folded together: group commit without a timer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Generic, TypeVar

from services.runtime.log.errors import is_passing

_PATIENCE = 0.05
"""Seconds that one fold may take before the next begins beside it: it waits for locks then, or is a large one."""
_AT_ONCE = 8
Share = TypeVar("Share")


class _Waiting(Generic[Share]):
    def __init__(self, share: Share, size: int) -> None:
        self.share = share
        self.size = size
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        """What folds it, once it is taken, …"""
        self.beside: Sequence[_Waiting[Share]] = ()
        """… and all that this folds."""


class Gathering(Generic[Share]):
    """Folds shares in transactions of several: what comes while one is under way goes into the next one.

    One large transaction costs a fraction of what many small ones do, which also wait for each other: an event and the
    receipt that tells of the same change lock the same rows. `fold` gets shares of `most` inputs together, or a single
    one. It returns whether they are committed, and may raise: then nothing is. Where several fail, each is tried by
    itself, so that nobody fails for another one's sake; only an outage is told to all of them.
    """

    def __init__(self, fold: Callable[[Sequence[Share]], Awaitable[bool]], *, most: int) -> None:
        self._fold = fold
        self._most = most
        self._waiting: deque[_Waiting[Share]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._quick: asyncio.Task[None] | None = None
        """The one that hasn't taken long yet."""

    async def put(self, share: Share, size: int) -> bool:
        """Have a share of `size` inputs folded; return or raise what came of it.

        Whoever is cancelled has undone what was under way for nobody else by the time that this ends.
        """
        waiting = _Waiting(share, size)
        self._waiting.append(waiting)
        self._begin()
        try:
            return await waiting.done
        except asyncio.CancelledError:
            if waiting.task is not None and all(each.done.done() for each in waiting.beside):
                await _undone({waiting.task})
            raise

    async def close(self) -> None:
        """Undo what is under way; nobody may wait for it any more."""
        await _undone(self._tasks)

    def _begin(self) -> None:
        if self._quick is None and len(self._tasks) < _AT_ONCE and (taken := self._take()):
            task = self._quick = asyncio.create_task(self._work(taken), name="sync-fold")
            for one in taken:
                one.task, one.beside = task, taken
            self._tasks.add(task)
            timer = asyncio.get_running_loop().call_later(_PATIENCE, self._next_to, task)
            task.add_done_callback(partial(self._ended, taken, timer))

    def _ended(self, taken: Sequence[_Waiting[Share]], timer: asyncio.TimerHandle, task: asyncio.Task[None]) -> None:
        timer.cancel()
        for one in taken:
            one.done.cancel()  # as the task was; else it is done
        self._tasks.discard(task)
        self._next_to(task)

    def _next_to(self, task: asyncio.Task[None]) -> None:
        """Begin the next, because this one has ended or takes long."""
        if self._quick is task:
            self._quick = None
        self._begin()

    def _take(self) -> list[_Waiting[Share]]:
        taken: list[_Waiting[Share]] = []
        size = 0
        while self._waiting and (not taken or size + self._waiting[0].size <= self._most):
            waiting = self._waiting.popleft()
            if not waiting.done.done():  # its lane was cut short
                taken.append(waiting)
                size += waiting.size
        return taken

    async def _work(self, taken: Sequence[_Waiting[Share]]) -> None:
        if not await self._folded(taken):
            for one in taken:
                if not one.done.done():
                    await self._folded([one])

    async def _folded(self, taken: Sequence[_Waiting[Share]]) -> bool:
        """Fold, and tell what came of it; False if each is to be tried alone."""
        alone = len(taken) == 1
        try:
            folded = await self._fold([one.share for one in taken])
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            if not alone and not is_passing(error):
                return False
            for one in taken:
                if not one.done.done():
                    one.done.set_exception(error)
            return True
        if not folded and not alone:
            return False
        for one in taken:
            if not one.done.done():
                one.done.set_result(folded)
        return True


async def _undone(tasks: Collection[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
