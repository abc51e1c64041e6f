"""Which of the store's tables an archive holds, as the catalog tells: a new table is in the next archive by itself."""

from __future__ import annotations

from datetime import date

import msgspec

from services.runtime.archive.manifest import Sequence
from services.runtime.store import Connection

SCHEMAS = ("registry", "ingest", "sync", "connectors")
"""The log has a form of its own in an archive, the same whatever carries it."""
SECRET = frozenset({"registry.credential", "registry.token"})
"""Sealed credentials: only on request."""
OWN = frozenset({"ingest.lease", "connectors.lease"})
"""Who works on an account at this moment: means nothing to another installation."""
GROWING = frozenset({"sync.journal", "sync.input"})
"""Rows are only added, each with a number: an export into the same folder adds those that are new."""

_TABLES = """
SELECT n.nspname || '.' || c.relname AS name, n.nspname AS schema, c.relname AS relation, c.relkind = 'p' AS split,
       array_agg(a.attname::text ORDER BY a.attnum) AS columns,
       array_agg(t.typname::text ORDER BY a.attnum) AS types
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  JOIN pg_type t ON t.oid = a.atttypid
 WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
 GROUP BY 1, 2, 3, 4 ORDER BY 1
"""
_POINTING = """
SELECT DISTINCT f.nspname || '.' || c.relname AS source, g.nspname || '.' || d.relname AS target
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace f ON f.oid = c.relnamespace
  JOIN pg_class d ON d.oid = k.confrelid JOIN pg_namespace g ON g.oid = d.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0 AND f.nspname = ANY($1)
"""
_SEQUENCES = "SELECT schemaname || '.' || sequencename FROM pg_sequences WHERE schemaname = ANY($1) ORDER BY 1"


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the store."""

    name: str
    """With its schema."""
    split: bool
    """Whether it is kept by day, in partitions."""
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def json(self) -> tuple[str, ...]:
        """Its columns that hold JSON."""
        return tuple(name for name, kind in zip(self.columns, self.types, strict=True) if kind in {"json", "jsonb"})

    @property
    def growing(self) -> bool:
        """Whether its rows are only added, by number."""
        return self.name in GROWING


async def tables(database: Connection, *, credentials: bool) -> list[Table]:
    """Return the tables that an archive holds, each after those that it points to."""
    left_out = OWN if credentials else OWN | SECRET
    found = {
        row["name"]: Table(
            name=row["name"], split=row["split"], columns=tuple(row["columns"]), types=tuple(row["types"])
        )
        for row in await database.fetch(_TABLES, SCHEMAS)
        if row["name"] not in left_out
    }
    pointing = [(row["source"], row["target"]) for row in await database.fetch(_POINTING, SCHEMAS)]
    ordered: list[Table] = []
    while found:
        free = [
            name for name in found if not any(s == name and t != name and t in found for s, t in pointing)
        ] or sorted(found)
        ordered += [found.pop(name) for name in free]
    return ordered


async def days(database: Connection, table: Table) -> tuple[date, ...]:
    """Return the days of which a table that is kept by day has rows."""
    if not table.split:
        return ()
    rows = await database.fetch(f"SELECT DISTINCT day FROM {table.name} ORDER BY day")  # noqa: S608 - from the catalog
    return tuple(row["day"] for row in rows)


async def sequences(database: Connection) -> dict[str, Sequence]:
    """Return where every sequence stands. They are ahead of the rows of any transaction that is under way."""
    names = [row[0] for row in await database.fetch(_SEQUENCES, SCHEMAS)]
    found: dict[str, Sequence] = {}
    for name in names:
        row = await database.fetchrow(f"SELECT last_value, is_called FROM {name}")  # noqa: S608 - from the catalog
        if row is not None:
            found[name] = Sequence(value=row["last_value"], called=row["is_called"])
    return found
