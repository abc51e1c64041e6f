"""Applying a file: versions rise with changes only, credentials are seeded, two at once don't mix."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from services.contracts.app import Ability, Credential, Field, Manifest, Pace, Setting
from services.contracts.connection import Account
from services.runtime.registry import pause, read
from services.runtime.registry.apply import Applied, Changes, NotApplicable, apply
from services.runtime.registry.check import Config, check
from services.runtime.registry.seed import Seeds
from services.runtime.secrets import SecretsError, Vault, purpose
from services.runtime.store import Store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VAULT = Vault(b"k" * 32)
MANIFESTS: Mapping[str, Manifest] = {
    name: Manifest(
        name=name,
        title=name.title(),
        docs="https://example.com/",
        credentials=(
            Credential(key="key", title="key"),
            Credential(key="hooks", title="signing secrets", many=True, required=False),
        ),
        settings=(Setting(key="user", title="user"),),
        fields=(Field(path="phone", canonical="phone", type="phone"),),
        abilities=frozenset({Ability.TAG, Ability.DETECT_DELETION}),
        pace=Pace(poll=1, read=1, write=1),
    )
    for name in ("till", "book")
}
FILE = """\
accounts:
  shop: {app: till, key: "${SHOP}", hooks: ["${HOOK}"]}
  office: {app: book, key: "${OFFICE}", user: ada}
connections:
  shop-office: {left: shop, right: office}
