"""Importing an archive into an empty installation: all of it in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import date, timedelta

import asyncpg
import msgspec

from services.runtime.archive import tables
from services.runtime.archive.copying import to_copy
from services.runtime.archive.error import ArchiveError
from services.runtime.archive.line import Row
from services.runtime.archive.manifest import Export, Table
from services.runtime.archive.places import Moved
from services.runtime.archive.reading import Archive
from services.runtime.log import Partition
from services.runtime.store import Connection, Store
from services.runtime.store.migrate import migrate, migrations

_MADE = ("registry.incarnation", "sync.input_start")
"""Tables in which migrations leave a row."""
_THERE = "SELECT to_regclass('public.contactsync_migration') IS NOT NULL AND to_regclass('registry.config') IS NOT NULL"
_ANY = "SELECT EXISTS (SELECT FROM {table})"
_CLEARED = "DELETE FROM {table}"
_APPLIED = "SELECT name FROM public.contactsync_migration ORDER BY name"
_ANY_RECORD = "SELECT topic FROM log.partition WHERE next_offset > 0 LIMIT 1"
_TOPIC = """
INSERT INTO log.topic (name, id, partitions) VALUES ($1, coalesce($2::uuid, gen_random_uuid()), $3) RETURNING id::text
"""
_PARTITION = "INSERT INTO log.partition (topic, number, first_offset, next_offset) VALUES ($1, $2, $3, $4)"
_RECORD = ("topic", "partition", "offset", "key", "headers", "value", "at")
_CHUNK = 256 * 1024
_headers = msgspec.msgpack.Encoder().encode


def check(archive: Archive) -> Export:
    """Return the state to import. Raises `ArchiveError` for an archive without one, or from a newer contactsync."""
    export = archive.manifest.newest
    if not export.whole:
        raise ArchiveError("The archive was made with --until: it is history to replay, and has no state to import.")
    known = {migration.name for migration in migrations()}
    if unknown := [name for name in export.migrations if name not in known]:
        raise ArchiveError(
            f"The archive comes from a newer contactsync (it has {unknown[-1]}). Update contactsync first."
        )
    return export


async def refuse_unless_empty(database: Connection) -> None:
    """Raise `ArchiveError` if the installation knows anything already: nothing is ever mixed."""
    if not await database.fetchval(_THERE):
        return
    for table in await tables.tables(database, credentials=True):
        if table.name not in _MADE and await database.fetchval(_ANY.format(table=table.name)):
            raise ArchiveError(
                f"This installation isn't empty: {table.name} has rows. An archive is imported into a new one only: "
                "name another database (CONTACTSYNC_STORE_URL) or data folder (CONTACTSYNC_DATA_DIR)."
            )
    if topic := await database.fetchval(_ANY_RECORD):
        raise ArchiveError(f"This installation isn't empty: its log has messages in {topic}. Import into a new one.")


async def load(
    store: Store,
    archive: Archive,
    *,
    moved: Moved | None = None,
    then: Callable[[Connection], Awaitable[None]] | None = None,
    told: Callable[[str, int], object] = lambda _stream, _rows: None,
) -> None:
    """Put the archive's newest state and its history into the store, which must be empty.

    `moved`: where the log's messages are now, if they were put into another log; else they are put into the embedded
    one, each where it was. `then` is the transaction's last step. `told` hears of rows, table by table. Raises
    `ArchiveError`; the store is then as it was. `archive.verify` first tells a damaged archive sooner.
    """
    export = check(archive)
    async with store.transaction() as database:
        await database.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await refuse_unless_empty(database)
        await _prepare(database, export)
        if moved is None:
            moved = Moved(ids=await _load_log(database, archive, export, told))
        there = await tables.tables(database, credentials=True)
        if missing := sorted(export.tables.keys() - {table.name for table in there}):
            raise ArchiveError(f"The archive has a table that this contactsync doesn't know: {missing[0]}. Update it.")
        for table in there:
            if (exported := export.tables.get(table.name)) is not None:
                await _load_table(database, archive, table, exported, moved, told)
        for name, sequence in export.sequences.items():
            await database.execute("SELECT setval($1::text::regclass, $2, $3)", name, sequence.value, sequence.called)
        # What the archive's version didn't have yet.
        await migrate(database)
        if then is not None:
            await then(database)
    await store.execute("ANALYZE")


async def _prepare(database: Connection, export: Export) -> None:
    """Bring the empty store to what the archive's was, migration by migration: later ones change the rows then."""
    there = await database.fetchval(_THERE)
    if not there or [row["name"] for row in await database.fetch(_APPLIED)] != list(export.migrations):
        if there:
            for schema in (*tables.SCHEMAS, "log"):
                await database.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            await database.execute("DROP TABLE public.contactsync_migration")
        await migrate(database, tuple(each for each in migrations() if each.name in export.migrations))
    for table in _MADE:
        if await database.fetchval("SELECT to_regclass($1::text) IS NOT NULL", table):
            await database.execute(_CLEARED.format(table=table))
    await database.execute("DELETE FROM log.topic")


