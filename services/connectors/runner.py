"""The connectors role: one intake per app, one leased worker per account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import NoReturn

import httpx2
import structlog

from services.connectors import ledger
from services.connectors.desk import Desk, Unseal
from services.connectors.intake import CHANNEL, Intake
from services.connectors.publish import flush
from services.connectors.worker import Worker
from services.runtime.app import App
from services.runtime.clock import Clock
from services.runtime.log import Log, Partition, commands_topic
from services.runtime.log.consume import consume
from services.runtime.log.errors import is_passing
from services.runtime.log.progress import Progress
from services.runtime.metrics import Metrics
from services.runtime.store import Store, Wakeups
from services.runtime.tokens import Keeper

PROGRESS = Progress("connectors")
LEASE_SECONDS = 30.0
_RENEW_SECONDS = 10.0
_DRAIN_SECONDS = 10.0
# An account that was removed is worked off, too: its commands are answered.
_ACCOUNTS = """
SELECT name AS account, app FROM registry.account WHERE removed_at IS NULL
UNION SELECT account, app FROM connectors.ledger WHERE state <> 'settled'
UNION SELECT account, app FROM connectors.read
"""
_ORPHANS = """
SELECT DISTINCT account FROM connectors.report AS r
WHERE NOT EXISTS (SELECT 1 FROM registry.account AS a WHERE a.name = r.account AND a.removed_at IS NULL)
"""


def group_of(app: str) -> str:
    """The consumer group that moves the commands to `app` into the ledger."""
    return f"connectors.{app}"


class Runner:
    """Hosts the writing half of apps.

    `unseal` opens a credential; `http` is what apps send with; `holder` names this process among others, and the
    next process of this name (a pod's, for instance) takes over from it at once. Leases are renewed, and looked for,
    every `renew_seconds`, and when there is a reason to.
    """

    def __init__(  # noqa: PLR0913 - each is a choice that its caller makes by name
        self,
        apps: Mapping[str, App],
        store: Store,
        log: Log,
        clock: Clock,
        *,
        unseal: Unseal,
        http: httpx2.AsyncClient,
        holder: str,
        metrics: Metrics,
        keeper: Keeper | None = None,
        renew_seconds: float = _RENEW_SECONDS,
    ) -> None:
        self._apps = apps
        self._store = store
        self._log = log
        self._clock = clock
        self._unseal = unseal
        self._http = http
        self._holder = holder
        self._metrics = metrics
        self._keeper = keeper
        self._renew_seconds = renew_seconds
        self._workers: dict[str, tuple[Worker, asyncio.Task[None]]] = {}
        self._new = asyncio.Event()
        self._leasing: asyncio.Task[None] | None = None
        self._ending = False
        self._elsewhere: set[str] = set()
        self._ousted: set[str] = set()
        """Accounts that a successor of this name may have taken: they aren't taken back from it."""

    async def run(self, stop: asyncio.Event, only: Collection[str] | None = None) -> None:
        """Work until `stop` is set, for the apps named in `only` (all by default).

        Raises `ValueError` for an unknown app, and what ends a consumption (`services.runtime.log.consume`).
        """
        if unknown := sorted(set(only or ()) - set(self._apps)):
            raise ValueError(f"There is no app {unknown[0]}; there are {', '.join(self._apps)}.")
        apps = [name for name in self._apps if only is None or name in only]
        async with self._store.listen(CHANNEL) as wakeups:
            tasks = [
                *(asyncio.create_task(self._take(app), name=f"intake-{app}") for app in apps),
                asyncio.create_task(self._host(apps), name="connectors-host"),
                asyncio.create_task(self._hear(wakeups), name="connectors-wakeups"),
            ]
            stopped = asyncio.create_task(stop.wait())
            try:
                done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
                for task in done - {stopped}:
                    task.result()
            finally:
                for task in (*tasks, stopped):
                    task.cancel()
                await asyncio.wait([*tasks, stopped])
                await self._leased()
                await self._dismiss(list(self._workers))

    def wake(self, accounts: Iterable[str]) -> None:
        """These accounts may have something new to do."""
        for account in accounts:
            if held := self._workers.get(account):
                held[0].wake()
            elif account not in self._elsewhere:
                self._new.set()

    async def _take(self, app: str) -> NoReturn:
        intake = Intake(app, self._store, self._clock, self.wake, self._metrics)

        def measured(lags: Mapping[Partition, int]) -> None:
            for place, behind in lags.items():
                self._metrics.lag.labels(topic=place.topic, partition=str(place.number)).set(behind)

        await consume(
            self._log,
            self._store,
            PROGRESS,
            group=group_of(app),
            topics=[commands_topic(app)],
            member=self._holder,
            handle=intake.handle,
            on_lag=measured,
        )

    async def _hear(self, wakeups: Wakeups) -> None:
        """Another process may have taken in what this one works off, or have given an account up."""
        while True:
            if not await wakeups.wait():
                continue
            named = wakeups.named()
            # Only those that are named: each that wakes asks the database, and there may be many.
            self.wake([account for account in self._workers if named is None or account in named])
            if (self._elsewhere if named is None else self._elsewhere & named) and await self._any_free():
                self._new.set()

    async def _any_free(self) -> bool:
        try:
            return await ledger.any_free(self._store, self._elsewhere)
        except Exception as error:
            if not is_passing(error):
                raise
            return True

    async def _host(self, apps: Collection[str]) -> None:
        """Keep a worker for every account that nobody else works off, and renew their leases."""
        log = structlog.get_logger()
        while True:
            self._new.clear()
            self._leasing = asyncio.create_task(self._lease(apps), name="connectors-leases")
            try:
                await asyncio.shield(self._leasing)
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("leases_not_renewed", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._renew_seconds):
                    await self._new.wait()

    async def _lease(self, apps: Collection[str]) -> None:
        rows = await self._store.fetch(_ACCOUNTS)
        wanted = {row["account"]: row["app"] for row in rows if row["app"] in apps}
        for account, (_, task) in list(self._workers.items()):
            if task.done():
                await self._dismiss([account])
        # Until its lease is taken: another process may give it up between our asking and the answer.
        self._elsewhere = wanted.keys() - self._workers.keys()
        for account, app in sorted(wanted.items()):
            if self._ending:
                return
            if held := self._workers.get(account):
                if not await ledger.renew(self._store, account, held[0].lease, LEASE_SECONDS):
                    self._elsewhere.add(account)
                    self._ousted.add(account)
                    await self._dismiss([account])
                continue
            inherits = account not in self._ousted
            token = await ledger.lease(self._store, account, self._holder, LEASE_SECONDS, inherits=inherits)
            if token is not None:
                self._elsewhere.discard(account)
                self._ousted.discard(account)
                self._start(account, self._apps[app], token)
        await self._dismiss([account for account in self._workers if account not in wanted])
        for row in await self._store.fetch(_ORPHANS):
            if row["account"] not in wanted:
                await flush(self._store, self._log, row["account"])

    async def _leased(self) -> None:
        """Hear what became of the leases asked for: one that nobody knows of would be held until it runs out."""
        self._ending = True
        if self._leasing is None:
            return
        _, late = await asyncio.wait({self._leasing}, timeout=_DRAIN_SECONDS)
        for task in late:
            task.cancel()
        # What it failed of is no matter any more.
        await asyncio.gather(self._leasing, return_exceptions=True)

    def _start(self, account: str, app: App, token: int) -> None:
        desk = Desk(
            app,
            account,
            store=self._store,
            clock=self._clock,
            unseal=self._unseal,
            http=self._http,
            lease=token,
            metrics=self._metrics,
            keeper=self._keeper,
        )
        worker = Worker(desk, self._log)
        task = asyncio.create_task(worker.run(), name=f"worker-{account}")
        self._workers[account] = (worker, task)

    async def _dismiss(self, accounts: Collection[str]) -> None:
        """End these accounts' workers, after what they are sending now, and give the leases back."""
        log = structlog.get_logger()
        leaving = {account: self._workers.pop(account) for account in accounts}
        ending = {account: task for account, (_, task) in leaving.items()}
        for worker, _ in leaving.values():
            worker.finish()
        if ending:
            _, late = await asyncio.wait(ending.values(), timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.wait(ending.values())
        for account, (worker, task) in leaving.items():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                # One account's mistake must not stop the others; its worker is started anew.
                log.error("worker_failed", account=account, error=_kind(error), exc_info=error)
            with contextlib.suppress(Exception):  # the lease runs out by itself
                await ledger.release(self._store, account, worker.lease, CHANNEL)


def _kind(error: BaseException) -> str:
    inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
    return type(inner).__name__
