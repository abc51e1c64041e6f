"""What a batch may touch is found by looking up, however many contacts there are."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from services.runtime.store import Connection, Store
from services.sync.closure import _CLOSURE

Asks: TypeAlias = "Store | Connection"

MANY = 3_000
_CONTACTS = """
INSERT INTO sync.contact (account, contact_id, deleted, order_end, looking, state, object, merged_into, updated_at)
SELECT 'office', 'c' || n, n % 2 = 0, 0, false, '{}', 'null', CASE WHEN n % 2 = 0 THEN 'c' || n + 1 END, now()
  FROM generate_series(1, $1::int) n
"""
_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables WHERE schemaname = 'sync'
"""
_CHAIN = "UPDATE sync.contact SET merged_into = $2 WHERE contact_id = $1"


@pytest.fixture
async def crowded(store: Store) -> Store:
    """A store in which every other contact was merged into the next one."""
    await store.execute(_CONTACTS, MANY)
    await store.pool.execute("VACUUM ANALYZE sync.contact")
    return store


async def merged(database: Asks, account: str, *ids: str) -> set[str]:
    row = await database.fetchrow(_CLOSURE, [account] * len(ids), list(ids), [], [], [], [], [])
    assert row is not None
    assert set(row["k_accounts"]) == {account}
    return set(row["k_ids"])


async def test_everybody_whom_merges_connect_is_found_from_any_of_them(crowded: Store) -> None:
    for told, into in (("c10", "c11"), ("c11", "c21"), ("c12", "c21")):
        await crowded.execute(_CHAIN, told, into)
    for start in ("c10", "c11", "c12", "c21"):
        # c20 was merged into c21 by the fixture.
        assert await merged(crowded, "office", start) == {"c10", "c11", "c12", "c20", "c21"}
    assert await merged(crowded, "shop", "c10") == {"c10"}


async def test_finding_them_reads_nobody_else(crowded: Store) -> None:
    ids = [f"c{at}" for at in range(100, 110)]
    async with crowded.transaction() as database:
        before = await database.fetchval(_READ)
        assert await merged(database, "office", *ids) >= set(ids)
        assert await database.fetchval(_READ) - before <= 10 * len(ids)
