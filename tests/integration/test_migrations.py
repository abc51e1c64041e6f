"""Migrations are applied once, in order, by one process, and add up to the schema that is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from services.runtime.store import Store
from services.runtime.store.migrate import (
    Migration,
    MigrationError,
    SchemaBehind,
    arranged,
    check,
    migrate,
    migrations,
    pending,
)
from services.runtime.store.schema import FILE, dump

ONE = Migration("0001_one.sql", "CREATE TABLE one (n int);\nINSERT INTO one VALUES (1);")
TWO = Migration("0002_two.sql", "CREATE TABLE two (n int);")
BROKEN = Migration("0002_broken.sql", "CREATE TABLE two (n int); SELECT nothing_like_this();")
FOUR = Migration("0004_four.sql", "CREATE TABLE four (n int);")


@pytest.fixture
async def empty(empty_database: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


def test_the_sum_of_the_migrations_is_the_schema_that_is_written_down(database: str) -> None:
    assert dump(database) == FILE.read_text(encoding="utf-8"), "Write it anew: python -m services.runtime.store.schema"


async def test_every_table_says_what_it_is_for(store: Store) -> None:
    silent = await store.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND obj_description(c.oid) IS NULL "
        "AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public')"
    )
    assert [row["name"] for row in silent] == []


async def test_migrations_are_applied_once_and_in_order(empty: asyncpg.Connection[asyncpg.Record]) -> None:
    assert await pending(empty, (ONE, TWO)) == [ONE.name, TWO.name]
    assert await migrate(empty, (ONE,)) == [ONE.name]
    assert await migrate(empty, (ONE, TWO)) == [TWO.name]
    assert await migrate(empty, (ONE, TWO)) == []
    assert await empty.fetchval("SELECT count(*) FROM one") == 1


async def test_several_at_once_apply_them_once(empty_database: str) -> None:
    async def run() -> list[str]:
        connection = await asyncpg.connect(empty_database)
        try:
            return await migrate(connection, (ONE, TWO))
        finally:
            await connection.close()

    done = await asyncio.gather(*(run() for _ in range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, 2]


async def test_a_failing_file_leaves_no_trace_and_keeps_what_went_before(
    empty: asyncpg.Connection[asyncpg.Record],
) -> None:
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await migrate(empty, (ONE, BROKEN))
    assert await empty.fetchval("SELECT to_regclass('two')") is None
    assert await migrate(empty, (ONE, TWO)) == [TWO.name]


async def test_a_changed_file_is_refused_with_a_sentence(empty: asyncpg.Connection[asyncpg.Record]) -> None:
    await migrate(empty, (ONE,))
    with pytest.raises(MigrationError, match=r"0001_one\.sql was changed after it was applied"):
        await migrate(empty, (Migration(ONE.name, "SELECT 1"),))


async def test_a_file_numbered_below_an_applied_one_is_refused(empty: asyncpg.Connection[asyncpg.Record]) -> None:
    await migrate(empty, (ONE, FOUR))
    with pytest.raises(MigrationError, match=r"0002_two\.sql is new but numbered below 0004_four\.sql"):
        await migrate(empty, (ONE, TWO, FOUR))


async def test_a_program_refuses_a_database_that_is_behind_and_takes_one_that_is_ahead(
    empty: asyncpg.Connection[asyncpg.Record],
) -> None:
    with pytest.raises(SchemaBehind, match=r"lacks 2 of this program's migrations \(0001_one\.sql, 0002_two\.sql\)"):
        await check(empty, (ONE, TWO))
    await migrate(empty, (ONE, TWO))
    await check(empty, (ONE, TWO))
    await check(empty, (ONE,))


async def test_the_programs_own_migrations_pass_the_check(store: Store) -> None:
    async with store.transaction() as connection:
        await check(connection)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["1_one.sql"], "isn't named like"),
        (["0001_One.sql"], "isn't named like"),
        (["0001_a.sql", "0001_b.sql"], r"0001_a\.sql and 0001_b\.sql have the same number"),
    ],
)
def test_names_and_numbers_are_checked(names: list[str], sentence: str) -> None:
    with pytest.raises(MigrationError, match=sentence):
        arranged(Migration(name, "") for name in names)


def test_files_are_found_in_the_package() -> None:
    folder = Path(FILE).with_name("migrations")
    assert [one.name for one in migrations()] == sorted(file.name for file in folder.glob("*.sql"))


async def test_p12_there_is_one_incarnation(store: Store) -> None:
    assert await store.fetchval("SELECT n FROM registry.incarnation") == 1
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.execute("INSERT INTO registry.incarnation DEFAULT VALUES")
