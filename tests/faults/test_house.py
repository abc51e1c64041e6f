"""What the campaign relies on: points at which processes end, wrong clocks, and the watch over who commits what."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest

from services.runtime.store import Store
from tests.end_to_end.processes import SECRET_KEY
from tests.faults.child import POINT, SKEW, Fuse
from tests.faults.house import WATCH
from tests.faults.roles import KILLED, Role

CONNECTIONS = """
accounts:
  l: {app: stripe, api_key: sk_test_l1234567890123456789, webhook_secrets: [whsec_l]}
  r: {app: stripe, api_key: sk_test_r1234567890123456789, webhook_secrets: [whsec_r]}
connections:
  c: {left: l, right: r}
"""
CLAIM = "UPDATE sync.progress SET epoch = epoch + 1"
ADVANCE = "UPDATE sync.progress SET next_offset = next_offset + {}"
FIRST = "INSERT INTO sync.progress VALUES ('sync', 't', 0, 1, 0, 'log')"


async def applied(dsn: str, folder: Path, **settings: str) -> int:
    """Apply a file in a process of its own, and return its exit status."""
    file = folder / "connections.yaml"
    file.write_text(CONNECTIONS)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
    set_ = {"CONTACTSYNC_STORE_URL": dsn, "CONTACTSYNC_SECRET_KEY": SECRET_KEY, **settings}
    role = Role("apply", ["apply", str(file)], {**kept, **set_}, folder / "apply.log")
    await role.start()
    try:
        return await role.ended(60)
    finally:
        await role.kill()


# The first transaction of `apply` only looks at what the file would do; the second changes it.
@pytest.mark.parametrize(("point", "accounts"), [("commit.before:2", 0), ("commit.after:2", 2), ("", 2)])
async def test_a_process_ends_at_the_point_that_was_named(
    database: str, tmp_path: Path, point: str, accounts: int
) -> None:
    status = await applied(database, tmp_path, **{POINT: point, SKEW: "600"})
    assert status == (KILLED if point else 0)
    async with Store.open(database) as store:
        assert await store.fetchval("SELECT count(*) FROM registry.account") == accounts


def test_a_fuse_burns_at_the_passing_that_was_named_and_knows_its_points() -> None:
    fuse = Fuse()
    assert not fuse.burns("commit.before")
    fuse.set("commit.before:2")
    assert [fuse.burns(point) for point in ("commit.before", "commit.after", "commit.before", "commit.before")] == [
        *(False, False, True, False)
    ]
    with pytest.raises(ValueError, match=r"there is no point lunch"):
        fuse.set("lunch:1")


async def test_a_commit_by_anybody_but_the_last_who_claimed_is_stale(database: str) -> None:
    old, new = [await asyncpg.connect(database, server_settings={"application_name": name}) for name in ("old", "new")]
    try:
        await old.execute(WATCH)
        await old.execute(FIRST)
        await old.execute(ADVANCE.format(3))
        await new.execute(CLAIM)
        await new.execute(ADVANCE.format(1))
        assert await old.fetch("SELECT * FROM faults.stale") == []
        await old.execute(ADVANCE.format(1))
        await new.execute(ADVANCE.format(-2))
        rows = await old.fetch("SELECT owner, who, before, after FROM faults.stale ORDER BY at")
        assert [tuple(row) for row in rows] == [("new", "old", 4, 5), ("new", "new", 5, 3)]
    finally:
        await old.close()
        await new.close()