async def _load_table(
    database: Connection,
    archive: Archive,
    table: tables.Table,
    exported: Table,
    moved: Moved,
    told: Callable[[str, int], object],
) -> None:
    schema, _, name = table.name.partition(".")
    await _make_days(database, table.name, exported)
    days = {f'"{day}"'.encode() for day in exported.days}
    json = frozenset(exported.json)
    count = 0

    def rows() -> Iterator[bytes]:
        nonlocal count
        for row in archive.rows(table.name):
            # Of the history that an archive has kept, what the installation itself had kept.
            if exported.days and bytes(row["day"]) not in days:
                continue
            count += 1
            yield _line(table.name, exported, json, moved(table.name, row))

    source = _chunks(rows())
    try:
        await database.copy_to_table(name, schema_name=schema, columns=list(exported.columns), source=source)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        # The database's own words quote the row.
        raise ArchiveError(
            f"The archive's rows of {table.name} don't fit into the table ({type(error).__name__}). Take another "
            "copy of the archive."
        ) from None
    told(table.name, count)


def _line(table: str, exported: Table, json: frozenset[str], row: Row) -> bytes:
    try:
        return to_copy(exported.columns, json, row)
    except (KeyError, msgspec.MsgspecError) as error:
        raise ArchiveError(
            f"A row of {table} isn't what a contactsync writes ({type(error).__name__}). Take another copy of "
            "the archive."
        ) from None


async def _chunks(lines: Iterator[bytes]) -> AsyncIterator[bytes]:
    kept: list[bytes] = []
    size = 0
    for line in lines:
        kept.append(line)
        size += len(line)
        if size > _CHUNK:
            yield b"".join(kept)
            kept, size = [], 0
    yield b"".join(kept)


async def _make_days(database: Connection, table: str, exported: Table) -> None:
    """Make the partitions of the days that are to come in, so that they can be dropped whole, too."""
    for day in exported.days:
        following: date = day + timedelta(days=1)
        await database.execute(
            f"CREATE TABLE IF NOT EXISTS {table}_{day:%Y%m%d} PARTITION OF {table} "
            f"FOR VALUES FROM ('{day}') TO ('{following}')"
        )


async def _load_log(
    database: Connection, archive: Archive, export: Export, told: Callable[[str, int], object]
) -> dict[str, tuple[str, str]]:
    """Fill the embedded log; return each topic's id in the archive and here: the same, if it was ours."""
    ids: dict[str, tuple[str, str]] = {}
    for name, topic in export.topics.items():
        own = topic.id if archive.manifest.log == "embedded" else None
        ids[name] = (topic.id, await database.fetchval(_TOPIC, name, own, len(topic.bounds)))
    for place, (first, end) in export.bounds().items():
        await database.execute(_PARTITION, *place, first, end)
        done = await database.copy_records_to_table(
            "record", schema_name="log", columns=list(_RECORD), records=_records(archive, place, first, end)
        )
        told(f"log/{place.topic}/{place.number}", int(done.removeprefix("COPY ")))
    return ids


async def _records(archive: Archive, place: Partition, first: int, end: int) -> AsyncIterator[tuple[object, ...]]:
    for record in archive.records(place, first, end):
        yield (*place, record.offset, record.key, _headers(record.headers), record.value, record.time)
