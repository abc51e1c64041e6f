"""The Stripe sandbox's lists, search and subscriptions."""

import random
from typing import Any

import pytest
import stripe

from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.official import official


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


async def test_lists_are_newest_first_and_page_both_ways(sandbox: StripeSandbox, clock: Clock) -> None:
    ids = []
    for at in range(7):
        clock.now += 1
        ids.append(sandbox.dashboard.create(name=str(at), email="Twin@example.com" if at % 2 else None)["id"])
    page = await customers(sandbox).list_async({"limit": 3})
    assert ([each.id for each in page.data], page.has_more) == (ids[:3:-1], True)
    page = await customers(sandbox).list_async({"limit": 4, "starting_after": ids[4]})
    assert ([each.id for each in page.data], page.has_more) == (ids[3::-1], False)
    page = await customers(sandbox).list_async({"limit": 2, "ending_before": ids[1]})
    assert ([each.id for each in page.data], page.has_more) == ([ids[3], ids[2]], True)
    found = await customers(sandbox).list_async({"email": "Twin@example.com"})
    assert [each.id for each in found.data] == [ids[5], ids[3], ids[1]]
    assert not (await customers(sandbox).list_async({"email": "twin@example.com"})).data
    since = sandbox.customers[ids[5]]["created"]
    assert len((await customers(sandbox).list_async({"created": {"gte": since}})).data) == 2
    assert len((await customers(sandbox).list_async({"created": {"gt": since}})).data) == 1
    everything = [each.id async for each in (await customers(sandbox).list_async({"limit": 2})).auto_paging_iter()]
    assert everything == ids[::-1]
    for wrong in ({"limit": 101}, {"limit": 0}, {"starting_after": "cus_x"}, {"page": "1"}):
        with pytest.raises(stripe.InvalidRequestError):
            await customers(sandbox).list_async(wrong)


async def test_search_finds_by_email_metadata_and_absence(sandbox: StripeSandbox) -> None:
    ada = sandbox.dashboard.create(email="ada@example.com", metadata={"k": "v'1", "n": "1"})["id"]
    bob = sandbox.dashboard.create(email="bob@example.com", name="Bob Stone", metadata={"n": "1"})["id"]

    async def found(query: str) -> list[str]:
        return [each.id for each in (await customers(sandbox).search_async({"query": query})).data]

    assert await found("email:'ADA@example.com'") == [ada]
    assert await found("""metadata['k']:'v\\'1'""") == [ada]
    assert await found("""metadata["n"]:"1" email:"bob@example.com\"""") == [bob]
    assert await found("email:'ada@example.com' OR name~'stone'") == [bob, ada]
    assert await found('-metadata["k"]:null') == [ada]
    assert await found('metadata["k"]:null') == [bob]
    assert await found("created>1") == [bob, ada]
    for wrong in (
        "",
        "email:'a@x.org' AND name:'x' OR name:'y'",
        "tags:'x'",
        "email:unquoted",
        "metadata:'x'",
    ):
        with pytest.raises(stripe.InvalidRequestError):
            await found(wrong)


async def test_search_sees_a_change_only_after_its_delay_and_pages(clock: Clock) -> None:
    sandbox = StripeSandbox(clock=clock, search_delay=60.0)
    made = [sandbox.dashboard.create(email=f"a{at}@example.com", metadata={"k": "v"})["id"] for at in range(3)]
    query = {"query": "metadata['k']:'v'", "limit": 2}
    assert not (await customers(sandbox).search_async(query)).data
    clock.now += 60
    sandbox.dashboard.update(made[0], metadata={"k": "w"})
    first = await customers(sandbox).search_async(query)
    second = await customers(sandbox).search_async({**query, "page": first.next_page})
    assert [each.id for each in [*first.data, *second.data]] == made[::-1]
    assert (first.has_more, second.has_more) == (True, False)
    clock.now += 60
    assert len((await customers(sandbox).search_async(query)).data) == 2
    with pytest.raises(stripe.InvalidRequestError):
        await customers(sandbox).search_async({**query, "page": "bm9uc2Vuc2U="})


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


async def test_subscriptions_begin_change_and_end_with_their_events(sandbox: StripeSandbox) -> None:
    client = official(sandbox)
    pro, plus = await make_price(sandbox), await make_price(sandbox, "price_plus")
    ada = sandbox.dashboard.create(name="Ada")["id"]
    made = await client.v1.subscriptions.create_async({"customer": ada, "items": [{"price": pro}]})
    assert made.status == "active"
    item = made.to_dict()["items"]["data"][0]
    assert item["price"]["lookup_key"] == "price_pro"
    change: Any = {"items": [{"id": item["id"], "price": plus}]}
    await client.v1.subscriptions.update_async(made.id, change)
    sandbox.dashboard.set_status(made.id, "past_due")
    shown: Any = await client.v1.customers.retrieve_async(ada, {"expand": ["subscriptions"]})
    assert [each.id for each in shown.subscriptions.data] == [made.id]
    listed: Any = await client.v1.customers.list_async({"expand": ["data.subscriptions"]})
    assert listed.data[0].subscriptions.data[0].status == "past_due"
    await client.v1.subscriptions.cancel_async(made.id)
    assert not (await client.v1.subscriptions.list_async({"customer": ada})).data
    ended = (await client.v1.subscriptions.list_async({"customer": ada, "status": "all"})).data
    assert [each.status for each in ended] == ["canceled"]
    events = [each for each in sandbox.events.all() if each["type"].startswith("customer.subscription")]
    assert [each["type"].rpartition(".")[2] for each in events] == [
        "created",
        "updated",
        "updated",
        "deleted",
    ]
    assert events[2]["data"]["previous_attributes"] == {"status": "active"}
    assert list(events[1]["data"]["previous_attributes"]) == ["items"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.subscriptions.create_async({"customer": ada, "items": [{"price": "price_x"}]})
    assert (refused.value.http_status, refused.value.param) == (400, "items[0][price]")
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.customers.list_async({"expand": ["subscriptions"]})


async def test_deleting_a_customer_ends_its_subscriptions_first(sandbox: StripeSandbox) -> None:
    ada = sandbox.dashboard.create(name="Ada")["id"]
    sandbox.dashboard.subscribe(ada, await make_price(sandbox))
    await customers(sandbox).delete_async(ada)
    last = [each["type"] for each in sandbox.events.all()][-2:]
    assert last == ["customer.subscription.deleted", "customer.deleted"]
