"""Writing an archive: everything the store and the log hold, as of one moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec

from services.runtime.archive import tables
from services.runtime.archive.container import writing
from services.runtime.archive.copying import FromCopy
from services.runtime.archive.error import ArchiveError
from services.runtime.archive.line import Row
from services.runtime.archive.logged import write_log
from services.runtime.archive.manifest import Export, Manifest, Part, Table
from services.runtime.archive.stream import Span, Writer
from services.runtime.log.open import ManagedLog
from services.runtime.store import Connection, Store

_MOMENTS = {"sync.journal": "at", "sync.input": "to_timestamp(now / 1e6)"}
"""When a growing table's row was written, for spans of time."""
_HISTORY = frozenset({"registry.config", "registry.connection", "registry.account", "sync.input_config"})
"""What the rows of the growing tables are read with."""
# Whoever makes and drops days takes this first: it waits here, and nobody queues behind it (services/sync/days.py).
_NO_DAYS = "LOCK TABLE sync.parked IN SHARE UPDATE EXCLUSIVE MODE"
_NOW = """
SELECT pg_current_snapshot()::text AS snapshot, clock_timestamp() AS at, (SELECT n FROM registry.incarnation) AS n,
       (SELECT system_identifier FROM pg_control_system()) || '/' ||
       (SELECT oid FROM pg_database WHERE datname = current_database()) AS database
"""
_MIGRATIONS = "SELECT name FROM public.contactsync_migration ORDER BY name"
# Who is connected is read once in a transaction, unless that is forgotten.
_ANEW = "SELECT pg_stat_clear_snapshot()"
_AT_WORK = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND application_name LIKE 'contactsync%' AND application_name <> 'contactsync-cli')
"""
# Rows that an earlier snapshot didn't show. A row's xmin has 32 bits of its transaction's 64: those next below ours.
_NEW = """
NOT pg_visible_in_snapshot((c.x - (((c.x - r.xmin::text::bigint) % 4294967296 + 4294967296) % 4294967296))::text::xid8,
                           '{snapshot}'::pg_snapshot)
"""
_CURRENT = "(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint) AS c (x)"


async def export(
    store: Store,
    log: ManagedLog | None,
    topics: tuple[str, ...],
    path: Path,
    *,
    span: Span | None = None,
    told: Callable[[str, int], object] = lambda _stream, _rows: None,
) -> Manifest:
    """Write what the installation holds to `path`, or add what is new there to the archive that it is.

    `log`: a log beside the store with its `topics`; None for the embedded one. `told` hears of lines written, stream by
    stream. Raises `ArchiveError`; what was at `path` before is then as it was.
    """
    span = span or Span()
    with writing(path) as container:
        before = container.previous
        writer = Writer(container, 1 if before is None else before.newest.number + 1, told)
        async with store.transaction("repeatable_read") as database:
            await database.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            await database.execute(_NO_DAYS)
            now, database_id, running = await _begun(database, writer, span)
            if before is not None:
                _check(before, now, database_id, log, span)
            for table in await tables.tables(database, credentials=span.credentials):
                if now.whole or table.growing or table.name in _HISTORY:
                    noted = await _write_table(database, writer, table, span, before)
                    now = msgspec.structs.replace(now, tables={**now.tables, table.name: noted})
            logged = await write_log(database, log, topics, writer, span, before)
            now = msgspec.structs.replace(
                now,
                topics=logged,
                sequences=await tables.sequences(database),
                running=running or await _at_work(database),
            )
        manifest = _joined(before, now, writer.parts, database_id, "embedded" if log is None else "kafka")
        container.finish(manifest)
        return manifest


async def _begun(database: Connection, writer: Writer, span: Span) -> tuple[Export, str, bool]:
    running = await _at_work(database)
    row = await database.fetchrow(_NOW)
    if row is None:
        raise ArchiveError("The database doesn't say which one it is.")
    names = tuple(each["name"] for each in await database.fetch(_MIGRATIONS))
    begun = Export(
        number=writer.export,
        at=row["at"],
        running=running,
        whole=span.until is None,
        credentials=span.credentials,
        since=span.since,
        until=span.until,
        snapshot=row["snapshot"],
        incarnation=row["n"],
        migrations=names,
    )
    return begun, row["database"], running


async def _at_work(database: Connection) -> bool:
    """Whether another process of ours than a command is connected."""
    await database.execute(_ANEW)
    return bool(await database.fetchval(_AT_WORK))


def _check(before: Manifest, now: Export, database: str, log: ManagedLog | None, span: Span) -> None:
    """Refuse to add what doesn't continue the archive."""
    if before.database != database or before.log != ("embedded" if log is None else "kafka"):
        raise ArchiveError(
            "This archive is another installation's: what is here doesn't continue it. Name a new folder."
        )
    if before.newest.incarnation != now.incarnation:
        raise ArchiveError(
            "The database was restored from a copy since the last export: what is here doesn't continue the archive. "
            "Name a new folder."
        )
    if span.since or span.until or not before.newest.whole:
        raise ArchiveError("What is added to an archive begins where it ends: --since and --until need a new folder.")


async def _write_table(
    database: Connection, writer: Writer, table: tables.Table, span: Span, before: Manifest | None
) -> Table:
    days = await tables.days(database, table)
    noted = Table(columns=table.columns, json=table.json, days=days)
    if not table.growing:
        with writer.stream(table.name) as put:
            await _copy(database, table, f"FROM {table.name} r", lambda row: put(msgspec.json.encode(row), None))
        return noted
    for day in days:
        where, source = [f"day = '{day}'"], f"{table.name} r"
        if before is not None:
            # A transaction of the evening before may have been under way then.
            if day < before.newest.at.date() - timedelta(days=2):
                continue
            where.append(_NEW.format(snapshot=before.newest.snapshot))
            source += f", {_CURRENT}"
        where += _within(table, span)
        rest = f"FROM {source} WHERE {' AND '.join(where)} ORDER BY number"
        with writer.stream(table.name, f"{table.name}-{day}") as put:
            await _copy(database, table, rest, lambda row, put=put: put(msgspec.json.encode(row), _number(row)))  # type: ignore[misc]
    return noted


def _within(table: tables.Table, span: Span) -> list[str]:
    moment = _MOMENTS[table.name]
    found = [f"{moment} >= '{span.since.isoformat()}'"] if span.since else []
    return [*found, *([f"{moment} < '{span.until.isoformat()}'"] if span.until else [])]


async def _copy(database: Connection, table: tables.Table, rest: str, put: Callable[[Row], None]) -> None:
    columns = ", ".join(f'r."{name}"' for name in table.columns)
    sink = FromCopy(table.columns, table.types, put)
    await database.copy_from_query(f"SELECT {columns} {rest}", output=sink)


def _number(row: Row) -> int:
    return int(bytes(row["number"]))


def _joined(before: Manifest | None, now: Export, parts: list[Part], database: str, log: str) -> Manifest:
    """Put an archive's earlier exports and the present one together: states in between are dropped."""
    exports = (*(() if before is None else before.exports), now)
    kept = {exports[0].number, now.number}
    earlier = () if before is None else before.parts
    return Manifest(
        database=database,
        log="embedded" if log == "embedded" else "kafka",
        exports=exports,
        parts=(*(part for part in earlier if part.first is not None or part.export in kept), *parts),
    )
