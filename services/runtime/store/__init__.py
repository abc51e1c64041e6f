"""The store: PostgreSQL through asyncpg, with transactions that can be repeated and wake-ups that can be waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar

import asyncpg
import tenacity
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction

from services.runtime.store.wakeups import Wakeups

__all__ = [
    "CommitUnknown",
    "Connection",
    "ConnectionLost",
    "Isolation",
    "Pool",
    "Record",
    "Store",
    "Wakeups",
    "is_transient",
]

Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]
T = TypeVar("T")

_CONNECT_SECONDS = 10  # asyncpg's default of 60 outlasts many a failover
_CLASSES = ("08", "57P0")
# A conflict, a deadlock, a transaction in which nothing was said for too long, a lock that came too late: nothing of
# it was kept.
_UNDONE = frozenset({"40001", "40P01", "25P03", "55P03"})
_IDLE = timedelta(seconds=90)  # above what an app's token endpoint is given inside a transaction (tokens.py)
# What a server tries for a client that has gone without a word, before it undoes its transaction. Sockets of the Unix
# kind know neither, and read as zero (https://www.postgresql.org/docs/16/runtime-config-connection.html).
_GONE_SETTINGS = {
    "tcp_keepalives_idle": "20",  # s
    "tcp_keepalives_interval": "10",  # s
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "50000",  # ms
}
# After a session's end asyncpg raises either, depending on what it noticed first.
_CLIENT_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_DROPPED = "57P04"  # the database was dropped: it doesn't come back


class CommitUnknown(Exception):  # noqa: N818 - an outcome that nobody knows, not a mistake
    """The connection was lost while COMMIT was unanswered: read back whether the transaction took effect."""


class ConnectionLost(ConnectionError):  # noqa: N818 - reads as what happened
    """The connection went in the middle of a transaction, which is thereby undone."""


class Store:
    """A pool of connections to one PostgreSQL database.

    jsonb goes in as `str` or `bytes` and comes out as `str` (msgspec encodes and decodes); timestamptz is an
    aware `datetime`. Errors are asyncpg's.
    """

    def __init__(self, pool: Pool, dsn: str) -> None:
        self.pool = pool
        self.dsn = dsn

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        name: str = "contactsync",
        idle: timedelta = _IDLE,
        plan_once: bool = False,
    ) -> AsyncIterator[Store]:
        """Connect to `dsn` with up to `max_size` connections, shown to the server's operators as `name`.

        A transaction that says nothing for longer than `idle` is undone by the server, so that a process that was
        stopped in the middle of one keeps nobody else from the rows it locked. `plan_once`: each connection plans a
        statement once, whatever its arguments are later, and not anew each time, which takes the server as long as
        running it. It is for processes that ask the same over and over: no index may be right for some arguments only.

        On the way out waits up to 10 s for connections in use, then drops them.
        """
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            init=_prepare,
            reset=_keep,
            timeout=_CONNECT_SECONDS,
            # Compiling a plan costs more than our short statements take.
            server_settings={
                "application_name": name,
                "timezone": "UTC",
                "jit": "off",
                "plan_cache_mode": "force_generic_plan" if plan_once else "auto",
                "idle_in_transaction_session_timeout": str(idle // timedelta(milliseconds=1)),
                **_GONE_SETTINGS,
            },
        )
        try:
            yield cls(pool, dsn)
        finally:
            try:
                async with asyncio.timeout(10):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    @contextlib.asynccontextmanager
    async def transaction(
        self, isolation: Isolation = "read_committed", *, readonly: bool = False
    ) -> AsyncIterator[Connection]:
        """One transaction on a connection of its own: committed at the end, rolled back on any exception.

        Raises `ConnectionLost` when the connection went before COMMIT (nothing was kept), `CommitUnknown`
        when it went while COMMIT was unanswered.
        """
        async with self.pool.acquire() as connection:
            transaction = connection.transaction(isolation=isolation, readonly=readonly)
            try:
                await transaction.start()
                yield connection
                _refuse_gone(connection)
            except BaseException as error:
                await _undo(connection, transaction)
                if isinstance(error, _CLIENT_ERRORS) and _gone(connection):
                    raise ConnectionLost("The database's connection was lost.") from error
                raise
            try:
                await transaction.commit()
            except (asyncpg.PostgresError, *_CLIENT_ERRORS, OSError) as error:
                # Also a server that says it is shutting down may have committed first.
                if readonly or not (is_transient(error) or _gone(connection)) or _undone(error):
                    raise
                raise CommitUnknown(
                    "The database's connection was lost before it said whether the transaction was committed. "
                    "Read back what the transaction would have written."
                ) from error

    async def retrying(
        self,
        work: Callable[[Connection], Awaitable[T]],
        *,
        isolation: Isolation = "read_committed",
        attempts: int = 8,
        repeatable: bool = False,
    ) -> T:
        """Run `work` in a transaction; repeat the whole of it after conflicts and lost connections.

        Waits between attempts grow from about 50 ms to 5 s, with jitter (together up to about 15 s).
        `repeatable` says that running `work` again after it was committed does no harm (it compares and
        sets, or upserts); without it an unanswered COMMIT is raised as `CommitUnknown`. The last attempt's
        error is raised as it is.
        """

        def again(error: BaseException) -> bool:
            return is_transient(error) or (repeatable and isinstance(error, CommitUnknown))

        policy = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=5),
            retry=tenacity.retry_if_exception(again),
            reraise=True,
        )
        async for attempt in policy:
            with attempt:
                async with self.transaction(isolation) as connection:
                    result = await work(connection)
        return result

    async def fetch(self, query: str, *arguments: object) -> list[Record]:
        """All rows of one statement, in a transaction of its own."""
        return await self.pool.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> Record | None:
        """The first row of one statement, or None."""
        return await self.pool.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """The first column of the first row of one statement, or None."""
        return await self.pool.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: object) -> str:
        """Run one statement (or several without arguments); the server's command tag comes back."""
        return await self.pool.execute(query, *arguments)

    def listen(self, *channels: str) -> contextlib.AbstractAsyncContextManager[Wakeups]:
        """`async with store.listen("channel") as wakeups:` hears NOTIFY on a connection of its own.

        Only a reason to look sooner: notifications may be lost or merged, the tables hold the truth.
        """
        return Wakeups.open(self.dsn, channels)


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed if it is repeated: a conflict, or a session or server that went."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        return _undone(error) or (code.startswith(_CLASSES) and code != _DROPPED)
    return isinstance(error, OSError)  # refused, reset, socket missing, timed out


def _undone(error: BaseException) -> bool:
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _UNDONE


def _gone(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True  # the pool takes a dead connection out of our hands


async def _undo(connection: Connection, transaction: Transaction) -> None:
    """Roll back, or drop the connection: the first error is the one to tell, and the server undoes the rest."""
    try:
        await transaction.rollback()
    except (asyncpg.PostgresError, *_CLIENT_ERRORS, OSError):
        with contextlib.suppress(asyncpg.InterfaceError):  # the pool has dropped it already
            connection.terminate()


def _refuse_gone(connection: Connection) -> None:
    if _gone(connection):
        raise ConnectionLost("The database's connection was lost before COMMIT was sent.")


async def _keep(_: object) -> None:
    """Ask nothing of the server when a connection goes back to the pool.

    asyncpg would have it forget what outlives a transaction, which costs a round trip each time. Nothing here does: no
    SET but LOCAL ones, no cursor, no lock. A transaction left open is rolled back before this is called.
    """


async def _prepare(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_text, decoder=_same, format="text")


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _same(value: str) -> str:
    return value
