"""What the lanes of one account's worker share: the app, the account's access and health, and how calls are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias, TypeVar

import httpx2
import msgspec
import structlog

from services.connectors import health as healths
from services.connectors import ledger
from services.connectors.health import Health
from services.connectors.pacing import Buckets
from services.connectors.publish import Outgoing, account_back, enqueue
from services.connectors.verdicts import NOT_SENT, UNANSWERED, is_failure, verdict_on
from services.contracts.app import Trouble, Verdict
from services.runtime.app import Access, App
from services.runtime.clock import Clock
from services.runtime.metrics import Metrics
from services.runtime.secrets import SecretsError
from services.runtime.store import Connection, Store
from services.runtime.tokens import Keeper

T = TypeVar("T")
Unseal: TypeAlias = Callable[[str, str, bytes], tuple[str, ...]]
"""(account, field, sealed) -> the credential's values. Raises `SecretsError`."""

CALL_SECONDS = 90.0
"""For one call of an app, above the HTTP client's own limits: nothing may hold a lane for good."""
REFRESH_SECONDS = 5.0
_ACCOUNT = """
SELECT app, settings, removed_at, (SELECT max(updated_at) FROM registry.credential WHERE account = name) AS changed_at
FROM registry.account WHERE name = $1
"""
_CREDENTIALS = "SELECT field, sealed FROM registry.credential WHERE account = $1"


class AccessGoneError(Exception):
    """The account was removed, or its credentials changed, since something was claimed: nothing was sent."""


