"""`contactsync keys`, as a person calls it, and what a running installation makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.connectors import discover
from services.contracts.app import Trouble
from services.contracts.connection import Account
from services.runtime.registry import keep, read
from services.runtime.registry.apply import Applied, NotApplicable, apply
from services.runtime.registry.check import check
from services.runtime.registry.rotate import rotate
from services.runtime.secrets import Vault, key_file, vault
from services.runtime.store import Store
from services.runtime.tokens import Grant, StoreKeeper
from tests.integration.shell_rig import Shell

FILE = """\
accounts:
  shop: {app: stripe, api_key: rk_test_canary1, webhook_secrets: [whsec_canary]}
  till: {app: stripe, api_key: rk_test_canary2, webhook_secrets: [whsec_canary]}
connections:
  shop-till: {left: shop, right: till}
"""
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, secrets=["canary", "the-first-key", "the-second-key"])
    (tmp_path / "connections.yaml").write_text(FILE)
    return made


async def test_a_new_key_takes_the_place_of_the_old_one(shell: Shell, database: str, tmp_path: Path) -> None:
    shell.environ |= {"CONTACTSYNC_STORE_URL": database, "CONTACTSYNC_SECRET_KEY": "the-first-key-of-this-test"}
    await shell.answer("apply", "connections.yaml")
    first = vault("the-first-key-of-this-test", tmp_path, bundled_store=False).key_id
    assert first in await shell.answer("keys", "show")
    alone = await shell.answer("keys", "rotate")
    assert "0 credentials, 0 tokens" in alone
    assert "put a new one on a line before it" in alone

    shell.environ["CONTACTSYNC_SECRET_KEY"] = "the-second-key-of-this-test\nthe-first-key-of-this-test"
    assert "older" in await shell.answer("keys", "show")
    done = await shell.answer("keys", "rotate")
    assert "4 credentials, 0 tokens" in done
    assert "needs its first line only" in done

    shell.environ["CONTACTSYNC_SECRET_KEY"] = "the-first-key-of-this-test"
    lost = await shell.run("keys", "rotate")
    assert lost.status == 1
    assert "4 can't be opened with any key that is set" in lost.err
    assert (await shell.run("keys", "show")).status == 1

    shell.environ["CONTACTSYNC_SECRET_KEY"] = "the-second-key-of-this-test"
    assert first not in await shell.answer("keys", "show")
    assert "nothing changed" in (await shell.answer("apply", "connections.yaml")).lower()


async def test_the_bundled_stores_key_file_is_rotated(shell: Shell) -> None:
    await shell.answer("apply", "connections.yaml")
    data = shell.folder / "data"
    old = key_file(data).read()
    done = await shell.answer("keys", "rotate")
    assert "4 credentials" in done
    assert "holds the new key alone" in done
    new = key_file(data).read()
    assert len(new) == 1
    assert new != old
    assert "nothing changed" in (await shell.answer("apply", "connections.yaml")).lower()


async def test_what_was_authorised_outlives_a_file_applied_before_the_rotation(store: Store) -> None:
    manifests = {name: app.manifest for name, app in discover().items()}
    config = check(FILE, manifests, {}).config
    assert config is not None
    before, both = Vault(b"o" * 32), Vault(b"n" * 32, b"o" * 32)

    async def put(safe: Vault) -> Applied | NotApplicable:
        return await apply(store, safe, config, by="ada", now=NOW)

    async def key(safe: Vault) -> tuple[str, ...]:
        async with store.transaction(readonly=True) as database:
            return (await read.credentials(database, safe, "shop"))["api_key"]

    await put(before)
    async with store.transaction() as database:
        account = Account(name="shop", app="stripe", settings={})
        await keep.keep(database, before, account, {"api_key": ("rk_test_authorised",)}, by="ada", now=NOW)
    for safe in (before, both):
        made = await put(safe)
        assert isinstance(made, Applied)
        assert not made.seeds
        assert await key(safe) == ("rk_test_authorised",)
    await rotate(store, both)
    await put(both)
    assert await key(Vault(b"n" * 32)) == ("rk_test_authorised",)


async def test_a_rotated_token_is_found_while_keys_are_rotated(store: Store) -> None:
    await store.execute("INSERT INTO registry.config (applied_by, source, content) VALUES ('tests', '', '{}')")
    await store.execute(
        "INSERT INTO registry.account (name, app, config_version) "
        "SELECT 'books', 'quickbooks', max(version) FROM registry.config"
    )
    asked: list[str] = []

    async def renew(token: str) -> Grant | Trouble:
        asked.append(token)
        return Grant(refresh=f"after {token}", access="access", until=len(asked))

    old, both = Vault(b"o" * 32), Vault(b"n" * 32, b"o" * 32)
    await StoreKeeper(store, old).grant("books", "seed", lambda _: True, renew)
    await StoreKeeper(store, both).grant("books", "seed", lambda grant: grant.until > 1, renew)
    await StoreKeeper(store, Vault(b"n" * 32)).grant("books", "seed", lambda grant: grant.until > 2, renew)
    assert asked == ["seed", "after seed", "after after seed"]
