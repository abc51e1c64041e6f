"""A transaction that says nothing for too long lets go of its rows, and is repeated."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from services.runtime.log.errors import is_passing
from services.runtime.store import Connection, Store, is_transient

OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1"


@pytest.fixture
async def hasty(database: str) -> AsyncIterator[Store]:
    async with Store.open(database, idle=timedelta(milliseconds=200)) as store:
        await store.execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
        await store.execute("INSERT INTO t VALUES (1, 0)")
        yield store


async def cut_off(dsn: str, pid: int) -> None:
    """Wait until the server has ended the session."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(30):
            while await connection.fetchval(OTHERS, pid):  # noqa: ASYNC110 - the server is another process
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def idling(dsn: str, pid: int) -> None:
    await cut_off(dsn, pid)


async def stopped(dsn: str, pid: int) -> None:
    """The whole loop stands still meanwhile, as in a process that was stopped."""
    thread = threading.Thread(target=lambda: asyncio.run(cut_off(dsn, pid)))
    thread.start()
    thread.join(60)


@pytest.mark.parametrize("silent", [idling, stopped])
@pytest.mark.parametrize("says", ["a statement", "commit"])
async def test_a_transaction_cut_off_for_its_silence_is_undone_and_repeated(
    hasty: Store, silent: Callable[[str, int], Awaitable[None]], says: str
) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = 1")
        if attempts == 1:
            await silent(hasty.dsn, await connection.fetchval("SELECT pg_backend_pid()"))
        if says == "a statement":
            await connection.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    # Where the loop stood still, nothing says whether a COMMIT arrived.
    await hasty.retrying(work, repeatable=True)
    assert attempts == 2
    assert await hasty.fetchval("SELECT n FROM t WHERE id = 1") == (2 if says == "a statement" else 1)


@pytest.mark.parametrize("silent", [idling, stopped])
async def test_what_a_cut_off_transaction_raises_passes(
    hasty: Store, silent: Callable[[str, int], Awaitable[None]]
) -> None:
    async def work() -> None:
        async with hasty.transaction() as connection:
            await connection.execute("UPDATE t SET n = 7")
            await silent(hasty.dsn, await connection.fetchval("SELECT pg_backend_pid()"))
            await connection.execute("UPDATE t SET n = 8")

    with pytest.raises((asyncpg.PostgresError, ConnectionError)) as raised:
        await work()
    assert is_transient(raised.value)
    assert is_passing(raised.value)
    assert await hasty.fetchval("SELECT n FROM t") == 0


async def test_whoever_waits_for_the_rows_of_a_silent_transaction_gets_them(hasty: Store) -> None:
    async def silent(locked: asyncio.Event, over: asyncio.Event) -> None:
        async with hasty.transaction() as connection:
            await connection.execute("UPDATE t SET n = 7")
            locked.set()
            await over.wait()

    locked, over = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(silent(locked, over))
    await locked.wait()
    async with asyncio.timeout(30):
        await hasty.execute("UPDATE t SET n = n + 1")
    over.set()
    await asyncio.wait({task})
    error = task.exception()
    assert error is not None
    assert is_passing(error)
    assert await hasty.fetchval("SELECT n FROM t") == 1


async def test_a_session_ends_a_silent_transaction_after_a_minute_and_a_half(store: Store) -> None:
    assert await store.fetchval("SHOW idle_in_transaction_session_timeout") == "90s"
