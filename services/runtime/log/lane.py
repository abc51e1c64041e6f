"""One owned partition: its records are handled one batch after the other, beside every other partition's."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import structlog
import tenacity

from services.runtime.log import Consumer, FencedError, Partition, Record
from services.runtime.log.errors import is_passing
from services.runtime.log.progress import Claim, Progress
from services.runtime.store import Connection, Store

_CANCEL_SECONDS = 5.0
_RECLAIM_SECONDS = 1.0
"""How long a fenced owner waits to be told that it lost the partition, before it claims it again."""
PATIENCE = tenacity.wait_random_exponential(multiplier=0.05, max=5)


class UnfinishedBatchError(Exception):
    """A handler returned without having advanced over its whole batch: a mistake in the handler."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in order, for a handler that moves the progress in its own transactions."""

    partition: Partition
    epoch: int
    start: int
    """The offset the progress row has now."""
    records: Sequence[Record]
    _progress: Progress = field(repr=False)
    _group: str = field(repr=False)
    _reached: Callable[[int], None] = field(repr=False)

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.records[-1].offset + 1 if self.records else self.start

    async def advance(self, connection: Connection, upto: int | None = None) -> None:
        """Move the progress to `upto`, the offset after the last handled record (all by default).

        It is part of the caller's transaction. Raises `FencedError`: then nothing of that may be committed.
        """
        goal = self.end if upto is None else upto
        if not self.start <= goal <= self.end:
            raise ValueError(f"can't advance to {goal}: the batch goes from {self.start} to {self.end}")
        await self._progress.advance(
            connection, self._group, self.partition, epoch=self.epoch, start=self.start, upto=goal
        )
        self._reached(goal)

    def rest(self, after: int) -> Batch:
        """Return what is left once a transaction with `advance(…, after)` has been committed."""
        left = [record for record in self.records if record.offset >= after]
        return replace(self, start=after, records=left)


Handle: TypeAlias = Callable[[Batch], Awaitable[None]]


class Lane:
    """Handles one partition, from its claim to its revocation."""

    def __init__(
        self,
        partition: Partition,
        *,
        store: Store,
        progress: Progress,
        group: str,
        handle: Handle,
        claim: Callable[[Partition], Awaitable[Claim]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self.partition = partition
        self._store = store
        self._progress = progress
        self._group = group
        self._handle = handle
        self._claim = claim
        self._failed = failed
        self._queue: deque[Sequence[Record]] = deque()
        self._filled = asyncio.Event()
        self._closing = asyncio.Event()
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._epoch = 0
        self._reached = self._expected = self.position = 0
        """`position`: the first offset that is not handled yet."""
        self._fenced = self._sought = self._doubtful = False
        self.alive_at = asyncio.get_running_loop().time()
        """When it last got on, had nothing to do, or knew why it couldn't; the loop's clock."""

    async def start(self) -> int:
        """Claim the partition and begin; return the offset to read from."""
        await self._own()
        self._task = asyncio.create_task(self._run(), name=f"lane-{self._group}-{self.partition}")
        return self.position

    def put(self, records: Sequence[Record], consumer: Consumer) -> None:
        """Take what was fetched. One batch may wait while another is handled, and no more."""
        self._consumer = consumer
        if self._fenced or self._closing.is_set():
            return
        if self._sought and records[0].offset != self._expected:
            # Fetched before the last seek.
            self._sought = False
            consumer.seek(self.partition, self._expected)
            return
        self._sought = False
        self._expected = records[-1].offset + 1
        self._queue.append(records)
        consumer.pause(self.partition)
        self._filled.set()

    async def close(self, seconds: float) -> None:
        """Finish the batch under way, for up to `seconds`, and nothing after it; then cancel."""
        self._closing.set()
        self._filled.set()
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=seconds)
        if not self._task.done():
            structlog.get_logger().warning(
                "lane_cut_short", group=self._group, topic=self.partition.topic, partition=self.partition.number
            )
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CANCEL_SECONDS)

    def touch(self) -> None:
        """Note that it gets on, or that there is a known reason why it doesn't."""
        self.alive_at = asyncio.get_running_loop().time()

    async def _own(self) -> None:
        self._epoch, self.position = await self._claim(self.partition)
        self._reached = self._expected = self.position
        self._doubtful = False
        self.touch()

    async def _run(self) -> None:
        try:
            while not self._closing.is_set():
                await self._filled.wait()
                if self._closing.is_set() or not self._queue:
                    self._filled.clear()
                    continue
                records = self._queue.popleft()
                if self._consumer is not None:
                    self._consumer.resume(self.partition)
                try:
                    await self._patiently(records)
                except FencedError:
                    await self._fence()
        except Exception as error:  # noqa: BLE001 - the loop that owns this lane raises it
            if not (self._closing.is_set() and is_passing(error)):
                self._failed(error)

    async def _patiently(self, records: Sequence[Record]) -> None:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(is_passing),
            wait=PATIENCE,
            stop=lambda _: self._closing.is_set(),
            sleep=self._nap,
            before_sleep=self._troubled,
            reraise=True,
        )
        await retrying(self._attempt, records)

    async def _attempt(self, records: Sequence[Record]) -> None:
        if self._doubtful:
            await self._look()
        self._doubtful = True
        left = [record for record in records if record.offset >= self.position]
        if left:
            batch = Batch(self.partition, self._epoch, self.position, left, self._progress, self._group, self._reach)
            await self._handle(batch)
            if self._reached != batch.end:
                raise UnfinishedBatchError(
                    f"The handler of {self._group} returned at offset {self._reached} of "
                    f"{self.partition.topic}, partition {self.partition.number}, though its batch ends at {batch.end}."
                )
            self.position = batch.end
        self._doubtful = False
        self.touch()

    async def _look(self) -> None:
        """Learn from the progress row what of the batch was committed before things went wrong."""
        async with self._store.transaction(readonly=True) as connection:
            row = await self._progress.read(connection, self._group, self.partition)
        if row is None or row.epoch != self._epoch:
            raise FencedError(f"{self.partition}: another owner has claimed it")
        self.position = self._reached = row.next_offset

    async def _fence(self) -> None:
        structlog.get_logger().warning(
            "lane_fenced", group=self._group, topic=self.partition.topic, partition=self.partition.number
        )
        self._fenced = True
        self._queue.clear()
        # Whoever claims at once after a rightful owner fences that one in turn, and so on to and fro.
        await self._nap(_RECLAIM_SECONDS)
        if self._closing.is_set():
            return
        await self._own()
        self._queue.clear()
        self._fenced, self._sought = False, True
        if self._consumer is not None:
            self._consumer.seek(self.partition, self.position)
            self._consumer.resume(self.partition)

    def _reach(self, offset: int) -> None:
        self._reached = offset
        self.touch()

    def _troubled(self, state: tenacity.RetryCallState) -> None:
        self.touch()
        error = state.outcome.exception() if state.outcome else None
        structlog.get_logger().warning(
            "batch_retried",
            group=self._group,
            topic=self.partition.topic,
            partition=self.partition.number,
            attempt=state.attempt_number,
            error=type(error).__name__,
        )

    async def _nap(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
