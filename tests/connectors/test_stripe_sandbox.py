"""The Stripe sandbox keeps Stripe's rules for requests and customers."""

import json
import pathlib
import random
from typing import Any

import httpx2
import pytest
import stripe

from services.connectors.stripe.sandbox import ApiError, Rate, StripeSandbox, serve
from services.connectors.stripe.sandbox.form import parse
from services.connectors.stripe.sandbox.official import official

SPECS = pathlib.Path(__file__).parents[2].parent / "shared" / "specs" / "stripe"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> StripeSandbox:
    return StripeSandbox(clock=clock, rng=random.Random(7))


def customers(sandbox: StripeSandbox) -> Any:
    return official(sandbox).v1.customers


def raw(sandbox: StripeSandbox, key: str | None = None) -> httpx2.AsyncClient:
    headers = {"Authorization": f"Bearer {key or sandbox.api_key}"}
    transport = httpx2.ASGITransport(app=sandbox.app)
    return httpx2.AsyncClient(transport=transport, base_url="https://api.stripe.test", headers=headers)


def specimen(name: str) -> dict[str, Any]:
    if not SPECS.is_dir():
        pytest.skip(f"Stripe's fixtures aren't there: {SPECS}")
    found: dict[str, Any] = json.loads((SPECS / "fixtures3.json").read_text())["resources"][name]
    return found


def assert_shaped(made: Any, model: Any, at: str = "") -> None:
    """Same keys, and the same types where both have a value."""
    if made is None or model is None or model == {}:
        return
    assert type(made) is type(model), at
    if isinstance(made, dict) and not at.endswith(("metadata", "flexible")):
        assert made.keys() == model.keys(), at
        for key in made:
            assert_shaped(made[key], model[key], f"{at}.{key}")
    if isinstance(made, list) and made and model:
        assert_shaped(made[0], model[0], f"{at}[0]")


FULL: dict[str, Any] = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0000",
    "description": "first",
    "address": {"line1": "12 St James's Square", "city": "London", "country": "GB"},
    "shipping": {"name": "Ada", "address": {"line1": "1 Dock"}},
    "preferred_locales": ["en", "fr"],
    "metadata": {"a b": "1", "product": "syncbox"},
}


async def make_price(sandbox: StripeSandbox, lookup_key: str = "price_pro") -> str:
    price = await official(sandbox).v1.prices.create_async(
        {
            "currency": "eur",
            "unit_amount": 900,
            "recurring": {"interval": "month"},
            "product_data": {"name": "Pro"},
            "lookup_key": lookup_key,
        }
    )
    return price.id


async def test_a_customer_has_the_shape_of_stripes_fixture(sandbox: StripeSandbox) -> None:
    made = await customers(sandbox).create_async(FULL)
    assert_shaped(sandbox.customers[made.id], specimen("customer"))
    assert made.to_dict()["metadata"] == {"a b": "1", "product": "syncbox"}
    assert made.to_dict()["preferred_locales"] == ["en", "fr"]
    assert made.address.line2 is None
    assert made.created == 1_790_000_000


async def test_a_subscription_its_price_and_product_have_the_shape_of_stripes_fixtures(
    sandbox: StripeSandbox,
) -> None:
    price = await make_price(sandbox)
    made = sandbox.dashboard.create(name="Ada")
    sandbox.dashboard.subscribe(made["id"], price)
    subscription = next(iter(sandbox.subscriptions.values()))
    assert_shaped(subscription, specimen("subscription"))
    assert_shaped(sandbox.catalog.prices[price], specimen("price"))
    assert_shaped(next(iter(sandbox.catalog.products.values())), specimen("product"))
    endpoint = sandbox.webhooks.endpoints.add("https://contactsync.test/hooks/shop")
    assert_shaped(endpoint.body, specimen("webhook_endpoint"))


async def test_a_bad_or_missing_key_is_answered_401(sandbox: StripeSandbox) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        await official(sandbox, api_key="sk_test_somebody_elses").v1.customers.list_async()
    assert refused.value.http_status == 401
    assert "somebody" not in str(refused.value)
    async with raw(sandbox) as http:
        http.headers.pop("Authorization")
        assert (await http.get("/v1/customers")).status_code == 401
        assert (await http.get("/v1/customers", auth=(sandbox.api_key, ""))).status_code == 200


async def test_answers_carry_stripes_headers_and_unknown_urls_are_404(sandbox: StripeSandbox) -> None:
    async with raw(sandbox) as http:
        answer = await http.get("/v1/nothing", headers={"Stripe-Version": "2026-01-28.clover"})
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert answer.headers["request-id"].startswith("req_")
        assert answer.headers["stripe-version"] == "2026-01-28.clover"
        assert answer.headers["date"] == "Mon, 21 Sep 2026 14:13:20 GMT"
        assert (await http.get("/v1/customers", headers={"Stripe-Version": "soon"})).status_code == 400
        assert (await http.post("/v1/customers", json={"name": "Ada"})).status_code == 400


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"nickname": "x"}, "parameter_unknown", "nickname"),
        ({"address": {"street": "x"}}, "parameter_unknown", "address[street]"),
        ({"email": "not an address"}, "email_invalid", "email"),
        ({"email": "a" * 510 + "@x.org"}, None, "email"),
        ({"individual_name": "x" * 151}, None, "individual_name"),
        ({"business_name": "x" * 151}, None, "business_name"),
        ({"shipping": {"phone": "1"}}, "parameter_missing", "shipping[name]"),
        ({"tax_exempt": "maybe"}, None, "tax_exempt"),
        ({"balance": "x"}, "parameter_invalid_integer", "balance"),
        ({"metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 41}]"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"metadata": {"k[0]": "v"}}, None, "metadata"),
        ({"metadata": {f"k{at}": "v" for at in range(51)}}, None, "metadata"),
        ({"name": {"first": "Ada"}}, None, "name"),
        ({"tax": {"ip_address": "::1"}}, "sandbox_unmodelled", "tax"),
    ],
)
async def test_what_stripe_refuses_is_refused_with_the_parameter_named(
    sandbox: StripeSandbox, params: Any, code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await customers(sandbox).create_async(params)
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)
    assert not sandbox.customers.made
    assert not sandbox.requests.writes()


