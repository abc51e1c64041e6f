"""All pollers of this process: one per account that a connection uses and that no other process polls."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import NoReturn

import asyncpg
import msgspec
import structlog

from services.ingest.cursor import Cursors
from services.ingest.lease import LeaseLostError, leased
from services.ingest.patience import LONGEST, Pace, growing
from services.ingest.poller import Poller
from services.ingest.publish import Publisher
from services.ingest.registry import Accounts, Registered, RegistryUnavailableError
from services.ingest.wish import CHANNEL
from services.runtime.app import Access, App
from services.runtime.metrics import Metrics
from services.runtime.store import CommitUnknown, Store

_DUE = "SELECT account FROM ingest.cursor WHERE account = ANY($1) AND next_poll_at <= clock_timestamp()"
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, CommitUnknown)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    watch: float = 2.0
    """Between two looks for new and removed accounts, and for leases that have become free."""
    lease: float = 15.0
    """A lease's length: how long an account of a process that died stays unread, at most."""
    reconcile: float = 0.0
    """From the end of an account's full scan to the next one; 0 for never."""


class _Hosted:
    """One account's task, and the flag that has its poller look at its row."""

    def __init__(self, registered: Registered) -> None:
        self.registered = registered
        self.woken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def end(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})


class Pollers:
    """Polls accounts until told to stop.

    In: the store, the accounts, all apps by name, what makes an account callable, the publisher, the metrics, and
    this process's name for people (`holder`).
    """

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        apps: Mapping[str, App],
        access: Callable[[Registered], Access],
        publisher: Publisher,
        metrics: Metrics,
        *,
        holder: str,
        timing: Timing | None = None,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._apps = apps
        self._access = access
        self._publisher = publisher
        self._metrics = metrics
        self._holder = holder
        self._timing = timing or Timing()
        self._hosted: dict[str, _Hosted] = {}
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Have the registry looked at now: accounts or connections were changed."""
        self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set; leases are given back then."""
        stopping = asyncio.create_task(stop.wait())
        hearing = asyncio.create_task(self._hear(), name="pollers-wishes")
        try:
            while not stop.is_set():
                self._changed.clear()
                await self._look()
                changed = asyncio.create_task(self._changed.wait())
                await asyncio.wait(
                    {stopping, changed, hearing}, timeout=self._timing.watch, return_when=asyncio.FIRST_COMPLETED
                )
                changed.cancel()
                if hearing.done():
                    hearing.result()
        finally:
            stopping.cancel()
            hearing.cancel()
            await asyncio.wait({hearing})
            await asyncio.gather(*(hosted.end() for hosted in self._hosted.values()))
            self._hosted.clear()

    async def _hear(self) -> NoReturn:
        """Rouse the pollers whose feed somebody wants read now, in whichever process that is said."""
        failures = 0
        while True:
            try:
                async with self._store.listen(CHANNEL) as wakeups:
                    while True:
                        # Also at first: for what was said while nobody listened.
                        await self._rouse()
                        failures = 0
                        await wakeups.wait()
            except _AWAY as error:
                failures += 1
                if failures == 1:
                    structlog.get_logger().warning("wishes_unheard", error=type(error).__name__)
                await asyncio.sleep(growing(failures))

    async def _rouse(self) -> None:
        for row in await self._store.fetch(_DUE, list(self._hosted)):
            if (hosted := self._hosted.get(row["account"])) is not None:
                hosted.woken.set()

    async def _look(self) -> None:
        try:
            known = await self._accounts.all()
        except RegistryUnavailableError:
            return  # those known go on: the view of the registry has told of it
        wanted = {
            name: registered
            for name, registered in known.items()
            if registered.connected and registered.trouble is None and registered.account.app in self._apps
        }
        for name, hosted in list(self._hosted.items()):
            if wanted.get(name) != hosted.registered:
                del self._hosted[name]
                await hosted.end()
        for name, registered in wanted.items():
            if name not in self._hosted:
                hosted = self._hosted[name] = _Hosted(registered)
                hosted.task = asyncio.create_task(self._host(hosted), name=f"poller-{name}")

    async def _host(self, hosted: _Hosted) -> None:
        """Poll one account whenever its lease can be had."""
        name = hosted.registered.account.name
        log = structlog.get_logger().bind(account=name)
        manifest = self._apps[hosted.registered.account.app].manifest
        pace = Pace(manifest.pace.poll, manifest.pace.burst)
        failures = 0
        while True:
            begun = time.monotonic()
            try:
                async with leased(self._store, name, holder=self._holder, seconds=self._timing.lease) as lease:
                    if lease is not None:
                        poller = self._poller(hosted, Cursors(self._store, lease), pace)
                        await _until_one_ends(lease.keep(), poller.run())
                pause = self._timing.watch
            except LeaseLostError:
                log.warning("lease_lost")
                pause = self._timing.watch
            except _AWAY as error:
                failures = _counted(failures, begun)
                if failures == 1:
                    log.warning("poller_stopped", error=type(error).__name__)
                pause = growing(failures)
            except Exception as error:
                failures = _counted(failures, begun)
                log.exception("poller_failed", error=type(error).__name__, attempt=failures)
                pause = growing(failures)
            await asyncio.sleep(pause)

    def _poller(self, hosted: _Hosted, cursors: Cursors, pace: Pace) -> Poller:
        registered = hosted.registered
        return Poller(
            self._apps[registered.account.app],
            registered.account,
            self._access(registered),
            publisher=self._publisher,
            cursors=cursors,
            woken=hosted.woken,
            metrics=self._metrics,
            pace=pace,
            reconcile=self._timing.reconcile,
        )


def _counted(failures: int, begun: float) -> int:
    """Return how many times in a row it failed: a life longer than the longest pause begins the count anew."""
    return 1 if time.monotonic() - begun > 2 * LONGEST else failures + 1


async def _until_one_ends(*endless: Coroutine[None, None, None]) -> None:
    """Run all until one of them ends or fails; then stop the others. Raises what it raised."""
    tasks = [asyncio.create_task(each) for each in endless]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
