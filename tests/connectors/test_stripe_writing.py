"""Writing customers, against Stripe's sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.connectors.stripe.app import APP
from services.connectors.stripe.sandbox import Where
from services.contracts.app import Trouble
from services.contracts.commands import Write
from services.contracts.contact import Address
from services.contracts.receipts import Refused, Unchanged, Written
from services.runtime.app import Absence, Attempt
from tests.connectors.stripe_rig import ADDRESS, CUSTOMERS, LINK, Shop, create, tag, untag, update


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as made:
        yield made


async def test_creates_with_the_links_mark(shop: Shop) -> None:
    command = create(
        name=("Ada",),
        email=("ada@x.org",),
        address=(ADDRESS,),
        business_name=("Analytical",),
        phone=(),
        **{"metadata.product": ("sync",)},
    )
    outcome = await shop.written(command)
    row = shop.box.customers[outcome.contact_id]
    assert (row["name"], row["email"], row["business_name"]) == ("Ada", "ada@x.org", "Analytical")
    assert row["metadata"] == {"product": "sync", "contactsync_link": LINK}
    assert row["address"]["city"] == "Ghent"
    assert (outcome.label, outcome.replayed, outcome.looked) == ("key-1", False, False)
    assert outcome.seen is not None
    assert outcome.seen.contact.mark == LINK
    assert outcome.seen.contact.fields["metadata.product"] == ("sync",)
    assert outcome.seen.contact.fields["phone"] == ()
    assert json.loads(bytes(outcome.seen.object)) == row
    assert shop.box.events.all()[0]["request"]["idempotency_key"] == "key-1"
    assert "phone" not in shop.box.requests[-1].params, "what has no value isn't sent"


async def test_updates_only_what_changed(shop: Shop) -> None:
    ada = shop.customer(name="Ada", email="ada@x.org", phone="1", metadata={"k": "v"}, tax_exempt="exempt")
    before = shop.box.customers[ada]
    outcome = await shop.written(update(ada, {"name": ("Ada King",), "metadata.l": ("w",)}))
    assert shop.box.requests[-1].params == {"name": "Ada King", "metadata": {"l": "w"}}
    after = shop.box.customers[ada]
    assert after == {**before, "name": "Ada King", "metadata": {"k": "v", "l": "w"}}
    assert outcome.contact_id == ada


async def test_d9_clears_removed_fields(shop: Shop) -> None:
    ada = shop.customer(
        name="Ada",
        phone="1",
        description="d",
        business_name="b",
        address={"line1": "1 Quay", "city": "Ghent"},
        metadata={"k": "v", "stay": "s"},
    )
    paths = ("name", "phone", "description", "business_name", "address", "metadata.k")
    outcome = await shop.written(update(ada, dict.fromkeys(paths, ())))
    row = shop.box.customers[ada]
    assert [row.get(path) for path in paths[:-1]] == [None] * 5
    assert row["metadata"] == {"stay": "s"}
    assert outcome.seen is not None
    assert outcome.seen.contact.fields["name"] == ()


async def test_an_address_is_sent_whole_so_that_its_old_parts_go(shop: Shop) -> None:
    ada = shop.customer(address={"line1": "old", "line2": "old", "state": "old"})
    await shop.written(update(ada, {"address": (ADDRESS,)}))
    row = shop.box.customers[ada]["address"]
    assert (row["line1"], row["line2"], row["state"]) == ("1 Quay", None, None)
    assert set(shop.box.requests[-1].params["address"]) == set(row)
    await shop.written(update(ada, {"address": (Address(),)}), "key-2")
    assert shop.box.customers[ada]["address"] is None


async def test_e3_tags_and_untags(shop: Shop) -> None:
    ada = shop.customer(name="Ada", metadata={"k": "v"})
    outcome = await shop.written(tag(ada), "key-1")
    assert shop.box.customers[ada]["metadata"] == {"k": "v", "PieSync Trash": "2026-11-22"}
    assert outcome.seen is not None
    assert outcome.seen.contact.tags == ("PieSync Trash",)
    outcome = await shop.written(untag(ada), "key-2")
    assert shop.box.customers[ada]["metadata"] == {"k": "v"}
    assert outcome.seen is not None
    assert outcome.seen.contact.tags == ()


async def test_e1_nothing_is_ever_deleted(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    commands: list[Write] = [create(name=("Eve",)), update(ada, {"name": ()}), tag(ada), untag(ada)]
    for n, command in enumerate(commands):
        await shop.written(command, f"key-{n}")
        await APP.settle(shop.access(), command, shop.attempt(n=1))
    assert {received.method for received in shop.box.requests} == {"GET", "POST"}
    assert len(shop.box.customers) == 2


async def test_p4_a_dropped_answer_and_the_same_key_make_one_customer(shop: Shop) -> None:
    command = create(name=("Ada",), email=("ada@x.org",), addresses=("ada@x.org",))
    shop.box.faults.drop(Where("POST", CUSTOMERS))
    lost = await shop.write(command)
    assert isinstance(lost, Trouble)
    assert lost.key == "unanswered"
    first = round(shop.now() * 1_000_000)
    made = next(iter(shop.box.customers))
    shop.clock.advance(60)
    shop.box.dashboard.update(made, name="Ada King")
    outcome = await APP.write(shop.access(), command, Attempt(key="key-1", n=1, first=first))
    assert isinstance(outcome, Written)
    assert outcome.replayed
    assert list(shop.box.customers) == [outcome.contact_id]
    assert outcome.seen is not None
    assert outcome.seen.contact.fields["name"] == ("Ada",), "a replay shows the past"
    assert outcome.seen.order.start <= first, "and says so in its order"


async def test_p4_a_drop_before_execution_and_the_same_key_make_one_customer(shop: Shop) -> None:
    shop.box.faults.drop(Where("POST", CUSTOMERS), executed=False)
    lost = await shop.write(create(name=("Ada",)))
    assert isinstance(lost, Trouble)
    assert lost.key == "unanswered"
    assert not (await shop.written(create(name=("Ada",)))).replayed
    assert len(shop.box.customers) == 1


async def test_p4_a_replayed_failure_is_unknown_and_settled_by_looking(shop: Shop) -> None:
    command = create(name=("Ada",), email=("ada@x.org",), addresses=("ada@x.org",))
    shop.box.faults.broken(Where("POST", CUSTOMERS), stage="after")
    failed = await shop.write(command)
    assert isinstance(failed, Trouble)
    assert failed.key == 500
    repeated = await shop.write(command)
    assert isinstance(repeated, Trouble)
    assert repeated.key == "replayed_failure"
    settled = await APP.settle(shop.access(), command, shop.attempt(n=2))
    assert isinstance(settled, Written)
    assert settled.looked
    assert settled.contact_id == next(iter(shop.box.customers))


async def test_p4_other_parameters_under_the_same_key_are_an_unknown_outcome(shop: Shop) -> None:
    await shop.written(create(name=("Ada",)))
    trouble = await shop.write(create(name=("Eve",)))
    assert isinstance(trouble, Trouble)
    assert trouble.key == "idempotency_error"
    assert len(shop.box.customers) == 1


async def test_two_requests_with_one_key_at_once_make_one_customer(shop: Shop) -> None:
    shop.box.faults.slow(0.05, Where("POST", CUSTOMERS))
    outcomes = await asyncio.gather(*(shop.write(create(name=("Ada",))) for _ in range(2)))
    assert {type(outcome) for outcome in outcomes} == {Written, Trouble}
    assert {each.key for each in outcomes if isinstance(each, Trouble)} == {"idempotency_key_in_use"}
    assert len(shop.box.customers) == 1


async def test_a_connection_that_fails_sends_nothing(shop: Shop) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route", request=request)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(fail)) as http:
        access = shop.access(http=http)
        trouble = await APP.write(access, create(name=("Ada",)), shop.attempt())
    assert isinstance(trouble, Trouble)
    assert trouble.key == "not_sent"


@pytest.mark.parametrize("text", ["", "{", '{"object":"list"}', '{"id":"acct_1","object":"account"}'])
async def test_a_success_that_cannot_be_read_is_an_unknown_outcome(shop: Shop, text: str) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, text=text))
    async with httpx2.AsyncClient(transport=transport) as http:
        access = shop.access(http=http)
        trouble = await APP.write(access, create(name=("Ada",)), shop.attempt())
    assert isinstance(trouble, Trouble)
    assert trouble.key == "unanswered"


async def test_e4_a_deleted_customer_is_gone_and_not_recreated(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    shop.box.dashboard.delete(ada)
    commands: list[Write] = [update(ada, {"name": ("x",)}), tag(ada), untag(ada)]
    for n, command in enumerate(commands):
        refused = await shop.write(command, f"key-{n}")
        assert isinstance(refused, Refused)
        assert refused.gone
        settled = await APP.settle(shop.access(), command, shop.attempt(n=1))
        assert isinstance(settled, Absence)
    assert len(shop.box.customers) == 0


async def test_nothing_to_write_writes_nothing(shop: Shop) -> None:
    assert await shop.write(update("cus_1", {})) == Unchanged(contact_id="cus_1")
    assert len(shop.box.requests) == 0
