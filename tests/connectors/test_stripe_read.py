"""Stripe's events as contact events: the vendor's shapes, hostile shapes, and what may never raise."""

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from services.connectors.stripe.app import Stripe
from services.connectors.stripe.sandbox import StripeSandbox
from services.contracts.app import Delivery, Reading, Rejected
from services.contracts.contact import Address, Contact, Order, Subscription
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched, SubscriptionChanged

SPECS = Path(__file__).resolve().parents[2].parent / "shared" / "specs" / "stripe"
NOW = 1_790_000_000.0
CREATED = 1_619_701_111
SECOND = Order(CREATED * 1_000_000, CREATED * 1_000_000 + 1_000_000)


def read(body: bytes | dict[str, Any]) -> tuple[Reading, ...] | Rejected:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Stripe().read(Delivery(account="shop", headers=(), body=raw, received=0))


def one(body: bytes | dict[str, Any]) -> Reading:
    readings = read(body)
    assert isinstance(readings, tuple), readings
    assert len(readings) == 1
    return readings[0]


def changed(body: bytes | dict[str, Any]) -> ContactChanged:
    event = one(body).event
    assert isinstance(event, ContactChanged)
    return event


def event(kind: str, thing: Any, **more: Any) -> dict[str, Any]:
    data = {"object": thing, **more.pop("data", {})}
    return {"id": "evt_1", "object": "event", "type": kind, "created": CREATED, "data": data, **more}


def customer(**fields: Any) -> dict[str, Any]:
    return {"id": "cus_1", "object": "customer", **fields}


def fixture(name: str) -> bytes:
    if not SPECS.is_dir():
        pytest.skip("Stripe's own fixtures (../shared/specs/stripe) aren't on this machine")
    return (SPECS / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["customer_deleted", "customer_tax_id_created", "customer_updated"]
    + [f"subscription_{what}" for what in ("created", "deleted", "updated")],
)
def test_stripes_own_events_pass_signed_and_are_read(name: str) -> None:
    raw = fixture(f"events/{name}.json")
    header = stripe.WebhookSignature.generate_signature_header(raw.decode(), "whsec_one", int(NOW))
    signed = Delivery(account="shop", headers=(("stripe-signature", header),), body=raw, received=0)
    assert Stripe().verify(signed, ["whsec_one"], NOW) is None
    readings = Stripe().read(signed)
    assert isinstance(readings, tuple)
    assert len(readings) == (name != "customer_tax_id_created")


def test_stripes_customer_updated_becomes_a_changed_contact() -> None:
    raw = fixture("events/customer_updated.json")
    reading = one(raw)
    assert reading.id == "stripe:evt_1IlZRsJDPojXS6LN2AbFmnR4"
    assert reading.time == CREATED * 1_000_000
    given_object = json.loads(raw)["data"]["object"]
    found = reading.event
    assert isinstance(found, ContactChanged)
    assert (found.account, found.contact_id, found.order) == ("shop", given_object["id"], SECOND)
    assert (found.origin, found.label, found.subscriptions) == ("webhook", None, None)
    assert json.loads(bytes(found.object)) == given_object
    assert found.contact == Contact(
        fields={
            "name": (given_object["name"],),
            "email": (given_object["email"],),
            "phone": (given_object["phone"],),
            "description": (given_object["description"],),
            "business_name": (),
            "address": (),
            "metadata.supabase_org_id": ("35",),
        }
    )
    assert found.prior == {"email": (json.loads(raw)["data"]["previous_attributes"]["email"],)}


def test_stripes_customer_deleted_becomes_a_tombstone() -> None:
    found = one(fixture("events/customer_deleted.json")).event
    expected = ContactDeleted(account="shop", contact_id="cus_IhGfebO16cMIGN", order=SECOND, origin="webhook")
    assert found == expected


@pytest.mark.parametrize("name", ["created", "updated", "deleted"])
def test_stripes_subscription_events_name_all_plans(name: str) -> None:
    raw = fixture(f"events/subscription_{name}.json")
    thing = json.loads(raw)["data"]["object"]
    found = one(raw).event
    assert isinstance(found, SubscriptionChanged)
    assert found.contact_id == thing["customer"]
    assert found.ended == (name == "deleted")
    assert (found.subscription.id, found.subscription.status) == (thing["id"], thing["status"])
    for item in thing["items"]["data"]:
        assert {item["price"]["id"], item["price"]["product"]} <= set(found.subscription.plans)


