"""The loop around a handler: every consumer's, with the progress in the handler's own transactions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import structlog
import tenacity

from services.runtime.log import Consumer, Log, Partition, Record
from services.runtime.log.errors import is_passing
from services.runtime.log.lane import PATIENCE, Batch, Handle, Lane, UnfinishedBatchError
from services.runtime.log.progress import Claim, Progress
from services.runtime.store import Connection, Store

__all__ = ["Batch", "Handle", "StuckError", "UnfinishedBatchError", "consume", "lag"]

_FETCH_SECONDS = 5.0
_WAIT_FOR_LOCKS = "SET LOCAL lock_timeout = '2s'"
Lags = Mapping[Partition, int]


class StuckError(Exception):
    """Records wait and nothing happens: the process has to be started again."""


async def consume(  # noqa: PLR0913 - each is a choice that its caller makes by name
    log: Log,
    store: Store,
    progress: Progress,
    *,
    group: str,
    topics: Sequence[str],
    member: str,
    handle: Handle,
    max_records: int = 500,
    stuck_after: float = 120,
    drain_seconds: float = 20,
    on_lag: Callable[[Lags], None] | None = None,
    report_seconds: float = 2,
) -> NoReturn:
    """Hand the batches of the owned partitions to `handle`, for ever; each partition at its own speed.

    `handle` must have advanced over its whole batch, in transactions of its own, when it returns. A batch that
    fails because the database or the log is away is handed over again from where the progress row is. Any other
    exception ends the loop, as does `StuckError` when a partition has records and doesn't get on for
    `stuck_after` seconds. A batch under way is given `drain_seconds` when its partition goes to another member,
    and on cancellation.
    `on_lag` is told each owned partition's unhandled records every `report_seconds`.
    """
    work = _Consumption(log, store, progress, group, handle, drain_seconds)
    async with contextlib.AsyncExitStack() as stack:
        # A log that is away when a process starts is no reason to end it.
        async for attempt in _patient(work.awaits):
            with attempt:
                consumer = await stack.enter_async_context(log.consumer(group, topics, member, work))
        await work.run(consumer, max_records, stuck_after, on_lag, report_seconds)
    raise AssertionError("a consumption ends by an exception only")


async def lag(log: Log, store: Store, progress: Progress, *, group: str, topics: Sequence[str]) -> Lags:
    """Return how many records of each partition the group hasn't handled, whoever owns it."""
    async with store.transaction(readonly=True) as connection:
        done = await progress.all(connection, group)
    bounds = {place: ends for topic in topics for place, ends in (await log.bounds(topic)).items()}
    return {place: end - done.get(place, first) for place, (first, end) in bounds.items()}


