"""The sync service: worker, sweeper, relay and housekeeping side by side."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NoReturn

from services.contracts.app import Manifest
from services.runtime.log import Log
from services.runtime.log.consume import Batch
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from services.sync.days import keep_days
from services.sync.gauges import SyncGauges
from services.sync.latency import Latency
from services.sync.relay import Relay
from services.sync.sweeper import Sweeper
from services.sync.worker import Worker


class Sync:
    """Everything sync does in one process. `manifests` is by app; `metrics` may be left out where nobody reads them."""

    def __init__(
        self, store: Store, log: Log, manifests: Mapping[str, Manifest], metrics: Metrics | None = None
    ) -> None:
        metrics = metrics or Metrics()
        self.relay = Relay(store, log, metrics)
        self.sweeper = Sweeper(store, manifests, self._committed)
        self.latency = Latency(store, metrics)
        self.worker: Worker = _MeasuredWorker(store, log, manifests, self._committed, metrics, self.latency)
        self._gauges = SyncGauges(store, log, metrics)
        self._store = store

    def _committed(self) -> None:
        self.relay.woken.set()
        self.sweeper.woken.set()

    async def run(self, member: str) -> NoReturn:
        """Run until cancelled; any part's failure ends the whole."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.worker.run(member), name="sync-worker")
            group.create_task(self.sweeper.run(), name="sync-sweeper")
            group.create_task(self.relay.run(), name="sync-relay")
            group.create_task(keep_days(self._store), name="sync-days")
        raise AssertionError("sync ends by an exception only")

    async def measure(self) -> None:
        """Read the gauges, and time what was answered since the last time. Raises what the log and the store raise."""
        await self._gauges()
        await self.latency.measure()


class _MeasuredWorker(Worker):
    """The worker, and how long its batches take."""

    def __init__(
        self,
        store: Store,
        log: Log,
        manifests: Mapping[str, Manifest],
        on_commit: Callable[[], None],
        metrics: Metrics,
        latency: Latency,
    ) -> None:
        super().__init__(store, log, manifests, on_commit)
        self._metrics = metrics
        self._latency = latency

    async def handle(self, batch: Batch) -> None:
        """As the worker's."""
        self._latency.heard(batch.records)
        with self._metrics.batch_seconds.time():
            await super().handle(batch)
        self._latency.taken(batch.records)
