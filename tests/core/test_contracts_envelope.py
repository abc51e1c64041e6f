"""Reading messages: what can't be read is a value with a reason, never an exception, and quotes no contact."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.contracts import upcast
from services.contracts.commands import Aim, Update, Version
from services.contracts.contact import Contact, Order
from services.contracts.envelope import (
    LARGEST_WHOLE,
    TYPES,
    Envelope,
    Message,
    Unreadable,
    derived,
    from_headers,
    headers,
    seal,
    unseal,
)
from services.contracts.events import ContactChanged, ContactTouched
from services.contracts.receipts import Observation, Receipt, Stale, Written
from services.contracts.upcast import MissingUpcastError, lift

SECRET = "ada.king@example.com"


def envelope(type_: str = "contact.touched", v: int = 1, data: bytes = b"{}") -> Envelope:
    return Envelope(id="e1", type=type_, v=v, source="shop", subject="", time=datetime.now(UTC), data=data)


def test_a_type_that_nobody_knows_is_unreadable() -> None:
    result = unseal(envelope("contact.vanished", data=json.dumps({"email": SECRET}).encode()))
    assert isinstance(result, Unreadable)
    assert "contact.vanished" in result.reason
    assert SECRET not in result.reason


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_newer_version_is_unreadable(name: str) -> None:
    result = unseal(envelope(name, v=TYPES[name][0] + 1, data=json.dumps({"email": SECRET}).encode()))
    assert isinstance(result, Unreadable)
    assert "newer" in result.reason
    assert SECRET not in result.reason


@pytest.mark.parametrize("name", sorted(TYPES))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"account": "' + SECRET.encode() + b'"',
        json.dumps({"account": {SECRET: SECRET}, "aim": SECRET, "link": [SECRET]}).encode(),
        json.dumps({"account": SECRET}).encode()[:-3],
        json.dumps({SECRET: SECRET}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_broken_body_is_unreadable_and_the_reason_quotes_no_contact(name: str, body: bytes) -> None:
    result = unseal(envelope(name, data=body))
    assert isinstance(result, Unreadable)
    assert SECRET not in result.reason
    assert name in result.reason


@pytest.mark.parametrize("v", [0, -1])
def test_a_version_before_the_first_is_unreadable(v: int) -> None:
    assert isinstance(unseal(envelope(v=v, data=b'{"account":"a","contact_id":"c","origin":"feed"}')), Unreadable)


def test_fields_that_are_new_within_a_version_are_ignored_by_the_older_reader() -> None:
    body = b'{"account":"a","contact_id":"c","origin":"feed","colour":{"of":"tomorrow"}}'
    assert unseal(envelope(data=body)) == ContactTouched(account="a", contact_id="c", origin="feed")


@given(st.sampled_from(sorted(TYPES)), st.integers(-3, 3), st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_body_raises(name: str, v: int, body: bytes) -> None:
    unseal(envelope(name, v=v, data=body))


ce_names = st.sampled_from(["ce_id", "ce_type", "ce_v", "ce_source", "ce_subject", "ce_time", "traceparent", "x"])
ce_values = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"1", b"2026-11-22T12:00:00+00:00", b"contact.touched", b"9" * 5000, b"1_0", b"2026-11-22"]),
)


@given(st.lists(st.tuples(ce_names, ce_values), max_size=12), st.none() | st.binary(max_size=40))
@settings(max_examples=400, deadline=None)
def test_no_headers_raise(rows: list[tuple[str, bytes]], value: bytes | None) -> None:
    result = from_headers(rows, value)
    if isinstance(result, Envelope):
        unseal(result)
        from_headers(headers(result), result.data)


FULL = {
    "ce_id": b"e1",
    "ce_type": b"contact.touched",
    "ce_v": b"1",
    "ce_source": b"shop",
    "ce_time": b"2026-11-22T12:00:00+00:00",
}


@given(st.fixed_dictionaries({name: st.one_of(st.just(value), ce_values) for name, value in FULL.items()}))
@settings(max_examples=400, deadline=None)
def test_no_headers_that_are_nearly_right_raise(rows: dict[str, bytes]) -> None:
    result = from_headers(rows.items(), b"{}")
    if isinstance(result, Envelope):
        assert from_headers(headers(result), result.data) == result


@pytest.mark.parametrize("name", sorted(FULL))
def test_each_missing_attribute_is_named(name: str) -> None:
    result = from_headers([(key, value) for key, value in FULL.items() if key != name], b"{}")
    assert isinstance(result, Unreadable)
    assert name in result.reason


def test_a_message_without_a_body_is_unreadable() -> None:
    assert isinstance(from_headers(FULL.items(), None), Unreadable)


def test_a_time_without_a_zone_is_unreadable() -> None:
    assert isinstance(from_headers({**FULL, "ce_time": b"2026-11-22T12:00:00"}.items(), b"{}"), Unreadable)


def test_ids_are_derived_from_their_causes_and_differ_with_them() -> None:
    assert derived("a", 1) == derived("a", 1)
    assert len({derived("a", 1), derived("a", 2), derived("a1"), derived("a", "1", ""), derived("b", 1)}) == 5


def test_a_body_of_the_present_version_needs_no_upcaster() -> None:
    assert lift("contact.touched", 1, 1, b'{"a": 1}') == {"a": 1}


def test_a_version_without_an_upcaster_is_missing_and_named() -> None:
    with pytest.raises(MissingUpcastError, match=r"contact\.touched version 1"):
        lift("contact.touched", 1, 2, b"{}")


def test_a_broken_body_of_an_old_version_is_a_decoding_error() -> None:
    for body in (b"", b"[]", b"{"):
        with pytest.raises(msgspec.MsgspecError):
            lift("contact.touched", 1, 1, body)


def test_every_older_version_of_every_type_can_be_lifted() -> None:
    """A version that was raised has an upcaster for each before it."""
    for name, (present, _) in TYPES.items():
        for v in range(1, present):
            assert (name, v) in upcast.UPCASTERS


def test_a_contact_is_encoded_the_same_whatever_the_order_of_its_fields() -> None:
    one, other = Contact(fields={"a": ("1",), "b": ()}), Contact(fields={"b": (), "a": ("1",)})
    encoder = msgspec.json.Encoder(order="deterministic")
    assert encoder.encode(one) == encoder.encode(other)


def test_a_message_too_large_for_the_log_leaves_only_the_apps_own_object_out() -> None:
    photo = msgspec.Raw(json.dumps({"vcard": "x" * LARGEST_WHOLE}).encode())
    contact = Contact(fields={"email": (SECRET,)})
    order = Order(1, 2)
    aim = Aim(link="l", side="left", version=Version(1, 1), connection="c", config_version=1, account="shop")
    seen = Observation(contact_id="c1", order=order, contact=contact, object=photo)
    event = ContactChanged(account="shop", contact_id="c1", order=order, origin="feed", contact=contact, object=photo)
    whole: list[Message] = [
        event,
        Update(aim=aim, contact_id="c1", fields={"name": ("Ada",)}, expected={}, object=photo),
        Receipt(aim=aim, outcome=Written(contact_id="c1", seen=seen)),
        Receipt(aim=aim, outcome=Stale(seen=seen)),
    ]
    for message in whole:
        sealed = seal(message, id="e1", source="shop", subject="c1", time=datetime.now(UTC))
        assert len(sealed.data) < 2000
        assert SECRET in sealed.data.decode() or "Ada" in sealed.data.decode()
        assert not isinstance(unseal(sealed), Unreadable)
    small = replace(event, object=msgspec.Raw(b'{"vcard":"x"}'))
    assert b'"vcard"' in seal(small, id="e1", source="shop", subject="c1", time=datetime.now(UTC)).data
