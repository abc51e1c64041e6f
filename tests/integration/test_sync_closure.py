"""What a batch may touch is found by looking up, however many contacts there are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.runtime.store import Store
from services.sync.closure import _MERGED_INTO

MANY = 3_000
_CONTACTS = """
INSERT INTO sync.contact (account, contact_id, deleted, order_end, looking, state, object, merged_into, updated_at)
SELECT 'office', 'c' || n, n % 2 = 0, 0, false, '{}', 'null', CASE WHEN n % 2 = 0 THEN 'c' || n + 1 END, now()
  FROM generate_series(1, $1::int) n
"""
_CHAIN = "UPDATE sync.contact SET merged_into = $2 WHERE contact_id = $1"


@pytest.fixture
async def crowded(store: Store) -> Store:
    """A store in which every other contact was merged into the next one."""
    await store.execute(_CONTACTS, MANY)
    await store.pool.execute("VACUUM ANALYZE sync.contact")
    return store


async def test_everybody_whom_merges_connect_is_found_from_any_of_them(crowded: Store) -> None:
    for told, into in (("c10", "c11"), ("c11", "c21"), ("c12", "c21")):
        await crowded.execute(_CHAIN, told, into)
    for start in ("c10", "c11", "c12", "c21"):
        rows = await crowded.fetch(_MERGED_INTO, ["office"], [start])
        # c20 was merged into c21 by the fixture.
        assert {row["id"] for row in rows} == {"c10", "c11", "c12", "c20", "c21"}
    assert [row["id"] for row in await crowded.fetch(_MERGED_INTO, ["shop"], ["c10"])] == ["c10"]


async def test_finding_them_reads_nobody_else(crowded: Store) -> None:
    ids = [f"c{at}" for at in range(100, 110)]
    plan = await crowded.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {_MERGED_INTO}", ["office"] * len(ids), ids)
    assert max(_read(msgspec.json.decode(plan)[0]["Plan"])) <= 10 * len(ids)


def _read(node: dict[str, Any]) -> list[float]:
    """How many rows each step of the plan looked at."""
    own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return [own, *(found for each in node.get("Plans", ()) for found in _read(each))]
