"""A new key for everything that is stored: nothing is lost on the way, whenever it ends."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import msgspec
import pytest

from services.contracts.app import Trouble
from services.runtime.registry.rotate import Rotated, Sealed, rotate, sealed
from services.runtime.registry.seed import authorised
from services.runtime.secrets import SecretsError, Vault, key_file, purpose, vault
from services.runtime.store import Store
from services.runtime.tokens import Grant, StoreKeeper

OLD, NEW = b"o" * 32, b"n" * 32
BEFORE, BOTH, AFTER = Vault(OLD), Vault(NEW, OLD), Vault(NEW)
ROWS = 10_000

_PUT = "INSERT INTO registry.credential (account, field, sealed, key_id, seed_digest) VALUES ($1, $2, $3, $4, $5)"
_ALL = "SELECT account, field, sealed, key_id, seed_digest, updated_at FROM registry.credential ORDER BY account, field"
_SWAP = """
UPDATE registry.credential c SET sealed = other.sealed, key_id = other.key_id
FROM registry.credential other
WHERE (c.account, c.field, other.account, other.field) IN (('a1', 'f0', 'a2', 'f0'), ('a2', 'f0', 'a1', 'f0'))
"""


def plain(account: str, field: str) -> bytes:
    return msgspec.json.encode((f"secret of {account}.{field}",))


async def stock(store: Store, accounts: int, fields: int = 2, safe: Vault = BEFORE) -> None:
    version = await store.fetchval(
        "INSERT INTO registry.config (applied_by, source, content) VALUES ('tests', '', '{}') RETURNING version"
    )
    names = [f"a{n}" for n in range(accounts)]
    async with store.transaction() as database:
        await database.executemany(
            "INSERT INTO registry.account (name, app, config_version) VALUES ($1, 'stripe', $2)",
            [(name, version) for name in names],
        )
        rows = []
        for name in names:
            for field in (f"f{n}" for n in range(fields)):
                place, value = purpose(name, field), plain(name, field)
                rows.append((name, field, safe.seal(value, place), safe.key_id, safe.digest(value, place)))
        await database.executemany(_PUT, rows)


async def opened(store: Store, safe: Vault) -> int:
    """How many rows hold what they should, under this vault; each place opens its own and no other's."""
    count = 0
    for row in await store.fetch(_ALL):
        value = safe.open(bytes(row["sealed"]), purpose(row["account"], row["field"]))
        count += value == plain(row["account"], row["field"])
        with pytest.raises(SecretsError, match="belongs elsewhere"):
            safe.open(bytes(row["sealed"]), purpose(row["account"], row["field"] + "x"))
    return count


async def test_ten_thousand_credentials_get_the_new_key(store: Store) -> None:
    await stock(store, ROWS // 2)
    times = [row["updated_at"] for row in await store.fetch(_ALL)]
    assert await rotate(store, BOTH) == Rotated(credentials=ROWS, tokens=0, left=(), forgot=())
    assert await opened(store, AFTER) == ROWS
    rows = await store.fetch(_ALL)
    assert [row["updated_at"] for row in rows] == times
    assert all(row["seed_digest"] == AFTER.digest(plain(row[0], row[1]), purpose(row[0], row[1])) for row in rows[:99])
    async with store.transaction(readonly=True) as database:
        assert await sealed(database) == [Sealed(key_id=AFTER.key_id, credentials=ROWS, tokens=0)]
    with pytest.raises(SecretsError, match="sealed with another key"):
        await opened(store, BEFORE)
    assert await rotate(store, BOTH) == Rotated(credentials=0, tokens=0, left=(), forgot=())


async def test_a_swapped_value_is_not_sealed_anew_for_the_wrong_place(store: Store) -> None:
    await stock(store, 4, 1)
    await store.execute(_SWAP)
    assert await rotate(store, BOTH) == Rotated(credentials=2, tokens=0, left=("a1.f0", "a2.f0"), forgot=())
    await store.execute(_SWAP)
    assert (await rotate(store, BOTH)).credentials == 2
    await store.execute(_SWAP)
    for row in await store.fetch(_ALL):
        place = purpose(row["account"], row["field"])
        if row["account"] in {"a1", "a2"}:
            with pytest.raises(SecretsError):
                AFTER.open(bytes(row["sealed"]), place)


async def test_what_no_key_opens_stays_and_the_rest_goes_on(store: Store) -> None:
    await stock(store, 3, 1, Vault(b"x" * 32))
    await store.execute("DELETE FROM registry.credential WHERE account <> 'a1'")
    before = await store.fetch(_ALL)
    assert await rotate(store, BOTH, batch=1) == Rotated(credentials=0, tokens=0, left=("a1.f0",), forgot=())
    assert await store.fetch(_ALL) == before


async def test_a_value_that_was_authorised_is_kept_and_named(store: Store) -> None:
    await stock(store, 2, 1)
    digest = BEFORE.digest(b"the file's", purpose("a1", "f0"))
    await store.execute("UPDATE registry.credential SET seed_digest = $1 WHERE account = 'a1'", authorised(digest))
    await store.execute("UPDATE registry.credential SET seed_digest = NULL WHERE account = 'a0'")
    assert await rotate(store, BOTH) == Rotated(credentials=2, tokens=0, left=(), forgot=("a1.f0",))
    assert await opened(store, AFTER) == 2
    assert [row["seed_digest"] for row in await store.fetch(_ALL)] == [None, None]


async def test_ended_at_any_moment_it_loses_nothing_and_goes_on(store: Store, database: str) -> None:
    await stock(store, 600, 1)
    ends = 0
    for seconds in (0.01, 0.02, 0.03, 0.05):
        async with Store.open(database, name="rotation") as own:
            task = asyncio.create_task(rotate(own, BOTH, batch=10))
            await asyncio.sleep(seconds)  # wherever it is then
            await store.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rotation'"
            )
            task.cancel()
            await asyncio.wait([task])
            ends += task.cancelled() or task.exception() is not None
        assert await opened(store, BOTH) == 600
    assert ends
    await rotate(store, BOTH, batch=100)
    assert await opened(store, AFTER) == 600