"""
ENVIRON = {"SHOP": "canary-shop", "HOOK": "canary-hook", "OFFICE": "canary-office"}


def config(text: str = FILE, **environ: str) -> Config:
    found = check(text, MANIFESTS, {**ENVIRON, **environ})
    assert found.config, found.problems
    return found.config


async def put(store: Store, text: str = FILE, *, minutes: int = 0, vault: Vault = VAULT, **environ: str) -> Applied:
    made = await apply(store, vault, config(text, **environ), by="ada", now=NOW + timedelta(minutes=minutes))
    assert isinstance(made, Applied), made
    return made


async def connections(store: Store) -> list[read.Registered]:
    async with store.transaction(readonly=True) as database:
        return await read.connections(database)


async def credentials(store: Store, account: str, vault: Vault = VAULT) -> dict[str, tuple[str, ...]]:
    async with store.transaction(readonly=True) as database:
        return await read.credentials(database, vault, account)


async def test_what_was_applied_is_what_services_read(store: Store) -> None:
    made = await put(store)
    assert made.accounts == Changes(new=("office", "shop"))
    assert made.connections == Changes(new=("shop-office",))
    assert made.seeds == Seeds(stored=("office.key", "shop.hooks", "shop.key"))
    async with store.transaction(readonly=True) as database:
        assert await read.accounts(database) == [
            Account(name="office", app="book", settings={"user": "ada"}),
            Account(name="shop", app="till"),
        ]
    assert [(c.name, version, paused) for c, version, paused in await connections(store)] == [("shop-office", 1, False)]
    assert await credentials(store, "shop") == {"key": ("canary-shop",), "hooks": ("canary-hook",)}
    assert await credentials(store, "nobody") == {}


async def test_the_same_file_again_changes_nothing(store: Store) -> None:
    first = await put(store)
    before = await store.fetch("SELECT * FROM registry.credential ORDER BY account, field")
    second = await put(store, minutes=1)
    assert not second.changed
    assert not second.text
    assert second.version == first.version
    assert second.connections == Changes(unchanged=("shop-office",))
    assert await store.fetch("SELECT * FROM registry.credential ORDER BY account, field") == before
    assert await store.fetchval("SELECT count(*) FROM registry.config") == 1


async def test_another_wording_is_kept_as_a_version_and_changes_nothing_else(store: Store) -> None:
    first = await put(store)
    second = await put(store, "# ours\n" + FILE)
    assert second.text
    assert not second.changed
    assert second.version > first.version
    assert [version for _, version, _ in await connections(store)] == [1]


async def test_a_connections_version_rises_only_with_its_own_changes(store: Store) -> None:
    two = FILE + "  back: {left: office, right: shop}\n"
    await put(store, two)
    made = await put(store, two.replace("right: shop}", "right: shop, winner: right}"))
    assert made.connections == Changes(changed=("back",), unchanged=("shop-office",))
    assert {c.name: version for c, version, _ in await connections(store)} == {"back": 2, "shop-office": 1}
    made = await put(store, FILE)
    assert made.connections == Changes(removed=("back",), unchanged=("shop-office",))
    assert [c.name for c, _, _ in await connections(store)] == ["shop-office"]
    made = await put(store, two)
    assert made.connections == Changes(new=("back",), unchanged=("shop-office",))
    assert {c.name: version for c, version, _ in await connections(store)} == {"back": 3, "shop-office": 1}


async def test_a_removed_account_loses_its_credentials(store: Store) -> None:
    more = FILE.replace("connections:", '  spare: {app: book, key: "${OFFICE}"}\nconnections:')
    await put(store, more)
    made = await put(store)
    assert made.accounts.removed == ("spare",)
    assert await store.fetchval("SELECT count(*) FROM registry.credential WHERE account = 'spare'") == 0
    assert (await put(store, more)).seeds == Seeds(stored=("spare.key",))


async def test_g8_a_credential_in_the_file_only_seeds(store: Store) -> None:
    await put(store)
    newer = msgspec.json.encode(("canary-authorized",))
    await store.execute(
        "UPDATE registry.credential SET sealed = $1 WHERE account = 'office' AND field = 'key'",
        VAULT.seal(newer, purpose("office", "key")),
    )
    made = await put(store, "# again\n" + FILE)
    assert not made.seeds
    assert (await credentials(store, "office"))["key"] == ("canary-authorized",)
    made = await put(store, OFFICE="canary-rotated", minutes=5)
    assert made.seeds == Seeds(replaced=("office.key",))
    assert made.changed
    assert (await credentials(store, "office"))["key"] == ("canary-rotated",)
    times = await store.fetch("SELECT account || '.' || field AS key, updated_at FROM registry.credential")
    assert {row["key"] for row in times if row["updated_at"] > NOW} == {"office.key"}


async def test_g8_one_that_was_stored_by_other_means_stays_until_the_file_changes(store: Store) -> None:
    await put(store)
    await store.execute("UPDATE registry.credential SET seed_digest = NULL WHERE account = 'office'")
    assert (await put(store, OFFICE="canary-file")).seeds == Seeds(kept=("office.key",))
    assert (await credentials(store, "office"))["key"] == ("canary-office",)
    assert (await put(store, OFFICE="canary-newer")).seeds == Seeds(replaced=("office.key",))


async def test_a_credential_that_left_the_file_is_dropped(store: Store) -> None:
    await put(store)
    made = await put(store, FILE.replace(', hooks: ["${HOOK}"]', ""))
    assert made.seeds == Seeds(removed=("shop.hooks",))
    assert await credentials(store, "shop") == {"key": ("canary-shop",)}


async def test_with_another_key_the_file_seals_anew(store: Store) -> None:
    await put(store)
    other = Vault(b"o" * 32)
    with pytest.raises(SecretsError, match="sealed with another key"):
        await credentials(store, "shop", other)
    made = await put(store, vault=other)
    assert made.seeds == Seeds(resealed=("office.key", "shop.hooks", "shop.key"))
    assert (await credentials(store, "shop", other))["key"] == ("canary-shop",)


async def test_no_secret_lies_in_the_registry_in_plain_text(store: Store) -> None:
    await put(store, FILE.replace('"${OFFICE}"', "canary-plain"))
    for table in ("config", "account", "credential", "connection"):
        rows = await store.fetch(f"SELECT t::text AS line FROM registry.{table} t")  # noqa: S608 - four known names
        assert rows
        for row in rows:
            assert "canary" not in row["line"]
            assert b"canary".hex() not in row["line"]
    source = await store.fetchval("SELECT source FROM registry.config")
    assert '"${SHOP}"' in source
    assert '"(removed)"' in source


async def test_an_account_or_connection_is_not_turned_into_another_one(store: Store) -> None:
    await put(store)
    for text in (
        FILE.replace("app: till", "app: book"),
        FILE.replace("left: shop, right: office", "left: office, right: shop"),
    ):
        refused = await apply(store, VAULT, config(text), by="ada", now=NOW)
        assert isinstance(refused, NotApplicable)
        assert "another name" in refused.reasons[0]
    assert await store.fetchval("SELECT count(*) FROM registry.config") == 1


async def test_two_at_once_run_one_after_the_other(store: Store) -> None:
    files = [FILE.replace("user: ada", f"user: u{n}") for n in range(6)]
    await asyncio.gather(*(put(store, text) for text in files))
    rows = await store.fetch("SELECT version, content FROM registry.config ORDER BY version")
    assert len(rows) == 6
    last = msgspec.json.decode(rows[-1]["content"])
    stored = await store.fetchrow("SELECT settings, config_version FROM registry.account WHERE name = 'office'")
    assert stored
    assert msgspec.json.decode(stored["settings"]) == last["accounts"][0]["settings"]
    assert stored["config_version"] == rows[-1]["version"]
    same = await asyncio.gather(*(put(store, files[0]) for _ in range(4)))
    assert sum(made.changed for made in same) <= 1


async def test_a6_a_pause_is_no_change_of_the_connection(store: Store) -> None:
    await put(store)
    async with store.transaction() as database:
        assert await pause.pause(database, "shop-office", NOW) == "done"
        assert await pause.pause(database, "shop-office", NOW) == "already"
        assert await pause.pause(database, "nobody", NOW) == "unknown"
    assert [(version, paused) for _, version, paused in await connections(store)] == [(1, True)]
    made = await put(store)
    assert made.paused == ("shop-office",)
    assert not made.changed
    async with store.transaction() as database:
        assert await pause.resume(database, "shop-office") == "done"
        assert await pause.resume(database, "shop-office") == "already"
    assert [(version, paused) for _, version, paused in await connections(store)] == [(1, False)]


async def test_g3_a_file_that_was_planned_after_another_version_isnt_applied(store: Store) -> None:
    late = NotApplicable(("Another file was applied at the same moment: look at the plan again.",))
    assert await apply(store, VAULT, config(), by="ada", now=NOW, after=1) == late
    first = await apply(store, VAULT, config(), by="ada", now=NOW, after=0)
    assert isinstance(first, Applied)
    two = config(FILE + "  back: {left: office, right: shop}\n")
    assert await apply(store, VAULT, two, by="ada", now=NOW, after=0) == late
    assert isinstance(await apply(store, VAULT, two, by="ada", now=NOW, after=first.version), Applied)