class Desk:
    """One account as its worker sees it."""

    def __init__(  # noqa: PLR0913 - each is a choice that its caller makes by name
        self,
        app: App,
        account: str,
        *,
        store: Store,
        clock: Clock,
        unseal: Unseal,
        http: httpx2.AsyncClient,
        lease: int,
        metrics: Metrics,
        keeper: Keeper | None = None,
    ) -> None:
        self.app = app
        self.account = account
        self.store = store
        self.clock = clock
        self.lease = lease
        """The token of the lease under which it works."""
        self.metrics = metrics
        self.health = Health(account=account)
        self.access: Access | None = None
        """None: the account was removed, or its credentials can't be opened (then its health says so)."""
        self.removed = False
        """Whether the registry no longer has the account."""
        self.buckets = Buckets(app.manifest.pace, clock.monotonic())
        self.said = asyncio.Event()
        """Set whenever there is something to publish."""
        self.log = structlog.get_logger().bind(app=app.manifest.name, account=account)
        self._unseal = unseal
        self._http = http
        self._keeper = keeper
        self._refreshed: float | None = None
        self._settings: str | None = None
        self._changed_at: datetime | None = None
        self._refreshing = asyncio.Lock()
        self._speaking: set[int] = set()

    def reach(self) -> Access:
        """Return the account's access. Raises `AccessGoneError`."""
        if self.access is None:
            raise AccessGoneError(self.account)
        return self.access

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction under the account's lease. Raises `LeaseLostError`."""
        async with self.store.transaction() as tx:
            await ledger.must_hold(tx, self.account, self.lease)
            self._speaking.discard(id(tx))
            yield tx
            spoke = id(tx) in self._speaking
        # Only what is committed can be published.
        if spoke:
            self.said.set()

    async def say(self, tx: Connection, messages: Sequence[Outgoing]) -> None:
        """Let messages be published once the transaction is committed."""
        await enqueue(tx, self.account, messages)
        self._speaking.add(id(tx))

    async def open(self) -> None:
        """Read the account's health and what the registry says; to be called first."""
        async with self.store.transaction() as tx:
            self.health = await healths.load(tx, self.account)
        await self.refresh(force=True)

    async def refresh(self, *, force: bool = False) -> None:
        """Read the account anew, every few seconds. Changed credentials end a revocation."""
        async with self._refreshing:
            now = self.clock.monotonic()
            if not force and self._refreshed is not None and now - self._refreshed < REFRESH_SECONDS:
                return
            self._refreshed = now
            row = await self.store.fetchrow(_ACCOUNT, self.account)
            self.removed = row is None or row["removed_at"] is not None or row["app"] != self.app.manifest.name
            if row is None or self.removed:
                self.access = None
                if self.health.revoked_at is not None:
                    await self._become(healths.reauthorised(self.health))
                return
            if self.health.revoked_at is not None and row["changed_at"] != self.health.revoked_credentials:
                await self._become(healths.reauthorised(self.health))
                self.access = None
            if self.health.revoked_at is None and (
                self.access is None
                or row["changed_at"] != self._changed_at
                or row["settings"] != self._settings
                or force
            ):
                await self._load(msgspec.json.decode(row["settings"], type=dict[str, str]))
            self._settings = row["settings"]
            self._changed_at = row["changed_at"]
            if self.access is None and self.health.revoked_at is None:
                revoked = healths.revoked(self.health, self.clock.now(), row["changed_at"], "unreadable_secret")
                await self._become(revoked)

    async def call(self, kind: str, request: Awaitable[T]) -> tuple[T | Trouble, int]:
        """Make one call of the app; return its answer and the milliseconds it took.

        What the app raises is trouble: a connection that didn't come about wasn't sent, anything else may have been.
        """
        start = self.clock.monotonic()
        quota = "write" if kind == "write" else "read"
        self.metrics.requests.labels(app=self.app.manifest.name, account=self.account, quota=quota).inc()
        answer: T | Trouble
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await request
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            answer = Trouble(key=NOT_SENT, detail=f"The app can't be reached ({type(error).__name__}).")
        except Exception as error:  # noqa: BLE001 - an app's mistake must not stop its account; what was sent is unknown
            # Only the kind: an error's text may hold contacts' data.
            self.log.warning("app_raised", error=type(error).__name__)
            answer = Trouble(key=UNANSWERED, detail=f"The app didn't answer ({type(error).__name__}).")
        seconds = self.clock.monotonic() - start
        self.metrics.app_seconds.labels(app=self.app.manifest.name, kind=kind).observe(seconds)
        return answer, round(seconds * 1000)

    async def heard(self, answer: object) -> Verdict | None:
        """Count an answer for the account's health; return the verdict on it if it is trouble."""
        if not isinstance(answer, Trouble):
            await self._become(healths.succeeded(self.health))
            return None
        verdict = verdict_on(answer, self.app.manifest)
        now = self.clock.now()
        health = self.health
        if verdict is Verdict.THROTTLED:
            health = healths.throttle(health, now, answer.retry_after)
        if is_failure(answer, verdict):
            health = healths.failed(health, now, str(answer.key))
        elif verdict is Verdict.REAUTHORISE:
            health = healths.revoked(health, now, self._changed_at, str(answer.key))
        else:
            health = healths.succeeded(health)
        await self._become(health)
        return verdict

    async def _become(self, health: Health) -> None:
        before, self.health = self.health, health
        if msgspec.structs.replace(before, streak=0) == msgspec.structs.replace(health, streak=0):
            return
        now = self.clock.now()
        away = before.away_since(now)
        try:
            async with self.transaction() as tx:
                await healths.save(tx, health)
                if away is not None and health.away_since(now) is None:
                    back = account_back(self.account, since=away, app=self.app.manifest.name, now=now)
                    await self.say(tx, [back])
        except BaseException:
            self.health = before  # nothing was said: the next answer says it
            raise
        down = health.breaker_open_since is not None or health.revoked_at is not None
        self.metrics.breaker_open.labels(account=self.account).set(int(down))
        # Once when it goes and once when it returns, not for each request in between.
        if (before.breaker_open_since is None) != (health.breaker_open_since is None):
            self.log.warning("account_down" if health.breaker_open_since else "account_back", reason=health.reason)
        if (before.revoked_at is None) != (health.revoked_at is None):
            self.log.warning("account_revoked" if health.revoked_at else "account_reauthorised", reason=health.reason)

    async def _load(self, settings: dict[str, str]) -> None:
        rows = await self.store.fetch(_CREDENTIALS, self.account)
        try:
            credentials = {row["field"]: self._unseal(self.account, row["field"], bytes(row["sealed"])) for row in rows}
        except SecretsError as error:
            self.log.error("credentials_unreadable", error=type(error).__name__)  # noqa: TRY400 - `check` tells why
            self.access = None
            return
        self.access = Access(
            account=self.account,
            settings=settings,
            credentials=credentials,
            http=self._http,
            clock=self.clock,
            keeper=self._keeper,
        )
