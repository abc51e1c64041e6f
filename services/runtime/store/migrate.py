"""Migrations: plain SQL files, forward only, each applied once in a transaction of its own."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from importlib import resources
from typing import TypeAlias

import asyncpg

from services.runtime.store import Connection as PooledConnection

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PooledConnection"

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_LOCK = 0x636F6E7461637473  # "contacts": one number that nobody else's advisory lock is likely to have
_TABLE = """
CREATE TABLE IF NOT EXISTS public.contactsync_migration (
    name text PRIMARY KEY,
    checksum bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED = "SELECT name, checksum FROM public.contactsync_migration"


class MigrationError(Exception):
    """The migrations and the database don't fit together. The text says how, and what to do, to a person."""


class SchemaBehind(Exception):  # noqa: N818 - reads as the sentence it is
    """The database lacks migrations that this program needs."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of SQL."""

    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).digest()


def migrations() -> tuple[Migration, ...]:
    """The program's migrations, in order. Raises `MigrationError` on a misnamed file or a number used twice."""
    folder = resources.files("services.runtime.store") / "migrations"
    return arranged(
        Migration(file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )


def arranged(found: Iterable[Migration]) -> tuple[Migration, ...]:
    """Migrations in the order of their numbers. Raises `MigrationError` as `migrations` does."""
    ordered = tuple(sorted(found, key=lambda migration: migration.name))
    numbers: dict[str, str] = {}
    for migration in ordered:
        match = _NAME.match(migration.name)
        if not match:
            raise MigrationError(f"The migration {migration.name} isn't named like 0001_what_it_does.sql. Rename it.")
        if (other := numbers.setdefault(match[1], migration.name)) != migration.name:
            raise MigrationError(f"{other} and {migration.name} have the same number. Renumber the newer one.")
    return ordered


async def pending(connection: Connection, known: tuple[Migration, ...] | None = None) -> list[str]:
    """Names of the migrations that the database lacks, in order; empty when it is up to date.

    Migrations that only the database knows are fine: a newer program has run there, and changes are additive.
    Raises `MigrationError` when an applied file was changed since, or a new one is numbered below an applied
    one.
    """
    known = migrations() if known is None else known
    if await connection.fetchval("SELECT to_regclass('public.contactsync_migration')") is None:
        return [migration.name for migration in known]
    applied = {row["name"]: bytes(row["checksum"]) for row in await connection.fetch(_APPLIED)}
    lacking: list[str] = []
    for migration in known:
        if migration.name not in applied:
            lacking.append(migration.name)
        elif applied[migration.name] != migration.checksum:
            raise MigrationError(
                f"The migration {migration.name} was changed after it was applied to this database. Put its text back "
                "as it was, and write what you need as a new migration."
            )
    if lacking and applied and lacking[0] < (newest := max(applied)):
        raise MigrationError(
            f"The migration {lacking[0]} is new but numbered below {newest}, which this database already has. Renumber "
            "it above."
        )
    return lacking


async def migrate(connection: Connection, known: tuple[Migration, ...] | None = None) -> list[str]:
    """Apply what the database lacks; names of what was applied come back.

    Safe to call from several processes at once: one works, the others wait and then find nothing to do. A
    failing file leaves no trace and stops the rest. Raises `MigrationError`, or asyncpg's error of the
    failing statement.
    """
    known = migrations() if known is None else known
    async with _locked(connection):
        await connection.execute(_TABLE)
        lacking = frozenset(await pending(connection, known))
        todo = [migration for migration in known if migration.name in lacking]
        for migration in todo:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO public.contactsync_migration (name, checksum) VALUES ($1, $2)",
                    migration.name,
                    migration.checksum,
                )
    return [migration.name for migration in todo]


async def check(connection: Connection, known: tuple[Migration, ...] | None = None) -> None:
    """Raise `SchemaBehind` when the database lacks migrations; what `pending` raises otherwise."""
    if lacking := await pending(connection, known):
        raise SchemaBehind(
            f"The database lacks {len(lacking)} of this program's migrations ({', '.join(lacking)}). Run `contactsync "
            "migrate`, then start again."
        )


@contextlib.asynccontextmanager
async def _locked(connection: Connection) -> AsyncIterator[None]:
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)
