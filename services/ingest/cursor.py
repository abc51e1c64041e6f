"""How far an account was read: the row in `ingest.cursor`, changed only under the account's lease."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

import msgspec

from services.contracts.app import Page
from services.ingest.lease import Lease
from services.ingest.wish import CHANNEL
from services.runtime.store import Connection, Record, Store

State: TypeAlias = Literal["scanning", "live"]
T = TypeVar("T")

_COLUMNS = """
    account, state, poll_number, scan_number, scan_pages, scan_count, page_cursor, feed_cursor, trouble_count,
    next_poll_at,
    (extract(epoch FROM scan_started_at) * 1000000)::bigint AS scan_start,
    greatest(extract(epoch FROM next_poll_at - clock_timestamp()), 0)::float8 AS due,
    extract(epoch FROM clock_timestamp() - scan_finished_at)::float8 AS scan_age,
    (SELECT n FROM registry.incarnation) AS incarnation
"""
_MAKE = """
INSERT INTO ingest.cursor
    (account, state, poll_number, scan_number, scan_started_at, scan_pages, scan_count, next_poll_at)
VALUES ($1, 'scanning', 0, 1, clock_timestamp(), 0, 0, clock_timestamp())
ON CONFLICT DO NOTHING
"""
_READ = f"SELECT {_COLUMNS} FROM ingest.cursor WHERE account = $1"  # noqa: S608 - our own columns
_BEGIN = f"UPDATE ingest.cursor SET poll_number = poll_number + 1 WHERE account = $1 RETURNING {_COLUMNS}"  # noqa: S608
_OK = "last_ok_at = clock_timestamp(), trouble_since = NULL, trouble_count = 0"
# What somebody pulled forward since the request was sent stays: the answer may be older than the wish.
_NEXT = """next_poll_at = CASE next_poll_at
        WHEN $4 THEN clock_timestamp() + make_interval(secs => $5) ELSE next_poll_at
    END"""
_SCANNED = f"""
UPDATE ingest.cursor SET page_cursor = $2, scan_pages = $4, scan_count = $5, {_OK}
WHERE account = $1 AND scan_number = $3
"""  # noqa: S608
_LIVE = f"""
UPDATE ingest.cursor
SET state = 'live', page_cursor = NULL, feed_cursor = $2, scan_pages = $6, scan_count = $7,
    scan_finished_at = clock_timestamp(), {_NEXT}, {_OK}
WHERE account = $1 AND scan_number = $3
"""  # noqa: S608
_PASSED = f"UPDATE ingest.cursor SET feed_cursor = $2, {_OK} WHERE account = $1 AND scan_number = $3"  # noqa: S608
_POLLED = f"""
UPDATE ingest.cursor SET feed_cursor = $2, {_NEXT}, {_OK}
WHERE account = $1 AND scan_number = $3
"""  # noqa: S608
_AGAIN = """
UPDATE ingest.cursor
SET state = 'scanning', scan_number = scan_number + 1, scan_started_at = clock_timestamp(),
    scan_finished_at = NULL, scan_pages = 0, scan_count = 0, page_cursor = NULL, feed_cursor = NULL,
    next_poll_at = clock_timestamp()"""
_RESTART = f"""
WITH restarted AS ({_AGAIN} WHERE account = $1 RETURNING account)
SELECT account, pg_notify('{CHANNEL}', account) FROM restarted
"""  # noqa: S608 - our own channel
_RECONCILE = f"{_AGAIN} WHERE account = $1 AND scan_number = $2"
_LOST = f"{_AGAIN}, last_trouble = $3 WHERE account = $1 AND scan_number = $2"
_TROUBLE = """
UPDATE ingest.cursor
SET last_trouble = $2, trouble_count = trouble_count + 1,
    trouble_since = coalesce(trouble_since, clock_timestamp()),
    next_poll_at = clock_timestamp() + make_interval(secs => $3)
