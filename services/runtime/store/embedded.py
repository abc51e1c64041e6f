"""The bundled PostgreSQL: a real server, started, watched and stopped by us."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import quote

import asyncpg
import structlog

from services.runtime.store import postmaster
from services.runtime.store.installation import EmbeddedPostgresError, Installation, locate, make_folder

__all__ = ["DATABASE", "AlreadyRunning", "EmbeddedPostgres", "EmbeddedPostgresError", "dsn_of"]

DATABASE = "contactsync"
_SOCKET_LIMIT = 103
"""Bytes that a socket's path may have on every system we run on (107 on Linux, 103 on macOS)."""
_READY_SECONDS = 300.0  # recovery after a crash may have much to replay
_STARTS = 5
_POLL_SECONDS = 0.02


class AlreadyRunning(EmbeddedPostgresError):  # noqa: N818 - reads as the sentence it is
    """Another contactsync holds this data folder."""


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(data_dir) as pg:` runs a server on `data_dir` and gives `pg.dsn`.

    The data is kept. A server that dies is started again under the same address; clients see lost connections
    in between. When it can't be started five times in a row, `watch()` raises `EmbeddedPostgresError`.
    Enter it on a thread that lives as long as the server is to live (on Linux the server ends with it).
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are PostgreSQL's own (name to value), over ours."""
        self._data_dir = data_dir
        self._settings = dict(settings or {})
        self._stack = contextlib.AsyncExitStack()
        self._stopping = False

    @property
    def dsn(self) -> str:
        """The database's address, for asyncpg and libpq alike."""
        return dsn_of(self._sockets, DATABASE)

    @property
    def pid(self) -> int:
        """The present server's process id."""
        return self._process.pid

    @property
    def installation(self) -> Installation:
        """Where its data and programs lie."""
        return self._installation

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await asyncio.to_thread(make_folder, self._data_dir, enterable=os.geteuid() == 0)
            stack.enter_context(_held(self._data_dir))
            self._installation = await asyncio.to_thread(locate, self._data_dir)
            self._sockets = stack.enter_context(_socket_folder(self._installation))
            await asyncio.to_thread(postmaster.create_data, self._installation)
            self._failed: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()
            stack.push_async_callback(self._stop)
            await self._start()
            await self._create_database()
            supervisor = asyncio.create_task(self._supervise(), name="embedded-postgres")
            stack.push_async_callback(_cancelled, supervisor)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def watch(self) -> NoReturn:
        """Wait, normally for ever; raise `EmbeddedPostgresError` when the server is beyond restarting."""
        await asyncio.shield(self._failed)

    async def _start(self) -> None:
        for attempt in range(_STARTS):
            await postmaster.clear_previous(self._installation)
            self._process = postmaster.spawn(self._installation, self._sockets, self._settings)
            self._ended = postmaster.exit_of(self._process)
            if await self._ready():
                return
            await asyncio.sleep(0.1 * 2**attempt)
        raise EmbeddedPostgresError(
            f"The bundled PostgreSQL doesn't start; its last words are in {self._installation.log_file}. Is the disk "
            "full, or does another PostgreSQL use the data?"
        )

    async def _ready(self) -> bool:
        """Whether a query succeeded before the process ended. A socket file alone says nothing."""
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not self._ended.done() and asyncio.get_running_loop().time() < deadline:
            try:
                connection = await asyncpg.connect(dsn_of(self._sockets, "postgres"), timeout=5)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                await asyncio.wait({self._ended}, timeout=_POLL_SECONDS)
                continue
            try:
                await connection.execute("SELECT 1")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                continue
            finally:
                connection.terminate()
            return True
        await postmaster.stop(self._process, self._ended)
        return False

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(dsn_of(self._sockets, "postgres"))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    async def _supervise(self) -> None:
        log = structlog.get_logger()
        while True:
            status = await asyncio.shield(self._ended)
            if self._stopping:
                return
            log.warning("embedded_postgres_ended", status=status)
            try:
                await self._start()
            except (EmbeddedPostgresError, OSError) as error:
                self._failed.set_exception(error)
                self._failed.exception()  # retrieved: a program that never watches isn't warned at its end
                return
            log.info("embedded_postgres_restarted")

    async def _stop(self) -> None:
        self._stopping = True
        if getattr(self, "_process", None) is not None and not self._ended.done():
            await postmaster.stop(self._process, self._ended)


def dsn_of(sockets: Path, database: str) -> str:
    """The address of `database` on the server whose socket lies in the folder `sockets`."""
    return f"postgresql://postgres@/{database}?host={quote(str(sockets), safe='/')}"


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


@contextlib.contextmanager
def _held(data_dir: Path) -> Iterator[None]:
    """Hold the data folder against a second contactsync; the system lets go when we die, however we die."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise EmbeddedPostgresError(
            f"The data folder {data_dir} belongs to another user. Run contactsync as that user or as root, or choose "
            "another data folder with CONTACTSYNC_DATA_DIR."
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"contactsync already runs on {data_dir.resolve()} (pid {holder}); stop it or choose another data "
                "folder with CONTACTSYNC_DATA_DIR"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _socket_folder(installation: Installation) -> Iterator[Path]:
    """A short folder that only the server's user may enter. A data folder's own path is often too long for a socket.

    Folders that killed runs left are removed: the data folder's lock says that nobody uses them.
    """
    prefix = f"contactsync-{installation.fingerprint}-"
    parent = Path(tempfile.gettempdir())
    owner = installation.owner
    if len(os.fsencode(parent / f"{prefix}12345678" / ".s.PGSQL.5432")) > _SOCKET_LIMIT or not owner.can_enter(parent):
        parent = Path("/tmp")  # noqa: S108 - mkdtemp makes a private folder with a name nobody can foresee
    for left in parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        if owner.switch:
            os.chown(folder, owner.uid, owner.gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
