"""What `authorize` stored, against what files say later: on the registry itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from services.connectors import discover
from services.contracts.connection import Account
from services.runtime.registry import keep, read
from services.runtime.registry.apply import Applied, NotApplicable, apply
from services.runtime.registry.check import check
from services.runtime.secrets import Vault
from services.runtime.store import Store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VAULT = Vault(b"k" * 32)
MANIFESTS = {name: app.manifest for name, app in discover().items()}
SHOP = "  shop: {app: stripe, api_key: rk_test_1, webhook_secrets: [whsec_1]}\n"
BOOKS = (
    "  ada: {app: carddav, url: 'https://x.example/ada/', username: ada, password: one}\n"
    "  grace: {app: carddav, url: 'https://x.example/grace/', username: grace, password: two}\n"
)
PAIRS = "connections:\n  shop-ada: {left: shop, right: ada}\n  shop-grace: {left: shop, right: grace}\n"


async def kept(store: Store, minutes: int = 0, key: str = "rk_test_9", **more: tuple[str, ...]) -> None:
    account = Account(name="shop", app="stripe", settings={"events": "on"})
    async with store.transaction() as database:
        now = NOW + timedelta(minutes=minutes)
        await keep.keep(database, VAULT, account, {"api_key": (key,), **more}, by="ada", now=now)


async def put(store: Store, shop: str, vault: Vault = VAULT) -> Applied | NotApplicable:
    async with store.transaction(readonly=True) as database:
        stored = await keep.fields(database)
    checked = check(f"accounts:\n{shop}{BOOKS}{PAIRS}", MANIFESTS, {}, stored)
    assert checked.config, checked.problems
    return await apply(store, vault, checked.config, by="ada", now=NOW)


async def key(store: Store) -> Mapping[str, tuple[str, ...]]:
    async with store.transaction(readonly=True) as database:
        return await read.credentials(database, VAULT, "shop")


async def test_a1_an_account_authorised_once_is_offered_to_every_connection(store: Store) -> None:
    await kept(store, webhook_secrets=("whsec_9",))
    assert await key(store) == {}, "it isn't in force before a file names it"
    made = await put(store, "  shop: {app: stripe}\n")
    assert isinstance(made, Applied)
    assert made.accounts.new == ("ada", "grace", "shop")
    assert await key(store) == {"api_key": ("rk_test_9",), "webhook_secrets": ("whsec_9",)}


async def test_g8_an_authorised_account_outlives_files_that_do_not_name_it(store: Store) -> None:
    await kept(store)
    text = f"accounts:\n{SHOP.replace('shop', 'till', 1)}{BOOKS}connections:\n  till-ada: {{left: till, right: ada}}\n"
    config = check(text, MANIFESTS, {}).config
    assert config is not None
    made = await apply(store, VAULT, config, by="ada", now=NOW)
    assert isinstance(made, Applied)
    assert made.accounts.removed == ()
    async with store.transaction(readonly=True) as database:
        assert await read.credentials(database, VAULT, "shop", removed=True) == {"api_key": ("rk_test_9",)}
        known = await keep.known(database, "shop")
    assert known == keep.Known(account=Account(name="shop", app="stripe", settings={"events": "on"}), in_force=False)


async def test_g8_the_stored_one_wins_until_the_files_value_changes(store: Store) -> None:
    await put(store, SHOP)
    await kept(store, 1)
    unchanged = await put(store, SHOP)
    assert isinstance(unchanged, Applied)
    assert not unchanged.changed
    assert (await key(store))["api_key"] == ("rk_test_9",)
    changed = await put(store, SHOP.replace("rk_test_1", "rk_test_2"))
    assert isinstance(changed, Applied)
    assert changed.seeds.replaced == ("shop.api_key",)
    assert (await key(store))["api_key"] == ("rk_test_2",)


async def test_g8_a_line_taken_out_of_the_file_takes_only_its_own_value_along(store: Store) -> None:
    await put(store, SHOP)
    await kept(store, 1)
    without = await put(store, "  shop: {app: stripe}\n")
    assert isinstance(without, Applied)
    assert without.seeds.removed == ("shop.webhook_secrets",)
    assert await key(store) == {"api_key": ("rk_test_9",)}
    again = await put(store, SHOP)
    assert isinstance(again, Applied)
    assert again.seeds.kept == ("shop.api_key",)
    assert (await key(store))["api_key"] == ("rk_test_9",)


async def test_g8_a_new_login_is_noticed_by_whoever_waits_for_one(store: Store) -> None:
    await put(store, SHOP)
    before = await store.fetchval("SELECT max(updated_at) FROM registry.credential WHERE account = 'shop'")
    await kept(store, 5)
    assert await store.fetchval("SELECT max(updated_at) FROM registry.credential WHERE account = 'shop'") > before


async def test_g8_an_account_in_force_keeps_the_files_settings(store: Store) -> None:
    await put(store, SHOP.replace("}", ", events: 'off'}"))
    await kept(store)
    async with store.transaction(readonly=True) as database:
        known = await keep.known(database, "shop")
    assert known is not None
    assert known.in_force
    assert known.account.settings["events"] == "off"


async def test_a_name_authorised_for_one_app_is_not_taken_for_another(store: Store) -> None:
    async with store.transaction() as database:
        ada = Account(name="shop", app="carddav")
        await keep.keep(database, VAULT, ada, {"password": ("x",)}, by="ada", now=NOW)
    refused = await put(store, SHOP)
    assert isinstance(refused, NotApplicable)
    assert "belongs to carddav" in refused.reasons[0]
