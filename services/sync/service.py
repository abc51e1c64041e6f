"""The sync service: worker, sweeper, relay and housekeeping side by side."""

import asyncio
from collections.abc import Mapping
from typing import NoReturn

from services.contracts.app import Manifest
from services.runtime.log import Log
from services.runtime.store import Store
from services.sync.days import keep_days
from services.sync.relay import Relay
from services.sync.sweeper import Sweeper
from services.sync.worker import Worker


class Sync:
    """Everything sync does in one process. `manifests` is by app."""

    def __init__(self, store: Store, log: Log, manifests: Mapping[str, Manifest]) -> None:
        self.relay = Relay(store, log)
        self.sweeper = Sweeper(store, manifests, self._committed)
        self.worker = Worker(store, log, manifests, self._committed)
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
