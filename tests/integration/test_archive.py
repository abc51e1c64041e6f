"""Archives of a whole installation: what comes back is what was there, and what doesn't fit is refused (G5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from services.runtime.archive import tables
from services.runtime.archive.container import MANIFEST
from services.runtime.archive.error import ArchiveError
from services.runtime.archive.loading import load
from services.runtime.archive.reading import Archive
from services.runtime.archive.rewriting import rewrite
from services.runtime.archive.stream import Span
from services.runtime.log import EVENTS, Partition
from services.runtime.store import Store
from tests.conftest import Postgres
from tests.end_to_end.processes import Processes
from tests.integration.archive_rig import NAME, at_once, contents, exported, lived, named

_FIRST = Partition(EVENTS, 0)


class Entry(msgspec.Struct):
    number: int
    cause: str


@pytest.fixture(scope="module")
def dsn(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database in which contactsync has lived, with unsettled work."""
    made = postgres.create()
    at_once(lived(made, tmp_path_factory.mktemp("home")))
    yield made
    postgres.drop(made)


@pytest.fixture
async def archive(dsn: str, tmp_path: Path) -> Path:
    """An archive of it, with the credentials."""
    path = tmp_path / "archive"
    await exported(dsn, path, span=Span(credentials=True))
    return path


async def imported(path: Path, dsn: str) -> None:
    async with Store.open(dsn, max_size=2, name=NAME) as store:
        await load(store, Archive(path))


@pytest.mark.parametrize("name", ["folder", "one.zst"])
async def test_g5_an_imported_archive_is_the_same_installation_row_by_row(
    dsn: str, database: str, tmp_path: Path, name: str
) -> None:
    manifest = await exported(dsn, tmp_path / name, span=Span(credentials=True))
    assert not manifest.newest.running
    before = await contents(dsn, credentials=True)
    assert before["sync.journal"]
    assert before["sync.input"]
    assert before["log.record"]
    assert any("unknown" in row or "inflight" in row for row in before["connectors.ledger"])
    Archive(tmp_path / name).verify()
    await imported(tmp_path / name, database)
    after = await contents(database, credentials=True)
    for table, rows in before.items():
        assert after[table] == rows, table
    with pytest.raises(ArchiveError, match="isn't empty"):
        await imported(tmp_path / name, database)
    assert await contents(database, credentials=True) == after


async def test_g5_the_commands_move_an_installation_and_its_health_is_the_same(
    dsn: str, empty_database: str, tmp_path: Path
) -> None:
    archive = tmp_path / "of today.zst"
    async with Processes(tmp_path / "processes", dsn, "postgres:") as processes:
        before = health(await processes.command("status", "--json"))
        assert "goes on exactly here" in await processes.command("export", str(archive))
        processes.use(empty_database)
        told = await processes.command("import", str(archive))
        assert "Without credentials: other, shop." in told
        assert "restored" not in told
        assert health(await processes.command("status", "--json")) == before
        assert before["connections"]


def health(text: str) -> dict[str, object]:
    """What `status` says, without what passes by itself."""
    told: dict[str, object] = msgspec.json.decode(text)
    del told["at"]
    return told


async def test_g5_an_archive_of_a_working_installation_counts_as_a_restored_copy(
    dsn: str, empty_database: str, tmp_path: Path
) -> None:
    async with Processes(tmp_path / "processes", dsn, "postgres:") as processes:
        async with Store.open(dsn, max_size=1) as working:
            await working.execute("SELECT 1")
            assert "contactsync was at work" in await processes.command("export", str(tmp_path / "a"))
        assert Archive(tmp_path / "a").manifest.newest.running
        processes.use(empty_database)
        assert "looked at before anything else" in await processes.command("import", str(tmp_path / "a"))
    async with Store.open(empty_database, max_size=1) as store:
        assert await store.fetchval("SELECT n FROM registry.incarnation") == 2
        assert await store.fetchval("SELECT count(*) FROM connectors.ledger WHERE state <> 'settled'") == 0
        assert await store.fetchval("SELECT count(*) FROM sync.catching_up") > 0


async def test_g5_credentials_are_left_out_unless_they_are_asked_for(dsn: str, tmp_path: Path) -> None:
    await exported(dsn, tmp_path / "archive")
    archive = Archive(tmp_path / "archive")
    assert not {part.stream for part in archive.manifest.parts} & {"registry.credential", "registry.token"}
    assert "registry.account" in archive.manifest.newest.tables


