"""Transactions are repeated as a whole, an unanswered COMMIT is told, and wake-ups survive lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from services.runtime.store import CommitUnknown, Connection, ConnectionLost, Store, is_transient

KILL_OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"


@pytest.fixture
async def table(store: Store) -> Store:
    await store.execute("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)")
    await store.execute("INSERT INTO t VALUES (1, 0), (2, 0)")
    return store


@pytest.fixture
async def outsider(database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


async def backend(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


async def test_a_transaction_is_kept_or_undone_as_a_whole(table: Store) -> None:
    async with table.transaction() as connection:
        await connection.execute("UPDATE t SET n = 1")

    async def fails() -> None:
        async with table.transaction() as connection:
            await connection.execute("UPDATE t SET n = 2")
            raise LookupError

    with pytest.raises(LookupError):
        await fails()
    assert [row["n"] for row in await table.fetch("SELECT n FROM t ORDER BY id")] == [1, 1]


async def test_isolation_is_what_was_asked_for(table: Store) -> None:
    async with table.transaction("serializable", readonly=True) as connection:
        assert await connection.fetchval("SHOW transaction_isolation") == "serializable"
        assert await connection.fetchval("SHOW transaction_read_only") == "on"
    async with table.transaction() as connection:
        assert await connection.fetchval("SHOW transaction_isolation") == "read committed"


async def test_jsonb_goes_in_and_out_as_encoded_text_and_times_are_aware(store: Store) -> None:
    encoded = msgspec.json.encode({"name": "Åsa", "n": [1, 2]})
    for value in (encoded, encoded.decode()):
        back = await store.fetchval("SELECT $1::jsonb", value)
        assert isinstance(back, str)
        assert msgspec.json.decode(back) == {"name": "Åsa", "n": [1, 2]}
    row = await store.fetchrow("SELECT $1::timestamptz AS at", datetime(2026, 1, 1, tzinfo=UTC))
    assert row is not None
    assert row["at"] == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_serialization_failure_repeats_the_whole_transaction(table: Store) -> None:
    attempts = 0

    async def work(connection: Connection) -> int:
        nonlocal attempts
        attempts += 1
        n: int = await connection.fetchval("SELECT n FROM t WHERE id = 1")
        if attempts == 1:
            await table.execute("UPDATE t SET n = 10 WHERE id = 1")
        await connection.execute("UPDATE t SET n = $1 WHERE id = 1", n + 1)
        return n

    assert await table.retrying(work, isolation="repeatable_read") == 10
    assert attempts == 2
    assert await table.fetchval("SELECT n FROM t WHERE id = 1") == 11


async def test_both_sides_of_a_deadlock_end_well(table: Store) -> None:
    meeting = asyncio.Barrier(2)
    arrived: set[int] = set()

    async def lock(connection: Connection, first: int, second: int) -> None:
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = $1", first)
        if first not in arrived:
            arrived.add(first)
            await meeting.wait()
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = $1", second)

    await asyncio.gather(table.retrying(lambda c: lock(c, 1, 2)), table.retrying(lambda c: lock(c, 2, 1)))
    assert [row["n"] for row in await table.fetch("SELECT n FROM t")] == [2, 2]


async def test_a_session_ended_by_the_server_is_repeated_on_another(
    table: Store, outsider: asyncpg.Connection[asyncpg.Record]
) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = 1")
        if attempts == 1:
            await outsider.execute("SELECT pg_terminate_backend($1)", await backend(connection))
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    await table.retrying(work)
    assert attempts == 2
    assert await table.fetchval("SELECT n FROM t WHERE id = 1") == 2


async def test_a_connection_lost_on_our_side_is_repeated(table: Store) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            connection.terminate()
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = 1")

    await table.retrying(work)
    assert await table.fetchval("SELECT n FROM t WHERE id = 1") == 1


async def test_a_connection_lost_before_commit_is_repeated(table: Store) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute("UPDATE t SET n = n + 1 WHERE id = 1")
        if attempts == 1:
            connection.terminate()

    await table.retrying(work)
    assert attempts == 2
    assert await table.fetchval("SELECT n FROM t WHERE id = 1") == 1


async def test_an_unanswered_commit_is_told_or_repeated_where_that_is_harmless(table: Store) -> None:
    # The session ends inside COMMIT, where only a person reading the server's log could say how far it came.
    await table.execute(
        """
        CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER end_session AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.n = 1) EXECUTE FUNCTION end_session();
        """
    )
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute("UPDATE t SET n = $1 WHERE id = 1", attempts)

    with pytest.raises(CommitUnknown, match="Read back"):
        await table.retrying(work)
    assert attempts == 1
    attempts = 0
    await table.retrying(work, repeatable=True)
    assert attempts == 2
    assert await table.fetchval("SELECT n FROM t WHERE id = 1") == 2


async def test_a_conflict_at_commit_is_a_conflict(table: Store) -> None:
    await table.execute(
        """
        CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE serialization_failure; END $$;
        CREATE CONSTRAINT TRIGGER conflict AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.n = 1) EXECUTE FUNCTION conflict();
        """
    )
    with pytest.raises(asyncpg.SerializationError):
        async with table.transaction() as connection:
            await connection.execute("UPDATE t SET n = 1 WHERE id = 1")


async def test_mistakes_are_not_repeated(table: Store) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute("INSERT INTO t VALUES (1, 1)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await table.retrying(work)
    assert attempts == 1


async def test_repeating_ends(table: Store) -> None:
    attempts = 0

    async def work(connection: Connection) -> None:
        nonlocal attempts
        attempts += 1
        raise asyncpg.SerializationError

    with pytest.raises(asyncpg.SerializationError):
        await table.retrying(work, attempts=3)
    assert attempts == 3


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (asyncpg.SerializationError(), True),
        (asyncpg.DeadlockDetectedError(), True),
        (asyncpg.AdminShutdownError(), True),
        (asyncpg.CannotConnectNowError(), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (ConnectionLost(), True),
        (asyncpg.InterfaceError("another operation is in progress"), False),
        (asyncpg.UniqueViolationError(), False),
        (asyncpg.QueryCanceledError(), False),
        (ValueError(), False),
    ],
)
def test_what_may_pass_by_itself_is_known(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


async def test_a_notification_wakes_and_many_wake_once(store: Store) -> None:
    async with store.listen("outbox") as wakeups:
        assert not await wakeups.wait(0)
        await store.execute("NOTIFY outbox; NOTIFY other")
        assert await wakeups.wait(10)
        assert not await wakeups.wait(0)


async def test_a_wakeup_tells_what_was_named_since_it_was_last_asked(
    store: Store, outsider: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with store.listen("outbox") as wakeups:
        await store.execute("SELECT pg_notify('outbox', 'shop'), pg_notify('outbox', 'office')")
        await wakeups.wait(10)
        assert wakeups.named() == frozenset({"shop", "office"})
        assert wakeups.named() == frozenset()
        await outsider.execute(KILL_OTHERS, outsider.get_server_pid())
        assert await wakeups.wait(20)
        assert wakeups.named() is None
        assert wakeups.named() == frozenset()


async def test_a_lost_listener_comes_back_and_wakes_since_it_may_have_missed_one(
    store: Store, outsider: asyncpg.Connection[asyncpg.Record]
) -> None:
    async with store.listen("outbox") as wakeups:
        await outsider.execute(KILL_OTHERS, outsider.get_server_pid())
        assert await wakeups.wait(20)
        await outsider.execute("NOTIFY outbox")
        assert await wakeups.wait(10)