class _Consumption:
    """The lanes of one consumer; its listener."""

    def __init__(
        self, log: Log, store: Store, progress: Progress, group: str, handle: Handle, drain_seconds: float
    ) -> None:
        self._log = log
        self._store = store
        self._progress = progress
        self._group = group
        self._handle = handle
        self._drain_seconds = drain_seconds
        self._lanes: dict[Partition, Lane] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def awaits(self, state: tenacity.RetryCallState) -> None:
        """Tell that the log is away, so that nothing has begun."""
        error = state.outcome.exception() if state.outcome else None
        structlog.get_logger().warning(
            "log_awaited", group=self._group, attempt=state.attempt_number, error=type(error).__name__
        )

    async def assigned(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        """Claim the partitions and start handling them."""
        starts: dict[Partition, int] = {}
        for place in sorted(partitions):
            lane = Lane(
                place,
                store=self._store,
                progress=self._progress,
                group=self._group,
                handle=self._handle,
                claim=self._claim,
                failed=self._fail,
            )
            starts[place] = await lane.start()
            self._lanes[place] = lane
        return starts

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Finish the batches under way on the partitions, all at once, and forget them."""
        leaving = [lane for place, lane in self._lanes.items() if place in partitions]
        await asyncio.gather(*(lane.close(self._drain_seconds) for lane in leaving))
        for lane in leaving:
            self._lanes.pop(lane.partition, None)
        structlog.get_logger().info("partitions_revoked", group=self._group, partitions=len(leaving))

    async def run(
        self,
        consumer: Consumer,
        max_records: int,
        stuck_after: float,
        on_lag: Callable[[Lags], None] | None,
        report_seconds: float,
    ) -> None:
        """Fetch, watch and report until something fails."""
        tasks: set[asyncio.Future[None]] = {
            asyncio.create_task(self._pull(consumer, max_records), name=f"pull-{self._group}"),
            asyncio.create_task(
                self._watch(consumer, stuck_after, on_lag, report_seconds), name=f"watch-{self._group}"
            ),
        }
        try:
            done, _ = await asyncio.wait((*tasks, self._failure), return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _pull(self, consumer: Consumer, max_records: int) -> None:
        while True:
            found: Mapping[Partition, Sequence[Record]] = await _patient()(
                consumer.fetch, max_records=max_records, timeout=_FETCH_SECONDS
            )
            for place, records in found.items():
                # A partition revoked meanwhile is read again by its next owner.
                if records and (lane := self._lanes.get(place)):
                    lane.put(records, consumer)

    async def _watch(
        self,
        consumer: Consumer,
        stuck_after: float,
        on_lag: Callable[[Lags], None] | None,
        report_seconds: float,
    ) -> None:
        told: dict[Partition, int] = {}
        while True:
            await asyncio.sleep(report_seconds)
            lanes = dict(self._lanes)
            try:
                ends = await self._ends({place.topic for place in lanes})
                handled = {place: lane.position for place, lane in lanes.items()}
                if fresh := {place: at for place, at in handled.items() if told.get(place) != at}:
                    await consumer.commit(fresh)
                    told.update(fresh)
            except Exception as error:
                if not is_passing(error):
                    raise
                # Nobody gets on while the database is away: that is an outage, not a standstill.
                for lane in lanes.values():
                    lane.touch()
                continue
            lags = {place: max(0, ends[place] - at) for place, at in handled.items() if place in ends}
            if on_lag is not None:
                on_lag(lags)
            self._check(lanes, lags, stuck_after)

    def _check(self, lanes: Mapping[Partition, Lane], lags: Lags, stuck_after: float) -> None:
        now = asyncio.get_running_loop().time()
        for place, behind in lags.items():
            lane = lanes[place]
            if behind == 0:
                lane.touch()
            elif now - lane.alive_at > stuck_after and self._lanes.get(place) is lane:
                raise StuckError(
                    f"{self._group} has not handled a record of {place.topic}, partition {place.number}, for "
                    f"{stuck_after:.0f} s, though {behind} wait. Start the process again; the log lines before "
                    "this one say what it was doing."
                )

    async def _ends(self, topics: set[str]) -> dict[Partition, int]:
        return {place: end for topic in topics for place, (_, end) in (await self._log.bounds(topic)).items()}

    async def _claim(self, place: Partition) -> Claim:
        return await _patient()(self._claim_once, place)

    async def _claim_once(self, place: Partition) -> Claim:
        log_id = await self._log.topic_id(place.topic)
        first, _ = (await self._log.bounds(place.topic))[place]

        async def work(connection: Connection) -> Claim:
            # An earlier owner may have been stopped amid a transaction: those who wait shall not hold connections.
            await connection.execute(_WAIT_FOR_LOCKS)
            return await self._progress.claim(connection, self._group, place, log_id, first)

        return await self._store.retrying(work, repeatable=True)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # retrieved: also when another error ends the loop first


def _patient(told: Callable[[tenacity.RetryCallState], None] | None = None) -> tenacity.AsyncRetrying:
    return tenacity.AsyncRetrying(retry=tenacity.retry_if_exception(is_passing), wait=PATIENCE, before_sleep=told)
