"""A lease on an account: at most one process polls it, by the database's clock."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import asyncpg

from services.runtime.store import Connection, Store

_TAKE = """
INSERT INTO ingest.lease AS mine (account, token, holder, expires_at)
VALUES ($1, 1, $2, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (account) DO UPDATE
SET token = mine.token + 1, holder = excluded.holder, expires_at = excluded.expires_at
WHERE mine.expires_at <= clock_timestamp() OR mine.holder = excluded.holder
RETURNING token
"""
_RENEW = """
UPDATE ingest.lease SET expires_at = clock_timestamp() + make_interval(secs => $3)
WHERE account = $1 AND token = $2 AND expires_at > clock_timestamp()
RETURNING token
"""
_GIVE_BACK = "UPDATE ingest.lease SET expires_at = clock_timestamp() WHERE account = $1 AND token = $2"
_PROVE = """
SELECT token FROM ingest.lease
WHERE account = $1 AND token = $2 AND expires_at > clock_timestamp() FOR UPDATE
"""


class LeaseLostError(Exception):
    """Another process may poll the account by now: what this one was about to save must not count."""


class Lease:
    """A lease that was taken. It ends `seconds` after the last renewal."""

    def __init__(self, store: Store, account: str, token: int, seconds: float, monotonic: Callable[[], float]) -> None:
        self.account = account
        self.token = token
        self._store = store
        self._seconds = seconds
        self._monotonic = monotonic
        self._until = 0.0

    @property
    def held(self) -> bool:
        """Whether it is ours by our own clock, which started counting before the database's did."""
        return self._monotonic() < self._until

    async def prove(self, connection: Connection) -> None:
        """Hold the lease's row until this transaction ends. Raises `LeaseLostError` if it isn't ours."""
        if await connection.fetchval(_PROVE, self.account, self.token) is None:
            raise LeaseLostError(self.account)

    def extended(self, asked_at: float) -> None:
        """Count a renewal that was asked for at `asked_at`, monotonic seconds."""
        self._until = asked_at + self._seconds

    async def keep(self) -> None:
        """Renew it three times per its length, for ever. Raises `LeaseLostError` once it is gone."""
        while self.held:
            await asyncio.sleep(self._seconds / 3)
            asked_at = self._monotonic()
            try:
                async with asyncio.timeout(self._seconds / 3):
                    token = await self._store.fetchval(_RENEW, self.account, self.token, self._seconds)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                continue  # it may still be ours: `held` says until when
            if token is None:
                break
            self.extended(asked_at)
        raise LeaseLostError(self.account)


@contextlib.asynccontextmanager
async def leased(
    store: Store,
    account: str,
    *,
    holder: str,
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Lease | None]:
    """Take the account's lease, or None if another process has it. Given back at the end of the block."""
    asked_at = monotonic()
    token = await store.fetchval(_TAKE, account, holder, seconds)
    if token is None:
        yield None
        return
    lease = Lease(store, account, token, seconds, monotonic)
    lease.extended(asked_at)
    try:
        yield lease
    finally:
        # If this fails, the lease ends by itself.
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(2):
                await store.execute(_GIVE_BACK, account, token)