WHERE account = $1
"""


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """The row as it was read."""

    account: str
    state: State
    poll_number: int
    scan_number: int
    scan_start: int
    """When the scan began: microseconds since 1970 on the database's clock."""
    scan_pages: int
    scan_count: int
    page_cursor: str | None
    feed_cursor: str | None
    trouble_count: int
    next_poll_at: datetime
    due: float
    """Seconds until the next request."""
    scan_age: float | None
    """Seconds since the last full scan ended; None while one is under way."""
    incarnation: int
    """Rises when the database was restored from a copy, whose numbers others have seen used already."""

    @property
    def request(self) -> str:
        """The number of the request in ids: never given twice, also after a restore."""
        return f"{self.incarnation}.{self.poll_number}"

    @property
    def scan(self) -> str:
        """The number of the scan in ids."""
        return f"{self.incarnation}.{self.scan_number}"


class Cursors:
    """The row of one account. Every change proves the lease in its own transaction.

    Pages are saved for the scan they belong to: a scan asked for meanwhile isn't undone by an older page.

    All raise `LeaseLostError`, and asyncpg's errors when the database stays away.
    """

    def __init__(self, store: Store, lease: Lease) -> None:
        self._store = store
        self._lease = lease

    @property
    def held(self) -> bool:
        """Whether the lease is ours, as far as this process knows without asking."""
        return self._lease.held

    async def read(self) -> Cursor:
        """Return the row; an account without one is to be scanned from the start."""

        async def work(connection: Connection) -> Cursor:
            await connection.execute(_MAKE, self._lease.account)
            return _cursor(await connection.fetchrow(_READ, self._lease.account))

        return await self._under_lease(work)

    async def begin(self) -> Cursor:
        """Raise the number of requests, for good, and return the row: to be called before each request."""

        async def work(connection: Connection) -> Cursor:
            return _cursor(await connection.fetchrow(_BEGIN, self._lease.account))

        return await self._under_lease(work)

    async def scanned(self, before: Cursor, page: Page, count: int) -> None:
        """Save where the scan goes on after `page`, which had `count` contacts and is published."""
        await self._change(_SCANNED, page.cursor, before.scan_number, before.scan_pages + 1, before.scan_count + count)

    async def live(self, before: Cursor, page: Page, count: int, since: datetime, pause: float) -> None:
        """Save that the scan is over with `page`: its cursor starts the feed, in `pause` seconds.

        At once if its next request isn't the one of `since` any more: somebody wished for another meanwhile.
        """
        pages, contacts = before.scan_pages + 1, before.scan_count + count
        await self._change(_LIVE, page.cursor, before.scan_number, since, pause, pages, contacts)

    async def passed(self, before: Cursor, page: Page) -> None:
        """Save where the feed goes on at once after `page`, which is published."""
        await self._change(_PASSED, page.cursor, before.scan_number)

    async def polled(self, before: Cursor, page: Page, since: datetime, pause: float) -> None:
        """Save where the feed goes on after its last page, in `pause` seconds, or at once as in `live`."""
        await self._change(_POLLED, page.cursor, before.scan_number, since, pause)

    async def lost(self, before: Cursor, sentence: str) -> None:
        """Begin another scan, under a new number: the app has forgotten the cursor, as `sentence` says."""
        await self._change(_LOST, before.scan_number, sentence)

    async def again(self, before: Cursor) -> None:
        """Begin another scan, under a new number: the last one is long ago."""
        await self._change(_RECONCILE, before.scan_number)

    async def trouble(self, sentence: str, pause: float) -> None:
        """Save what went wrong, for people, and in how many seconds the request is repeated."""
        await self._change(_TROUBLE, sentence, pause)

    async def _change(self, statement: str, *values: object) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(statement, self._lease.account, *values)

        await self._under_lease(work)

    async def _under_lease(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def proven(connection: Connection) -> T:
            await self._lease.prove(connection)
            return await work(connection)

        # Repeating any of these after an unanswered COMMIT does no harm: they raise numbers or set values.
        return await self._store.retrying(proven, attempts=3, repeatable=True)


def _cursor(row: Record | None) -> Cursor:
    return msgspec.convert(dict(row or {}), type=Cursor)


async def scan_again(connection: Connection, account: str) -> bool:
    """Ask for another full scan; the account's poller begins once this is committed. False if it has none yet."""
    return await connection.fetchval(_RESTART, account) is not None