async def test_limits_are_inclusive(sandbox: StripeSandbox) -> None:
    metadata = {f"{at:040d}": "v" * 500 for at in range(50)}
    made = await customers(sandbox).create_async({"individual_name": "x" * 150, "metadata": metadata})
    assert made.to_dict()["metadata"] == metadata
    with pytest.raises(stripe.InvalidRequestError):
        await customers(sandbox).update_async(made.id, {"metadata": {"one more": "v"}})


async def test_a_name_is_taken_from_the_business_else_the_individual(sandbox: StripeSandbox) -> None:
    both = {"business_name": "Engines Ltd", "individual_name": "Ada"}
    assert (await customers(sandbox).create_async(both)).name == "Engines Ltd"
    assert (await customers(sandbox).create_async({"individual_name": "Ada"})).name == "Ada"


async def test_empty_text_clears_and_metadata_is_merged(sandbox: StripeSandbox) -> None:
    made = await customers(sandbox).create_async(FULL)
    empty = {"email": "", "phone": "", "address": "", "shipping": "", "preferred_locales": ""}
    cleared = await customers(sandbox).update_async(made.id, {**empty, "metadata": {"a b": "", "new": "2"}})
    assert (cleared.email, cleared.phone, cleared.address, cleared.shipping) == (None, None, None, None)
    assert cleared.name == "Ada Lovelace"
    assert cleared.to_dict()["metadata"] == {"product": "syncbox", "new": "2"}
    assert (await customers(sandbox).update_async(made.id, {"metadata": ""})).to_dict()["metadata"] == {}


async def test_an_address_is_replaced_whole(sandbox: StripeSandbox) -> None:
    made = await customers(sandbox).create_async(FULL)
    moved = await customers(sandbox).update_async(made.id, {"address": {"city": "Ghent"}})
    assert (moved.address.city, moved.address.line1) == ("Ghent", None)


async def test_a_deleted_customer_is_answered_as_deleted_and_takes_no_writes(sandbox: StripeSandbox) -> None:
    made = await customers(sandbox).create_async(FULL)
    await customers(sandbox).delete_async(made.id)
    assert (await customers(sandbox).retrieve_async(made.id)).to_dict() == {
        "id": made.id,
        "object": "customer",
        "deleted": True,
    }
    for refused in (
        customers(sandbox).update_async(made.id, {"name": "x"}),
        customers(sandbox).delete_async(made.id),
    ):
        with pytest.raises(stripe.InvalidRequestError) as error:
            await refused
        assert (error.value.http_status, error.value.code) == (404, "resource_missing")
    assert not (await customers(sandbox).list_async()).data
    assert made.id not in sandbox.customers
    assert sandbox.customers.made == (made.id,)


async def test_rate_limits_hold_per_endpoint_and_for_the_account(clock: Clock) -> None:
    sandbox = StripeSandbox(clock=clock, rate=Rate(endpoint=3, search=2, account=5))
    async with raw(sandbox) as http:
        lists = [(await http.get("/v1/customers")).status_code for _ in range(4)]
        assert lists == [200, 200, 200, 429]
        events = [(await http.get("/v1/events")) for _ in range(3)]
        assert [each.status_code for each in events] == [200, 200, 429]
        assert events[2].json()["error"]["code"] == "rate_limit"
        assert events[2].headers["stripe-rate-limited-reason"] == "global-rate"
        clock.now += 1
        assert (await http.get("/v1/customers")).status_code == 200


async def test_the_official_client_works_over_real_http(sandbox: StripeSandbox) -> None:
    async with serve(sandbox) as base, httpx2.AsyncClient(trust_env=False) as http:
        client = official(sandbox, http=http, base=base)
        made = await client.v1.customers.create_async({"name": "Zoë"})
        assert (await client.v1.customers.retrieve_async(made.id)).name == "Zoë"
        sandbox.faults.drop()
        with pytest.raises(stripe.APIConnectionError):
            await client.v1.customers.update_async(made.id, {"name": "Ada"})
        assert sandbox.customers[made.id]["name"] == "Ada"
        assert (await client.v1.customers.retrieve_async(made.id)).name == "Ada"


async def test_the_account_itself_can_be_asked_for(sandbox: StripeSandbox) -> None:
    async with raw(sandbox) as http:
        assert (await http.get("/v1/account")).json()["object"] == "account"
        sandbox.api_keys.discard(sandbox.api_key)
        assert (await http.get("/v1/account")).status_code == 401


def test_brackets_nest_and_append_as_they_do_at_stripe() -> None:
    assert parse("a[b c]=1&a[d][]=2&a[d][]=3&e=") == {"a": {"b c": "1", "d": {"0": "2", "1": "3"}}, "e": ""}
    assert parse("i[][p]=x&i[][q]=1&i[][p]=y") == {"i": {"0": {"p": "x", "q": "1"}, "1": {"p": "y"}}}
    assert parse("n=Zo%C3%AB+%2B&n=last") == {"n": "last"}
    for wrong in ("a=1&a[b]=2", "a[b]=1&a=2", "a[b=1", "[a]=1", "a[b]c=1", "a[[b]]=1", "n=%ff"):
        with pytest.raises(ApiError):
            parse(wrong)