def test_stripes_other_events_are_acknowledged_without_a_reading() -> None:
    assert read(fixture("events/customer_tax_id_created.json")) == ()


def test_stripes_own_customer_objects_are_read() -> None:
    objects = json.loads(fixture("fixtures3.json"))["resources"]
    found = changed(event("customer.created", objects["customer"]))
    assert set(found.contact.fields.values()) == {()}
    deleted = one(event("customer.deleted", objects["deleted_customer"])).event
    assert isinstance(deleted, ContactDeleted)
    subscribed = one(event("customer.subscription.created", objects["subscription"])).event
    assert isinstance(subscribed, SubscriptionChanged)


def test_the_type_is_the_tombstone_whatever_the_object_shows() -> None:
    for thing in (customer(name="Ada", email="ada@x.org"), customer(deleted=True)):
        assert isinstance(one(event("customer.deleted", thing)).event, ContactDeleted)


def test_a_change_of_a_deleted_customer_asks_for_a_look() -> None:
    found = one(event("customer.updated", customer(deleted=True))).event
    assert found == ContactTouched(account="shop", contact_id="cus_1", origin="webhook")


def test_every_field_is_read_and_empty_ones_are_seen_empty() -> None:
    full = customer(
        name="Ada King",
        email="ada@x.org",
        phone="+32 9 000",
        description="met in Ghent",
        business_name="Analytical",
        address={"line1": "1 Quay", "city": "Ghent", "country": "BE", "line2": None, "state": ""},
        metadata={"product": "sync"},
    )
    assert changed(event("customer.created", full)).contact.fields == {
        "name": ("Ada King",),
        "email": ("ada@x.org",),
        "phone": ("+32 9 000",),
        "description": ("met in Ghent",),
        "business_name": ("Analytical",),
        "address": (Address(line1="1 Quay", city="Ghent", country="BE"),),
        "metadata.product": ("sync",),
    }
    for empty in (None, ""):
        hollow = dict.fromkeys(("name", "email", "phone", "description", "business_name", "address"), empty)
        found = changed(event("customer.created", customer(**hollow, metadata=empty or {"a": ""})))
        assert set(found.contact.fields.values()) == {()}
    no_address = customer(address=dict.fromkeys(("line1", "city"), None))
    assert changed(event("customer.created", no_address)).contact.fields["address"] == ()


def test_e3_tag_keys_are_tags_and_no_fields() -> None:
    metadata = {
        "PieSync Unsubscribes": "2026-11-21",
        "PieSync Trash": "2026-11-22",
        "contactsync_link": "8c2f5b7e-0000-5000-8000-000000000000",
        "piesync trash": "mine",
    }
    contact = changed(event("customer.updated", customer(metadata=metadata))).contact
    assert contact.tags == ("PieSync Trash", "PieSync Unsubscribes")
    assert contact.mark == "8c2f5b7e-0000-5000-8000-000000000000"
    assert [path for path in contact.fields if path.startswith("metadata.")] == ["metadata.piesync trash"]


def test_e3_a_tag_whose_value_is_empty_is_not_set() -> None:
    thing = customer(metadata={"PieSync Trash": "", "contactsync_link": ""})
    contact = changed(event("customer.updated", thing)).contact
    assert (contact.tags, contact.mark) == ((), None)


def test_p14_prior_values_are_normalized_to_field_paths() -> None:
    before = {
        "name": None,
        "email": "old@x.org",
        "metadata": {"new": None, "old": "1", "PieSync Trash": None, "contactsync_link": None},
        "address": {"line1": "old", "city": None},
        "balance": 5,
        "default_source": {"id": "x"},
    }
    now = customer(address={"line1": "new", "city": "Ghent", "country": "BE"})
    found = changed(event("customer.updated", now, data={"previous_attributes": before}))
    assert found.prior == {
        "name": (),
        "email": ("old@x.org",),
        "metadata.new": (),
        "metadata.old": ("1",),
        "address": (Address(line1="old", country="BE"),),
    }


@pytest.mark.parametrize("before", [None, [], "x", 5, {}, {"name": 5}, {"metadata": 3}, {"address": None}])
def test_odd_previous_attributes_never_stop_an_event(before: Any) -> None:
    found = changed(event("customer.updated", customer(), data={"previous_attributes": before}))
    assert found.prior in ({}, {"address": ()})


