"""One PostgreSQL server process: its data, its start, its end, and what an earlier one left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from services.runtime.store.installation import MAJOR, EmbeddedPostgresError, Installation

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "100",
    "jit": "off",  # our statements are short: compiling them takes longer than running them
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The server's log must not hold contacts' data: an error's text quotes values, so errors aren't logged
    # there.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
}
_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
_LARGEST_LOG = 10 * 1024 * 1024  # bytes; looked at when the server starts, which says about ten lines each time
_FAST_SECONDS = 30.0
_IMMEDIATE_SECONDS = 10.0
_ORPHAN_SECONDS = 3.0
_POLL_SECONDS = 0.02


def create_data(installation: Installation) -> None:
    """Create the data directory with initdb, or check that the present one is of our major version.

    It is made under another name and renamed, so that a kill halfway leaves nothing that looks finished.
    Blocking, about half a second the first time. Raises `EmbeddedPostgresError`.
    """
    version = installation.data / "PG_VERSION"
    if installation.data.is_dir():
        found = version.read_text().strip() if version.is_file() else "?"
        if found != str(MAJOR):
            raise EmbeddedPostgresError(
                f"The data in {installation.data} is of PostgreSQL {found}, and contactsync brings {MAJOR}. Start "
                "the contactsync version that made it, `contactsync export` there, and `contactsync import` here."
            )
        return
    owner = installation.owner
    for left in installation.home.glob("postgres-new-*"):
        shutil.rmtree(left)
    half = Path(tempfile.mkdtemp(prefix="postgres-new-", dir=installation.home))
    if owner.switch:
        os.chown(half, owner.uid, owner.gid)
    command: list[str | Path] = [
        installation.programs / "initdb",
        "--pgdata",
        half,
        "--username",
        "postgres",
        "--encoding",
        "UTF8",
    ]
    command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
    command += ["--auth-local", "trust", "--auth-host", "reject"]  # the socket's folder is the lock
    done = subprocess.run(command, capture_output=True, text=True, check=False, **owner.spawn())
    if done.returncode != 0:
        raise EmbeddedPostgresError(
            f"A new PostgreSQL couldn't be set up in {installation.home}: {done.stderr.strip() or 'no reason given'}"
        )
    half.rename(installation.data)


def spawn(installation: Installation, sockets: Path, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the server in the foreground as our child, in a process group of its own.

    On Linux it is sent SIGINT when the calling *thread* ends, so call it from one that lives as long as we
    do.
    """
    command = [str(installation.programs / "postgres"), "-D", str(installation.data)]
    for name, value in {**_SETTINGS, "unix_socket_directories": str(sockets), **settings}.items():
        command += ["-c", f"{name}={value}"]
    full = installation.log_file.is_file() and installation.log_file.stat().st_size > _LARGEST_LOG
    with installation.log_file.open("wb" if full else "ab") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            process_group=0,
            preexec_fn=_end_with_parent(os.getpid()),  # noqa: PLW1509 - only settable after the fork
            **installation.owner.spawn(),
        )


def exit_of(process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """A future of the process's exit status.

    A thread waits: it reaps at once (a zombie would keep the lock file alive) and needs no child watcher, so
    it works under uvloop and outside the main thread as well.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()

    def settle(status: int) -> None:
        if not future.done():
            future.set_result(status)

    def wait() -> None:
        status = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, status)

    threading.Thread(target=wait, name=f"postgres-{process.pid}", daemon=True).start()
    return future


async def stop(process: subprocess.Popen[bytes], ended: asyncio.Future[int]) -> None:
    """End the server: SIGINT ends sessions and writes a checkpoint; a server that doesn't answer is forced."""
    for sign, seconds in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)):
        process.send_signal(sign)
        done, _ = await asyncio.wait({ended}, timeout=seconds)
        if done:
            return
    process.kill()
    await ended


async def clear_previous(installation: Installation) -> None:
    """End a server that an earlier run left on this data, and remove a lock file that no live process holds.

    To be called under the data folder's own lock only. Raises `EmbeddedPostgresError` when it can't be ended.
    """
    lock = installation.data / "postmaster.pid"
    pid = _pid_in(lock)
    if pid is None:
        return
    for sign, seconds in (
        (signal.SIGINT, _FAST_SECONDS),
        (signal.SIGQUIT, _IMMEDIATE_SECONDS),
        (signal.SIGKILL, 0.0),
    ):
        if pid not in _servers(installation.data):
            break
        _send(sign, pid)
        await _until(lambda: pid not in _servers(installation.data), seconds)
    # Sessions of a killed server go on for a moment, and two servers on one data directory would destroy it.
    # What is left after that moment is killed: their server is gone, so the data will be recovered in any
    # case.
    if not await _until(lambda: not _servers(installation.data), _ORPHAN_SECONDS):
        for orphan in _servers(installation.data):
            _send(signal.SIGKILL, orphan)
    if not await _until(lambda: not _servers(installation.data), _IMMEDIATE_SECONDS):
        raise EmbeddedPostgresError(
            f"A PostgreSQL process of an earlier run (pid {min(_servers(installation.data), default=pid)}) still uses "
            f"{installation.data} and doesn't end. End it, then start again."
        )
    if sys.platform == "linux":
        # Elsewhere we can't tell a zombie or a reused pid from a server, and leave the decision to
        # PostgreSQL.
        lock.unlink(missing_ok=True)


def _send(sign: signal.Signals, pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def _pid_in(lock: Path) -> int | None:
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _servers(data: Path) -> set[int]:
    """Live processes of a server on `data` (its working directory is the data directory). Zombies have none."""
    if sys.platform != "linux":
        return _servers_by_name(data)
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == data:
                    found.add(int(entry.name))
    return found


def _servers_by_name(data: Path) -> set[int]:
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,stat=,command="], capture_output=True, text=True, check=False)
    rows = (line.split(None, 2) for line in listing.stdout.splitlines())
    return {int(row[0]) for row in rows if len(row) == 3 and "Z" not in row[1] and f"-D {data}" in row[2]}


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    for _ in range(int(seconds / _POLL_SECONDS)):
        if condition():
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return condition()


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask
