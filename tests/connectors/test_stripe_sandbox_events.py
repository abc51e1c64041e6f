"""The Stripe sandbox's events: what they say, when there is none, and how they are listed."""

import json
import pathlib
import random
import time
from typing import Any

import pytest
import stripe

from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.official import official

SPECS = pathlib.Path(__file__).parents[2].parent / "shared" / "specs" / "stripe"


class Clock:
    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> StripeSandbox:
    return StripeSandbox(clock=clock, rng=random.Random(7))


def last(sandbox: StripeSandbox) -> dict[str, Any]:
    return sandbox.events.all()[-1]


async def test_events_have_the_shape_of_stripes_own(sandbox: StripeSandbox) -> None:
    if not SPECS.is_dir():
        pytest.skip(f"Stripe's fixtures aren't there: {SPECS}")
    ada = sandbox.dashboard.create(name="Ada")["id"]
    made = last(sandbox)
    sandbox.dashboard.update(ada, name="Countess")
    for event, name in ((made, "subscription_created"), (last(sandbox), "customer_updated")):
        model = json.loads((SPECS / "events" / f"{name}.json").read_text())
        assert event.keys() == model.keys()
        assert event["data"].keys() == model["data"].keys()
        assert event["request"].keys() == model["request"].keys()
        assert [type(event[key]) for key in model] == [type(model[key]) for key in model]


async def test_an_event_names_the_key_of_the_call_behind_it_and_none_for_a_person(
    sandbox: StripeSandbox,
) -> None:
    customers = official(sandbox).v1.customers
    made = await customers.create_async({"name": "Ada"}, {"idempotency_key": "psync:1"})
    event = last(sandbox)
    assert event["request"] == {"id": sandbox.requests[0].request_id, "idempotency_key": "psync:1"}
    assert (event["type"], event["data"]["object"]) == ("customer.created", sandbox.customers[made.id])
    sandbox.dashboard.update(made.id, name="Countess")
    assert last(sandbox)["request"]["idempotency_key"] is None
    assert last(sandbox)["request"]["id"].startswith("req_")


async def test_previous_attributes_hold_what_changed_and_only_that(sandbox: StripeSandbox) -> None:
    address = {"line1": "a", "city": "London"}
    ada = sandbox.dashboard.create(
        name="Ada", address=address, preferred_locales=["en", "fr"], metadata={"a": "1", "b": "2", "c": "3"}
    )["id"]
    sandbox.dashboard.update(
        ada,
        name="Countess",
        address={**address, "city": "Ghent"},
        preferred_locales=["en"],
        business_name="Engines",
        metadata={"a": "1", "b": "x", "c": None, "new": "4"},
    )
    previous = last(sandbox)["data"]["previous_attributes"]
    assert previous.pop("address")["city"] == "London"
    assert previous == {
        "name": "Ada",
        "business_name": None,
        "preferred_locales": ["en", "fr"],
        "metadata": {"b": "2", "c": "3", "new": None},
    }


async def test_an_update_that_changes_nothing_makes_no_event(sandbox: StripeSandbox) -> None:
    ada = sandbox.dashboard.create(name="Ada", metadata={"a": "1"})["id"]
    before = len(sandbox.events)
    await official(sandbox).v1.customers.update_async(ada, {"name": "Ada", "metadata": {"a": "1", "z": ""}})
    assert len(sandbox.events) == before
    assert (sandbox.requests[0].executed, sandbox.requests[0].events) == (True, 0)


async def test_a_deletion_carries_the_whole_customer_or_only_its_id() -> None:
    for shape in ("full", "short"):
        sandbox = StripeSandbox(deleted_shape=shape)
        ada = sandbox.dashboard.create(name="Ada")["id"]
        sandbox.dashboard.delete(ada)
        thing = last(sandbox)["data"]["object"]
        assert last(sandbox)["type"] == "customer.deleted"
        assert ("deleted" in thing, thing.get("name")) == (
            (shape == "short"),
            "Ada" if shape == "full" else None,
        )


async def test_events_are_listed_newest_first_and_filtered(sandbox: StripeSandbox, clock: Clock) -> None:
    listed = official(sandbox).v1.events.list_async
    ada = sandbox.dashboard.create(name="Ada")["id"]
    clock.now += 10
    sandbox.dashboard.update(ada, name="Countess")
    clock.now += 10.7
    sandbox.dashboard.delete(ada)
    ids = [each["id"] for each in sandbox.events.all()]
    assert [each.id for each in (await listed()).data] == ids[::-1]
    assert [each.id for each in (await listed({"ending_before": ids[0], "limit": 1})).data] == [ids[1]]
    assert [each.id for each in (await listed({"starting_after": ids[1]})).data] == [ids[0]]
    assert [each.id for each in (await listed({"type": "customer.deleted"})).data] == [ids[2]]
    assert len((await listed({"type": "customer.*"})).data) == 3
    assert len((await listed({"types": ["customer.created", "customer.updated"]})).data) == 2
    assert [each.id for each in (await listed({"created": {"gte": int(clock.now)}})).data] == [ids[2]]
    assert (await official(sandbox).v1.events.retrieve_async(ids[1])).created == int(clock.now - 10.7)
    for wrong in ({"types": ["x"] * 21}, {"type": "a", "types": ["b"]}):
        with pytest.raises(stripe.InvalidRequestError):
            await listed(wrong)  # type: ignore[arg-type]  # wrong on purpose
    clock.now += 30 * 86_400 - 5
    assert [each.id for each in (await listed()).data] == [ids[2]]
    with pytest.raises(stripe.InvalidRequestError):
        await official(sandbox).v1.events.retrieve_async(ids[0])


async def test_the_same_seed_makes_the_same_account(clock: Clock) -> None:
    twins = [StripeSandbox(clock=clock, rng=random.Random(3)) for _ in range(2)]
    for each in twins:
        each.dashboard.create(name="Ada")
    assert twins[0].events.all() == twins[1].events.all()