@pytest.mark.parametrize("form", ["folder", "file"])
async def test_g5_a_damaged_archive_is_refused_with_its_part(
    dsn: str, database: str, tmp_path: Path, form: str
) -> None:
    path = tmp_path / ("archive" if form == "folder" else "archive.zst")
    manifest = await exported(dsn, path)
    for part in (each for each in manifest.parts if each.stream in {"sync.link", f"log/{EVENTS}/0"}):
        file = path / part.path if form == "folder" else path
        whole = file.read_bytes()
        start = 0 if form == "folder" else part.start
        for at in (0, part.size // 2, part.size - 1):
            damaged = bytearray(whole)
            damaged[start + at] ^= 0x10
            file.write_bytes(damaged)
            with pytest.raises(ArchiveError, match=rf"The part {part.path}"):
                Archive(path).verify()
        with pytest.raises(ArchiveError, match=part.path):
            await imported(path, database)
        file.write_bytes(whole[: start + part.size - 5])
        with pytest.raises(ArchiveError, match="cut off"):
            Archive(path).verify()
        if form == "folder":
            file.unlink()
            with pytest.raises(ArchiveError, match="is missing"):
                Archive(path).verify()
        file.write_bytes(whole)
        Archive(path).verify()
    await imported(path, database)


async def test_g5_a_line_that_is_none_of_ours_is_refused_with_its_number(archive: Path, database: str) -> None:
    def broken(stream: str, line: bytes) -> bytes:
        return b"{" if stream == "sync.contact" and b"ada3@" in line else line

    assert rewrite(archive, broken) == 2
    with pytest.raises(ArchiveError, match=r"sync.contact-00000-1.ndjson.zst, line \d+, isn't what"):
        Archive(archive).verify()
    with pytest.raises(ArchiveError, match=r"line \d+"):
        await imported(archive, database)
    async with Store.open(database, max_size=1) as store:
        assert await store.fetchval("SELECT count(*) FROM sync.link") == 0


async def test_g5_rows_that_dont_fit_are_refused_without_being_quoted(archive: Path, database: str) -> None:
    def twisted(stream: str, line: bytes) -> bytes:
        return line.replace(b'"active"', b'"person@example.com"') if stream == "sync.link" else line

    assert rewrite(archive, twisted) > 0
    Archive(archive).verify()
    with pytest.raises(ArchiveError, match=r"rows of sync\.link don't fit") as told:
        await imported(archive, database)
    assert "person" not in str(told.value)


async def test_g5_every_table_is_in_an_archive_or_has_a_reason_not_to_be(store: Store, tmp_path: Path) -> None:
    found = await store.fetch(
        "SELECT schemaname, schemaname || '.' || tablename AS name FROM pg_tables t "
        "JOIN pg_class c ON c.oid = (schemaname || '.' || tablename)::regclass AND NOT c.relispartition "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    assert {row["schemaname"] for row in found} == {*tables.SCHEMAS, "log", "public"}
    async with store.transaction(readonly=True) as database:
        there = {table.name for table in await tables.tables(database, credentials=True)}
        assert there >= tables.SECRET | tables.GROWING
    left_out = {row["name"] for row in found if row["schemaname"] in tables.SCHEMAS} - there
    assert left_out == tables.OWN


async def test_g5_a_list_of_parts_that_was_changed_and_an_unfinished_export_are_refused(archive: Path) -> None:
    text = (archive / MANIFEST).read_text()
    (archive / MANIFEST).write_text(text.replace('"running":false', '"running":true '))
    with pytest.raises(ArchiveError, match="changed or damaged"):
        Archive(archive)
    (archive / MANIFEST).write_text(text.replace('{"format":1', '{"format":9'))
    with pytest.raises(ArchiveError, match="changed or damaged"):
        Archive(archive)
    (archive / MANIFEST).unlink()
    with pytest.raises(ArchiveError, match="no archive"):
        Archive(archive)
    with pytest.raises(FileNotFoundError):
        Archive(archive / "elsewhere")


async def test_g5_what_is_exported_into_the_same_folder_is_what_is_new(
    postgres: Postgres, dsn: str, database: str, tmp_path: Path
) -> None:
    own = postgres.create(named(dsn))
    path = tmp_path / "archive"
    insert = (
        "INSERT INTO sync.journal (day, number, input, cause, at, outcome, reason) "
        "VALUES (current_date, nextval('sync.journal_number'), 'test', $1, now(), 'none', '')"
    )
    try:
        async with Store.open(own, max_size=3, name="test") as store:
            async with store.transaction() as under_way:
                await under_way.execute(insert, "under way")
                await store.execute(insert, "before it")
                first = await exported(own, path)
            second = await exported(own, path)
            await store.execute(
                "SELECT log.append($1::text[], $2::int[], $3::int[], $4::bytea[], $5::bytea[], $6::bytea[])",
                [EVENTS], [0], [0], [b"k"], [b"\x90"], [b"\xff not text"],
            )  # fmt: skip
            await store.execute(insert, "last")
            third = await exported(own, path)
            counts = [
                sum(p.rows for p in third.parts if p.stream == "sync.journal" and p.export == n) for n in (1, 2, 3)
            ]
            assert counts[1:] == [1, 1]
            archive = Archive(path)
            archive.verify()
            told = [entry for entry in archive.rows("sync.journal", Entry) if entry.cause in CAUSES]
            assert [entry.cause for entry in told] == CAUSES
            numbers = [entry.number for entry in archive.rows("sync.journal", Entry)]
            assert numbers == sorted(set(numbers))
            end = third.newest.bounds()[_FIRST][1]
            assert end == second.newest.bounds()[_FIRST][1] + 1
            records = list(archive.records(_FIRST))
            assert [record.offset for record in records] == list(range(end))
            assert records[-1].value == b"\xff not text"
            # Of states, the first and the newest are kept.
            assert {part.export for part in third.parts if part.stream == "sync.link"} == {1, 3}
            assert first.newest.number == 1
            assert len(list(archive.rows("sync.link", export=1))) == len(list(archive.rows("sync.link"))) > 0
        await imported(path, database)
        before, after = await contents(own), await contents(database)
        assert {table for table in before if before[table] != after[table]} == set()
        with pytest.raises(ArchiveError, match="another installation's"):
            await exported(dsn, path)
    finally:
        postgres.drop(own)


CAUSES = ["under way", "before it", "last"]


async def test_g5_history_of_a_span_is_there_to_replay_and_what_is_unread_is_kept(
    dsn: str, database: str, tmp_path: Path
) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    await exported(dsn, tmp_path / "history", span=Span(until=later))
    history = Archive(tmp_path / "history")
    assert sum(1 for _ in history.rows("sync.journal")) > 10
    assert list(history.rows("sync.contact")) == []
    with pytest.raises(ArchiveError, match="history to replay"):
        await imported(tmp_path / "history", database)
    with pytest.raises(ArchiveError, match="begins where it ends"):
        await exported(dsn, tmp_path / "history")

    await exported(dsn, tmp_path / "state", span=Span(since=later))
    state = Archive(tmp_path / "state")
    assert list(state.rows("sync.journal")) == []
    async with Store.open(dsn, max_size=1, name=NAME) as store:
        rows = await store.fetch("SELECT partition, next_offset FROM sync.progress WHERE topic = $1", EVENTS)
        unread = {row["partition"]: row["next_offset"] for row in rows}
    for number, at in unread.items():
        begin, end = state.manifest.newest.bounds()[Partition(EVENTS, number)]
        assert begin == min(at, end)
    await imported(tmp_path / "state", database)
    assert (await contents(database))["sync.link"] == (await contents(dsn))["sync.link"]


async def test_g5_what_a_rewriting_takes_out_is_nowhere_in_the_files(archive: Path) -> None:
    def without(stream: str, line: bytes) -> bytes | None:
        if b"ada4@example.com" not in line:
            return line
        return line.replace(b"ada4@example.com", b"") if stream.startswith("log/") else None

    before = [record.offset for record in Archive(archive).records(_FIRST)]
    assert rewrite(archive, without) > 3
    told = Archive(archive)
    told.verify()
    assert not any(b"ada4@" in line for part in told.manifest.parts for line in told.lines(part))
    assert [record.offset for record in told.records(_FIRST)] == before
    files = {str(file.relative_to(archive)) for file in archive.rglob("*") if file.is_file()}
    assert files == {MANIFEST, *(part.path for part in told.manifest.parts)}
    assert rewrite(archive, without) == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in archive.rglob("*"))
