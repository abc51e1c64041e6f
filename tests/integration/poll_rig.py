"""What pollers' tests stand on: one account of the tests' app over the real log, and logs that stall or refuse."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from services.contracts.events import ContactChanged, ScanFinished
from services.ingest.poll import Pollers, Timing
from services.ingest.publish import Appends, Publisher
from services.runtime.log import LogUnavailableError, Message
from services.runtime.log.postgres import PostgresLog
from services.runtime.metrics import Metrics
from services.runtime.store import Record, Store
from tests.integration.directory import Directory
from tests.integration.ingest_rig import Found, access, accounts, connect, open_log, records, register

Eventually = Callable[..., Awaitable[None]]


class Rig:
    """One account `dir` of the tests' app, connected to another."""

    def __init__(self, store: Store, log: PostgresLog, eventually: Eventually) -> None:
        self.store = store
        self.log = log
        self.eventually = eventually
        self.app = Directory()

    @contextlib.asynccontextmanager
    async def pollers(
        self, log: Appends | None = None, *, holder: str = "here", reconcile: float = 0.0
    ) -> AsyncIterator[Pollers]:
        stop = asyncio.Event()
        async with access() as of:
            pollers = Pollers(
                self.store,
                accounts(self.store),
                {"directory": self.app},
                of,
                Publisher(log or self.log),
                Metrics(),
                holder=holder,
                timing=Timing(watch=0.05, lease=5.0, reconcile=reconcile),
            )
            task = asyncio.create_task(pollers.run(stop))
            try:
                yield pollers
            finally:
                stop.set()
                await task

    async def row(self) -> Record:
        row = await self.store.fetchrow("SELECT * FROM ingest.cursor WHERE account = 'dir'")
        assert row is not None
        return row

    async def until(self, condition: str) -> None:
        """Wait until the cursor's row meets an SQL condition."""

        async def met() -> bool:
            query = f"SELECT FROM ingest.cursor WHERE account = 'dir' AND {condition}"
            return await self.store.fetchrow(query) is not None

        await self.eventually(met)

    async def changed(self) -> list[Found]:
        return [found for found in await records(self.store) if isinstance(found.message, ContactChanged)]

    async def ends(self) -> list[Found]:
        return [found for found in await records(self.store) if isinstance(found.message, ScanFinished)]


class Stalling:
    """The real log, but nobody hears that it has the messages: where a process would die."""

    def __init__(self, log: Appends, *, after: int = 1) -> None:
        self._log = log
        self._left = after
        self.stalled = asyncio.Event()

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await self._log.publish(topic, messages)
        self._left -= 1
        if self._left <= 0:
            self.stalled.set()
            await asyncio.Event().wait()

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        await self._log.publish_everywhere(topic, message)


class Refusing(Stalling):
    """The real log after some publications that it refuses."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self._left -= 1
        if self._left >= 0:
            raise LogUnavailableError("not now")
        await self._log.publish(topic, messages)


@contextlib.asynccontextmanager
async def opened(store: Store, eventually: Eventually) -> AsyncIterator[Rig]:
    """The rig, with account `dir` registered and connected to another."""
    await register(store, "dir", "directory")
    await register(store, "other", "elsewhere")
    await connect(store, "dir", "other")
    async with open_log(store) as log:
        yield Rig(store, log, eventually)