def usable(grant: Grant) -> bool:
    return grant.until > 0


async def never(token: str) -> Grant | Trouble:
    return Trouble(key=500, detail=f"asked for news with {token}")


async def renewing(token: str) -> Grant | Trouble:
    return Grant(refresh="second", access="access", until=1)


async def test_rotated_tokens_are_sealed_anew_with_what_they_descend_from(store: Store) -> None:
    await stock(store, 2, 1)
    seed = "secret of a1.f0"
    assert await StoreKeeper(store, BEFORE).grant("a1", seed, usable, renewing) == await renewing("")
    assert await rotate(store, BOTH) == Rotated(credentials=2, tokens=1, left=(), forgot=())
    assert await StoreKeeper(store, AFTER).grant("a1", seed, usable, never) == await renewing("")
    other = await StoreKeeper(store, AFTER).grant("a1", "another seed", usable, never)
    assert isinstance(other, Trouble)
    assert other.detail == "asked for news with another seed"


async def test_a_token_that_is_being_renewed_is_waited_for(store: Store, database: str) -> None:
    await stock(store, 3, 1)
    for account in ("a0", "a1", "a2"):
        await StoreKeeper(store, BEFORE).grant(account, "seed", usable, renewing)
    holder = await asyncpg.connect(database)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM registry.token WHERE account = 'a1' FOR UPDATE")
            task = asyncio.create_task(rotate(store, BOTH))
            async with asyncio.timeout(10):
                while await keys_of_tokens(store) != {"a0": True, "a1": False, "a2": True}:  # noqa: ASYNC110 - in the database
                    await asyncio.sleep(0.01)
            assert not task.done()
        assert (await task).tokens == 3
    finally:
        await holder.close()
    assert set((await keys_of_tokens(store)).values()) == {True}


async def keys_of_tokens(store: Store) -> Mapping[str, bool]:
    rows = await store.fetch("SELECT account, sealed FROM registry.token")
    return {row["account"]: bytes(row["sealed"])[1:5].hex() == AFTER.key_id for row in rows}


def test_one_key_per_line_the_newest_first(tmp_path: Path) -> None:
    old, new = "the old key of these tests", "the new key of these tests"
    before = vault(old, tmp_path, bundled_store=False)
    both = vault(f" {new}\r\n\n{old} \n", tmp_path, bundled_store=False)
    after = vault(new, tmp_path, bundled_store=False)
    assert both.key_ids == (after.key_id, before.key_id)
    assert both.open(before.seal(b"x", "place"), "place") == b"x"
    assert after.open(both.seal(b"x", "place"), "place") == b"x"
    assert both.digests(b"x", "place") == {each.key_id: each.digest(b"x", "place") for each in (after, before)}
    with pytest.raises(SecretsError, match=f"these are {after.key_id}, {before.key_id}"):
        both.open(Vault(b"x" * 32).seal(b"x", "place"), "place")
    with pytest.raises(SecretsError, match="holds 5 keys"):
        vault("\n".join(f"a key that is long enough {n}" for n in range(5)), tmp_path, bundled_store=False)
    with pytest.raises(SecretsError, match="needs at least 16") as refused:
        vault(f"{new}\ncanary", tmp_path, bundled_store=False)
    assert "canary" not in str(refused.value)


def test_running_processes_have_a_new_key_of_the_file_at_once(tmp_path: Path) -> None:
    running, file = vault(None, tmp_path, bundled_store=True), key_file(tmp_path)
    old, value = running.key_id, running.seal(b"x", "place")
    file.add()
    assert running.key_ids[1:] == (old,)
    assert running.key_id != old
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert running.open(value, "place") == b"x"
    copy = running.seal(b"y", "place")
    file.keep_newest()
    assert len(running.key_ids) == 1
    assert running.open(copy, "place") == b"y"
    with pytest.raises(SecretsError, match="sealed with another key"):
        running.open(value, "place")
    shutil.move(tmp_path / "secret.key", tmp_path / "elsewhere")
    assert running.open(copy, "place") == b"y"
    with pytest.raises(SecretsError, match="is gone"):
        file.add()
    assert [each.name for each in tmp_path.iterdir()] == ["elsewhere"]
