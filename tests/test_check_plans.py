"""`check` doubts a plan that the account doesn't have, and never refuses it (B3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx2
import msgspec
import pytest

from services.cli.files import check_file
from services.connectors.served import serve
from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.fault import Where
from services.contracts.contact import Contact, Order, Subscription
from services.runtime.app import Catalog, Plan
from services.runtime.registry.check import check
from services.runtime.registry.plans import Known
from services.runtime.store import Store
from services.sync.core.state import Record, SubscriptionRecord
from tests.integration.shell_rig import Shell
from tests.rules_text import ENVIRON, MANIFESTS, file

KEY = "rk_test_canary1234567890"
CATALOG = Catalog(
    plans=(
        Plan(price="price_1Abc", product="prod_Xyz", lookup_key="pro_monthly", title="Pro, monthly"),
        Plan(price="price_2Def", product="prod_Xyz", lookup_key="pro_yearly", title="Syncbox"),
    ),
    whole=True,
)


def doubts(plan: str, known: Mapping[str, Known], word: str = "subscribed_to") -> list[str]:
    text = file(f"- from: left\n  if: [{{{word}: {plan}}}]\n  then: [{{add_label: A}}]\n")
    checked = check(text, MANIFESTS, ENVIRON, plans=known)
    assert checked.config, checked.problems
    return [
        f"{each.severity}: {each.message} → {each.remedy}"
        for each in checked.problems
        if "plan" in each.message + each.remedy
    ]


@pytest.mark.parametrize("plan", ["price_1Abc", "prod_Xyz", "pro_yearly", "price_inline"])
@pytest.mark.parametrize("word", ["subscribed_to", "not_subscribed_to"])
def test_b3_a_plan_of_the_catalog_or_of_a_subscription_is_not_doubted(plan: str, word: str) -> None:
    assert doubts(plan, {"one": Known(frozenset({"price_inline"}), CATALOG)}, word) == []


@pytest.mark.parametrize(
    ("plan", "remedy"),
    [
        ("pro_montly", "Did you mean `pro_monthly` (Pro, monthly)"),
        ("PRO_YEARLY", "Did you mean `pro_yearly` (Syncbox)"),
        ("prod_XYZ", "Did you mean `prod_Xyz`"),
        ("syncbox", "Did you mean `pro_yearly` (Syncbox)"),
        ("price_inlin", "Did you mean `price_inline`"),
        ("gold", "There are `pro_monthly` (Pro, monthly) and `pro_yearly` (Syncbox)."),
    ],
)
def test_b3_a_plan_that_the_account_lacks_is_doubted_with_the_nearest(plan: str, remedy: str) -> None:
    (found,) = doubts(plan, {"one": Known(frozenset({"price_inline"}), CATALOG)})
    assert found.startswith(f"warning: Stripe (`one`) has no plan `{plan}` → {remedy}"), found


def test_b3_without_a_catalog_the_plans_of_subscriptions_count_once_all_are_known() -> None:
    assert doubts("gold", {}) == []
    assert doubts("gold", {"one": Known()}) == []
    seen = {"one": Known(frozenset({"pro_monthly", "price_1Abc"}))}
    assert doubts("price_1Abc", seen) == []
    (near,) = doubts("pro_montly", seen)
    assert near.startswith("warning: no subscription of Stripe (`one`) is or was to a plan `pro_montly` → Did you mean")
    (far,) = doubts("gold", seen)
    assert far.endswith("Nothing to do if nobody subscribed to it so far.")


def test_b3_of_a_catalog_that_was_cut_short_nothing_is_claimed() -> None:
    cut = msgspec.structs.replace(CATALOG, whole=False)
    (found,) = doubts("gold", {"one": Known(catalog=cut)})
    assert found.startswith("hint: Stripe (`one`) has more plans than were listed, and `gold` isn't among the 2 newest")


def test_b3_no_plan_at_all_and_many_are_said() -> None:
    (none,) = doubts("gold", {"one": Known(catalog=Catalog(plans=(), whole=True))})
    assert none.endswith("It has none yet.")
    many = Catalog(plans=tuple(Plan(price=f"price_{n}") for n in range(6)), whole=True)
    (told,) = doubts("gold", {"one": Known(catalog=many)})
    assert "Write one of its 6 plans" in told


def test_b3_neither_a_variables_value_nor_control_characters_are_told() -> None:
    odd = Catalog(plans=(Plan(price="price_canari", title="\x1b[31mRed\nline"),), whole=True)
    (found,) = doubts('"${PLAN}"', {"one": Known(catalog=odd)})
    assert "`${PLAN}`" in found
    assert "canary" not in found
    assert "(" in found
    assert "\x1b" not in found
    assert "\n" not in found


@pytest.fixture
async def box() -> AsyncIterator[StripeSandbox]:
    async with StripeSandbox(KEY) as made:
        yield made


async def priced(url: str, key: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        made = await http.post(
            f"{url}/v1/prices",
            data={"currency": "eur", "unit_amount": "1", "product_data[name]": "Pro", "lookup_key": key},
            headers={"Authorization": f"Bearer {KEY}"},
        )
        made.raise_for_status()


def written(folder: Path, url: str, plan: str, key: str = "api_key: '${SHOP_KEY}', ") -> Path:
    target = folder / "contacts.yaml"
    target.write_text(
        f"accounts:\n  shop: {{app: stripe, {key}api_base: '{url}', webhook_secrets: [whsec_1234567890abcdef]}}\n"
        "  book: {app: carddav, url: 'https://dav.example.com/', username: ada, password: abcdefgh}\n"
        "connections:\n  shop-book:\n    left: shop\n    right: book\n    rules:\n"
        f"      - from: left\n        if: [{{subscribed_to: {plan}}}]\n      - from: right\n"
    )
    return target


async def test_b3_check_asks_the_app_and_goes_on_where_it_cannot(tmp_path: Path, box: StripeSandbox) -> None:
    shell = Shell(tmp_path, {"SHOP_KEY": KEY}, ["canary"])
    async with serve(box) as url:
        await priced(url, "price_pro")
        written(tmp_path, url, "price_pro")
        assert "has no plan" not in (await shell.run("check", "contacts.yaml")).err
        written(tmp_path, url, "price_por")
        done = await shell.run("check", "contacts.yaml")
        assert done.status == 0, done.err
        assert "contacts.yaml:10:30: warning: Stripe (`shop`) has no plan `price_por`" in done.err
        assert "→ Did you mean `price_pro` (Pro)?" in done.err
        assert "can be applied" in done.out
        box.faults.fail(403, Where("GET", "/v1/prices", times=None), message="No.")
        done = await shell.run("check", "contacts.yaml")
        assert done.status == 0
        assert "be listed: rules are checked without them. The key lacks Prices: Read" in done.err
    done = await shell.run("check", "contacts.yaml")
    assert done.status == 0
    assert "couldn't be listed: rules are checked without them. Stripe can't be reached" in done.err
    assert "has no plan" not in done.err


async def test_b3_offline_no_app_is_asked(
    tmp_path: Path, box: StripeSandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTACTSYNC_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHOP_KEY", KEY)
    async with serve(box) as url:
        assert await check_file(written(tmp_path, url, "price_por"), offline=True) == 0
        assert "plan" not in capsys.readouterr().err
        assert len(box.requests) == 0
        assert await check_file(written(tmp_path, url, "price_por")) == 0
        assert "has no plan `price_por`" in capsys.readouterr().err
        assert len(box.requests) == 2


async def test_b3_subscriptions_that_were_seen_and_a_stored_login_count(
    tmp_path: Path, box: StripeSandbox, database: str, store: Store
) -> None:
    environ = {"CONTACTSYNC_STORE_URL": database, "CONTACTSYNC_SECRET_KEY": "a-long-random-text-of-a-test"}
    shell = Shell(tmp_path, {**environ, "SHOP_KEY": KEY}, ["canary"])
    async with serve(box) as url:
        await priced(url, "price_pro")
        written(tmp_path, url, "price_pro")
        assert "is in force (version 1)" in await shell.answer("apply", "contacts.yaml")
        subscription = SubscriptionRecord(
            subscription=Subscription(id="sub_1", status="canceled", plans=("price_old",)), order=Order(start=1, end=1)
        )
        record = Record(
            account="shop",
            contact_id="cus_1",
            contact=Contact(fields={}),
            order=Order(start=1, end=1),
            subscriptions={"sub_1": subscription},
        )
        await store.execute(
            "INSERT INTO sync.contact (account, contact_id, deleted, order_end, looking, state, object, updated_at) "
            "VALUES ('shop', 'cus_1', false, 1, false, $1, '{}', now())",
            msgspec.json.encode(record).decode(),
        )
        await store.execute("INSERT INTO sync.account (account, scanned_at) VALUES ('shop', now())")
        # Without a key in the file, the stored one asks; what a subscription was to is a plan, too.
        written(tmp_path, url, "price_old", key="")
        done = await shell.run("check", "contacts.yaml")
        assert done.status == 0, done.err
        assert "plan" not in done.err
        asked = len(box.requests)
        written(tmp_path, url, "price_por", key="")
        assert "has no plan `price_por`" in (await shell.run("check", "contacts.yaml")).err
        assert len(box.requests) == asked + 2
        # A stored key never goes to an address that it wasn't stored for.
        async with StripeSandbox(KEY) as other, serve(other) as elsewhere:
            written(tmp_path, elsewhere, "price_ol", key="")
            done = await shell.run("check", "contacts.yaml")
            assert len(other.requests) == 0
        assert "no subscription of Stripe (`shop`) is or was to a plan `price_ol`" in done.err
        assert "→ Did you mean `price_old`?" in done.err
