"""The store for a command: one's own PostgreSQL, the bundled one that runs already, or the bundled one for a moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from services.cli.failure import Failure
from services.runtime import telemetry
from services.runtime.settings import Settings
from services.runtime.store import Store
from services.runtime.store.embedded import DATABASE, AlreadyRunning, EmbeddedPostgres, EmbeddedPostgresError, dsn_of
from services.runtime.store.installation import locate
from services.runtime.store.migrate import check, migrate

_PATIENCE = 20.0
"""Seconds in which a contactsync that is starting or ending on the same folder gets out of the way."""
_PAUSE = 0.1
# https://www.postgresql.org/docs/18/storage-file-layout.html: postmaster.pid holds, line by line, process id, data
# directory, start time, port, first socket directory, …
_SOCKET_LINE = 4


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, migrated: bool = True) -> AsyncIterator[Store]:
    """The store of these settings. With `migrated`, it has all migrations.

    A bundled PostgreSQL that nobody else uses is brought up to date by the way; elsewhere lacking migrations raise
    `SchemaBehind`. Raises `Failure` and the store's own errors.
    """
    # Log lines go to stderr: the standard output is the command's answer.
    telemetry.configure(settings.log_format, "debug" if settings.log_level == "debug" else "warning")
    async with contextlib.AsyncExitStack() as stack:
        if settings.store_url is not None:
            dsn, alone = settings.store_url.get_secret_value(), False
        else:
            dsn, alone = await _bundled(settings.data_dir, stack)
        if migrated:
            connection = await asyncpg.connect(dsn, timeout=30)
            try:
                await (migrate(connection) if alone else check(connection))
            finally:
                await connection.close()
        yield await stack.enter_async_context(Store.open(dsn, max_size=2, name="contactsync-cli"))


async def _bundled(data_dir: Path, stack: contextlib.AsyncExitStack) -> tuple[str, bool]:
    """The address, and whether the server is ours alone."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while True:
        try:
            return (await stack.enter_async_context(EmbeddedPostgres(data_dir))).dsn, True
        except AlreadyRunning as running:
            if dsn := await _answering(data_dir):
                return dsn, False
            if asyncio.get_running_loop().time() > deadline:
                raise Failure(f"{running}. Its PostgreSQL doesn't answer.") from None
        await asyncio.sleep(_PAUSE)


async def _answering(data_dir: Path) -> str | None:
    """The address of the server that runs on the folder, if it answers."""
    if (sockets := _sockets(data_dir)) is None:
        return None
    dsn = dsn_of(sockets, DATABASE)
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return None
    try:
        await connection.execute("SELECT 1")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    finally:
        connection.terminate()
    return dsn


def _sockets(data_dir: Path) -> Path | None:
    """The folder of the running server's socket; None while it has none."""
    try:
        lines = (locate(data_dir).data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise EmbeddedPostgresError(
            f"contactsync runs on {data_dir.resolve()} as another user. Run this command as that user or as root."
        ) from None
    return Path(lines[_SOCKET_LINE]) if len(lines) > _SOCKET_LINE and lines[_SOCKET_LINE] else None