@pytest.mark.parametrize(
    ("request_", "label"),
    [(None, None), ("req_1", None), ({"id": "req_1", "idempotency_key": None}, None), ({"idempotency_key": "k"}, "k")],
)
def test_the_idempotency_key_is_the_label(request_: Any, label: str | None) -> None:
    assert changed(event("customer.updated", customer(), request=request_)).label == label


def test_running_subscriptions_inside_a_customer_are_read() -> None:
    line = {"price": {"id": "price_1", "product": {"id": "prod_1"}, "lookup_key": "pro"}}
    lines = {"object": "list", "data": [line]}
    listed = {"object": "list", "data": [{"id": "sub_1", "status": "active", "items": lines}], "has_more": False}
    found = changed(event("customer.updated", customer(subscriptions=listed)))
    assert found.subscriptions == (Subscription(id="sub_1", status="active", plans=("price_1", "prod_1", "pro")),)
    for unknown in ({}, None, {**listed, "has_more": True}):
        assert changed(event("customer.updated", customer(subscriptions=unknown))).subscriptions is None


def test_a_subscription_names_price_product_lookup_key_and_legacy_plan_once() -> None:
    thing = {
        "id": "sub_1",
        "status": "past_due",
        "customer": {"id": "cus_1", "object": "customer"},
        "items": {
            "data": [
                {"price": {"id": "price_1", "product": "prod_1", "lookup_key": "pro"}, "plan": {"id": "price_1"}},
                {"price": {"id": "price_2", "product": None, "lookup_key": None}},
                {"plan": "plan_old"},
            ]
        },
        "plan": {"id": "plan_legacy", "product": "prod_1"},
    }
    found = one(event("customer.subscription.paused", thing)).event
    assert isinstance(found, SubscriptionChanged)
    assert found.contact_id == "cus_1"
    assert not found.ended
    plans = ("price_1", "prod_1", "pro", "price_2", "plan_old", "plan_legacy")
    assert found.subscription == Subscription(id="sub_1", status="past_due", plans=plans)


def test_a_subscription_of_no_customer_is_nobodys_event() -> None:
    assert read(event("customer.subscription.created", {"id": "sub_1", "customer": None})) == ()


@pytest.mark.parametrize(
    "body",
    [
        {"id": "evt_1", "object": "v2.core.event", "type": "customer.updated", "created": "2026-01-01T00:00:00Z"},
        {"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1, "data": {"object": {"id": 5}}},
        {"id": "evt_1", "object": "event", "type": "customer.discount.created", "created": 1},
    ],
)
def test_what_is_not_ours_is_acknowledged(body: dict[str, Any]) -> None:
    assert read(body) == ()


@pytest.mark.parametrize("body", [b"\xff", b'{"id":"\xed\xa0\x80"}', '{"id":"evt_1"}'.encode("utf-16")])
def test_a_body_that_is_not_utf_8_is_rejected(body: bytes) -> None:
    rejected = read(body)
    assert isinstance(rejected, Rejected)
    assert rejected.code == "encoding"


VALID = json.dumps(event("customer.updated", customer(name="@"))).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b"{",
        VALID[:-1],
        VALID + b"x",
        b'{"id":' + b"[" * 200_000,
        b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        VALID.replace(b'"@"', b"NaN"),
        VALID.replace(b'"@"', b"-Infinity"),
        VALID.replace(b'"@"', rb'"\ud800"'),
        VALID.replace(b'"@"', b'{"x":1}'),
        VALID.replace(b'"@"', b"[" * 50_000 + b"]" * 50_000),
        VALID.replace(str(CREATED).encode(), b"9" * 5000),
        VALID.replace(str(CREATED).encode(), b"9" * 18),
        VALID.replace(str(CREATED).encode(), b"-1"),
        VALID.replace(str(CREATED).encode(), b"1e5"),
        VALID.replace(str(CREATED).encode(), b'"soon"'),
        VALID.replace(b'"evt_1"', b'""'),
        VALID.replace(b'"evt_1"', b"5"),
        VALID.replace(b'"cus_1"', b'""'),
        VALID.replace(b'"cus_1"', b"null"),
        VALID.replace(b'"object": "customer"', b'"object": "account"'),
        json.dumps(event("customer.updated", None)).encode(),
        json.dumps(event("customer.subscription.updated", [])).encode(),
        json.dumps({**event("customer.updated", customer()), "data": None}).encode(),
        json.dumps({**event("customer.updated", customer()), "data": {}}).encode(),
    ],
)
def test_a_body_of_another_shape_is_rejected(body: bytes) -> None:
    rejected = read(body)
    assert isinstance(rejected, Rejected)
    assert rejected.code == "json"


