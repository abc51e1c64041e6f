"""An archive that an older contactsync made: its rows become what the migrations since make of rows (G5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.archive.error import ArchiveError
from services.runtime.archive.loading import load
from services.runtime.archive.manifest import Manifest
from services.runtime.archive.reading import Archive
from services.runtime.store import Store
from services.runtime.store.migrate import migrate, migrations, pending
from tests.conftest import Postgres
from tests.integration.archive_rig import NAME, exported

_OLD = "0013_merged.sql"
_CONTACT = """
INSERT INTO sync.contact (account, contact_id, deleted, order_end, looking, state, object, updated_at)
VALUES ('shop', 'cus_1', false, 1, false, '{"a": "\\u0000"}', '{"b":\n "\\u0000"}', now())
"""


@pytest.fixture
def older(postgres: Postgres) -> Iterator[str]:
    """A database without any of our schema."""
    dsn = postgres.create("template1")
    yield dsn
    postgres.drop(dsn)


@pytest.mark.parametrize("fresh", [True, False], ids=["no tables", "tables of today"])
async def test_g5_an_older_archive_is_migrated_on_its_way_in(
    older: str, database: str, empty_database: str, tmp_path: Path, fresh: bool
) -> None:
    known = tuple(each for each in migrations() if each.name <= _OLD)
    async with Store.open(older, max_size=1, name=NAME) as store:
        async with store.pool.acquire() as connection:
            await migrate(connection, known)
        await store.execute(_CONTACT)
    manifest = await exported(older, tmp_path / "archive")
    assert manifest.newest.migrations[-1] == _OLD
    async with Store.open(empty_database if fresh else database, max_size=2, name=NAME) as store:
        await load(store, Archive(tmp_path / "archive"))
        async with store.pool.acquire() as connection:
            assert await pending(connection) == []
        row = await store.fetchrow("SELECT contact_id, state, object, seq FROM sync.contact")
        assert row is not None
        assert tuple(row) == ("cus_1", '{"a": "\\u0000"}', '{"b":\n "\\u0000"}', 1)
        # What a later migration makes of what is there by then.
        assert await store.fetchval("SELECT whole FROM sync.input_start") is False
        added = "INSERT INTO sync.wake (link) VALUES (gen_random_uuid()) RETURNING id"
        assert await store.fetchval(added) == 1


async def test_g5_an_archive_from_a_newer_contactsync_is_refused(database: str, tmp_path: Path) -> None:
    async with Store.open(database, max_size=1, name=NAME) as store:
        await store.execute("INSERT INTO public.contactsync_migration VALUES ('9999_later.sql', '')")
    manifest: Manifest = await exported(database, tmp_path / "archive")
    assert manifest.newest.migrations[-1] == "9999_later.sql"
    async with Store.open(database, max_size=1, name=NAME) as store:
        with pytest.raises(ArchiveError, match="newer contactsync"):
            await load(store, Archive(tmp_path / "archive"))
