"""Wishes to have an account's feed read now: said in its cursor's row, heard by whichever process polls it."""

import asyncio

from services.runtime.store import Store

CHANNEL = "contactsync_ingest"
"""Notified whenever some account's next request was pulled forward."""

# In trouble the pause stays what it was, but for a trace that tells a request under way that it may be too old.
_WISH = f"""
WITH wished AS (
    UPDATE ingest.cursor
    SET next_poll_at = CASE trouble_count
        WHEN 0 THEN clock_timestamp() ELSE next_poll_at + interval '1 microsecond'
    END
    WHERE account = $1
    RETURNING account
)
SELECT pg_notify('{CHANNEL}', account) FROM wished
"""  # noqa: S608 - our own channel


class Wishes:
    """Has accounts polled at once. `seconds` is how long the database gets to note a wish."""

    def __init__(self, store: Store, *, seconds: float = 5.0) -> None:
        self._store = store
        self._seconds = seconds
        self._waiting: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def __call__(self, account: str) -> None:
        """Return once the wish is durable. Those that come while one is being noted share the next.

        Nothing happens for an account that was never polled: it is going to be. Raises asyncpg's errors, `OSError`
        and `TimeoutError` when the database is away.
        """
        noting = self._waiting.get(account)
        if noting is None:
            noting = self._waiting[account] = asyncio.create_task(self._note(account))
        await asyncio.shield(noting)

    async def _note(self, account: str) -> None:
        async with self._turns.setdefault(account, asyncio.Lock()):
            # Whoever comes from here on may know of something later.
            del self._waiting[account]
            async with asyncio.timeout(self._seconds):
                await self._store.execute(_WISH, account)