def test_odd_json_that_means_something_is_read() -> None:
    doubled = VALID.replace(b'"name": "@"', b'"name": "first", "name": "last"')
    assert changed(doubled).contact.fields["name"] == ("last",)
    huge = VALID.replace(b'"name": "@"', b'"name": "n", "balance": ' + b"9" * 5000)
    assert changed(huge).contact.fields["name"] == ("n",)
    paired = VALID.replace(b'"@"', rb'"\ud83d\ude00"')
    assert changed(paired).contact.fields["name"] == ("😀",)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
frame = ["id", "object", "type", "created", "data", "request", "previous_attributes"]
parts = ["name", "email", "address", "metadata", "subscriptions", "deleted", "customer", "items", "plan", "line1"]
keys = st.sampled_from([*frame, *parts])
kinds = st.sampled_from(["customer.updated", "customer.deleted", "customer.subscription.updated", "event", "customer"])
near = st.recursive(
    json_values | kinds | st.integers(0, 2**41),
    lambda inner: st.dictionaries(keys, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.binary(max_size=80) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_it_raise(body: bytes) -> None:
    assert isinstance(read(body), tuple | Rejected)


@settings(deadline=None)
@given(kind=kinds, thing=st.dictionaries(keys, near, max_size=8), more=st.dictionaries(keys, near, max_size=4))
def test_no_event_of_ours_makes_it_raise(kind: str, thing: dict[str, Any], more: dict[str, Any]) -> None:
    whole = {**event(kind, {"id": "cus_1", **thing}), **more}
    found = read(whole)
    assert isinstance(found, tuple | Rejected)
    for reading in found if isinstance(found, tuple) else ():
        assert msgspec.json.decode(msgspec.json.encode(reading.event), type=type(reading.event)) == reading.event


def test_read_is_deterministic_and_its_ids_are_stable() -> None:
    box = StripeSandbox(rng=random.Random(7), clock=lambda: NOW)
    made = box.dashboard.create(name="Ada", email="ada@x.org", metadata={"k": "v"})
    box.dashboard.update(made["id"], email="ada@y.org", metadata={"k": None, "l": "w"})
    box.dashboard.delete(made["id"])
    bodies = [json.dumps(each).encode() for each in box.events.all()]
    assert [read(body) for body in bodies] == [read(body) for body in bodies]
    assert [one(body).id for body in bodies] == [f"stripe:{each['id']}" for each in box.events.all()]
    assert changed(bodies[1]).prior == {"email": ("ada@x.org",), "metadata.k": ("v",), "metadata.l": ()}


def thin(**more: Any) -> Delivery:
    related = {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"}
    body = {"id": "evt_9", "object": "v2.core.event", "type": "v2.core.customer.updated", "related_object": related}
    told = json.dumps({**body, "created": "2026-11-22T10:00:00.000Z", **more}).encode()
    return Delivery(account="shop", headers=(), body=told, received=0)


def test_p9_a_thin_notification_names_the_customer_who_is_looked_at() -> None:
    (reading,) = readings_of(thin())
    assert reading.event == ContactTouched(account="shop", contact_id="cus_1", origin="webhook")
    assert (reading.id, reading.time) == ("stripe:evt_9", 1_795_341_600_000_000)


@pytest.mark.parametrize("related", [None, {"id": "acct_1", "type": "v2.core.account"}, {}])
def test_a_thin_notification_of_something_else_says_nothing(related: Any) -> None:
    assert Stripe().read(thin(related_object=related)) == ()


@pytest.mark.parametrize(
    "more", [{"created": "yesterday"}, {"created": 17}, {"created": "2026-11-22T10:00:00"}, {"id": ""}]
)
def test_a_thin_notification_without_id_or_time_is_refused(more: dict[str, Any]) -> None:
    assert isinstance(Stripe().read(thin(**more)), Rejected)


def readings_of(delivery: Delivery) -> tuple[Reading, ...]:
    found = Stripe().read(delivery)
    assert isinstance(found, tuple)
    return found
