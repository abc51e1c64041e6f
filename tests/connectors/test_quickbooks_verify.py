"""Webhooks: accepted with a verifier token's signature, read as customers to look at, one company's only."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.connectors.quickbooks.online import QuickBooks
from services.contracts.app import Delivery, Reading, Rejected
from services.contracts.events import ContactMerged, ContactTouched
from tests.connectors.quickbooks_rig import Books, must, touched

NOW = 1_767_225_600.0
TOKEN = "verifier-token-0123456789"
REALM = "9341455000000001"
EVENT = {
    "specversion": "1.0",
    "id": "88cd52aa-Customer-7",
    "source": "intuit.x",
    "type": "qbo.customer.updated.v1",
    "datacontenttype": "application/json",
    "time": "2026-01-01T00:00:00.123456789Z",
    "intuitentityid": "7",
    "intuitaccountid": REALM,
    "data": {},
}
LEGACY = {"name": "Customer", "id": "7", "operation": "Update", "lastUpdated": "2026-01-01T00:00:00.000Z"}
APP = QuickBooks()


def signed(body: bytes, token: str = TOKEN) -> str:
    return base64.b64encode(hmac.new(token.encode(), body, hashlib.sha256).digest()).decode()


def delivery(
    parsed: Any = None, body: bytes | None = None, headers: Mapping[str, str | None] | None = None
) -> Delivery:
    """A signed delivery; `headers` replaces (or with None leaves out) headers."""
    body = json.dumps([EVENT] if parsed is None else parsed).encode() if body is None else body
    rows = {"content-type": "application/json", "intuit-signature": signed(body), **(headers or {})}
    given = tuple((name, value) for name, value in rows.items() if value is not None)
    return Delivery(account="books", headers=given, body=body, received=round(NOW * 1_000_000))


def legacy(*entities: dict[str, Any], realm: str = REALM) -> dict[str, Any]:
    return {"eventNotifications": [{"realmId": realm, "dataChangeEvent": {"entities": list(entities)}}]}


def readings(parsed: Any) -> tuple[Reading, ...]:
    found: tuple[Reading, ...] = must(APP.read(delivery(parsed)), tuple)
    return found


@pytest.mark.parametrize("secrets", [(TOKEN,), ("an older token", TOKEN), (TOKEN, "a newer token"), ("", TOKEN)])
def test_a_delivery_signed_with_any_of_the_tokens_is_accepted(secrets: tuple[str, ...]) -> None:
    assert APP.verify(delivery(), secrets, NOW) is None


BODY = json.dumps([EVENT]).encode()
HEX = hmac.new(TOKEN.encode(), BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("headers", "secrets"),
    [
        ({}, ()),
        ({}, ("",)),
        ({}, (" ",)),
        ({}, ("another token",)),
        ({}, (TOKEN + " ",)),
        ({}, (TOKEN.upper(),)),
        ({"intuit-signature": None}, (TOKEN,)),
        ({"intuit-signature": ""}, (TOKEN,)),
        ({"intuit-signature": HEX}, (TOKEN,)),
        ({"intuit-signature": signed(BODY)[:-1]}, (TOKEN,)),
        ({"intuit-signature": signed(BODY).rstrip("=")}, (TOKEN,)),
        ({"intuit-signature": signed(BODY) + " "}, (TOKEN,)),
        ({"intuit-signature": signed(BODY).swapcase()}, (TOKEN,)),
        ({"intuit-signature": signed(BODY, "another token")}, (TOKEN,)),
        ({"intuit-signature": signed(b"")}, (TOKEN,)),
        ({"intuit-signature": f"{signed(BODY)},{signed(BODY)}"}, (TOKEN,)),
        ({"intuit-signature": "\udcff\udcfe"}, (TOKEN,)),
        ({"intuit-signature": "é" * 44}, (TOKEN,)),
        ({"intuit-signature": "A" * 100_000}, (TOKEN,)),
        ({"intuit-signature": None, "x-intuit-signature": signed(BODY)}, (TOKEN,)),
        ({"intuit-signature": None, "stripe-signature": f"t=1,v1={HEX}"}, (TOKEN,)),
        ({"intuit-signature": None, "authorization": f"Bearer {TOKEN}"}, (TOKEN,)),
    ],
)
def test_bad_deliveries_are_rejected(headers: dict[str, str | None], secrets: tuple[str, ...]) -> None:
    rejected = must(APP.verify(delivery(headers=headers), secrets, NOW), Rejected)
    assert rejected.code == "signature"
    assert TOKEN not in rejected.reason


@pytest.mark.parametrize("at", [0, 1, len(BODY) // 2, len(BODY) - 1])
def test_a_changed_byte_is_rejected(at: int) -> None:
    good = delivery()
    body = good.body[:at] + bytes([good.body[at] ^ 1]) + good.body[at + 1 :]
    must(APP.verify(msgspec.structs.replace(good, body=body), (TOKEN,), NOW), Rejected)


@pytest.mark.parametrize("body", [BODY + b" ", b" " + BODY, BODY + BODY, BODY[:-1], b""])
def test_another_body_under_the_same_signature_is_rejected(body: bytes) -> None:
    must(APP.verify(delivery(body=body, headers={"intuit-signature": signed(BODY)}), (TOKEN,), NOW), Rejected)


def test_two_signatures_are_rejected() -> None:
    good = delivery()
    twice = msgspec.structs.replace(good, headers=(*good.headers, good.headers[-1]))
    assert "twice" in must(APP.verify(twice, (TOKEN,), NOW), Rejected).reason


def test_what_was_held_for_long_is_rejected_and_what_intuit_repeats_for_days_isnt() -> None:
    assert must(APP.verify(delivery(), (TOKEN,), NOW + 301), Rejected).code == "timestamp"
    assert must(APP.verify(delivery(), (TOKEN,), NOW - 301), Rejected).code == "timestamp"
    later = NOW + 3 * 86_400
    repeated = msgspec.structs.replace(delivery(), received=round(later * 1_000_000))
    assert APP.verify(repeated, (TOKEN,), later) is None


@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
def test_p9_an_event_is_a_customer_to_look_at(kind: str) -> None:
    (reading,) = readings([{**EVENT, "type": f"qbo.customer.{kind}.v1"}])
    assert reading.event == ContactTouched(account="books", contact_id="7", origin="webhook")
    assert reading.time == 1_767_225_600_123_457
    assert reading.id == "88cd52aa-Customer-7/7"


def test_c5_a_merge_touches_both() -> None:
    found = readings([{**EVENT, "type": "qbo.customer.merged.v1", "data": {"deletedid": "9"}}])
    assert touched(found) == ["7", "9"]
    assert len({reading.id for reading in found}) == 2
    merged = ContactMerged(account="books", contact_id="9", into="7", origin="webhook")
    assert [reading.event for reading in found if isinstance(reading.event, ContactMerged)] == [merged]
    found = readings(legacy({**LEGACY, "operation": "Merge", "deletedId": "9"}))
    assert touched(found) == ["7", "9"]
    assert [reading.event for reading in found if isinstance(reading.event, ContactMerged)] == [merged]


def test_many_customers_in_one_body_are_all_read_and_doubles_once() -> None:
    rows = [{**EVENT, "id": f"e{n}", "intuitentityid": str(n)} for n in range(100)]
    assert touched(readings([*rows, *rows])) == [str(n) for n in range(100)]
    rows = [{**LEGACY, "id": str(n)} for n in range(3)]
    assert touched(readings(legacy(*rows, *rows))) == ["0", "1", "2"]


def test_events_of_one_id_about_two_customers_are_two() -> None:
    assert touched(readings([EVENT, {**EVENT, "intuitentityid": "8"}])) == ["7", "8"]


@pytest.mark.parametrize(
    "parsed",
    [
        [],
        [{**EVENT, "type": "qbo.invoice.created.v1", "intuitentityid": ""}],
        [{**EVENT, "type": "qbo.customer.emailed.v1"}],
        [{**EVENT, "type": "qbo.customer.updated.v2"}],
        [{**EVENT, "type": "qbo.customers.updated.v1"}],
        {"eventNotifications": []},
        legacy({**LEGACY, "name": "Invoice", "id": ""}),
        legacy({**LEGACY, "operation": "Emailed"}),
        {"eventNotifications": [{"realmId": REALM}]},
    ],
)
def test_what_isnt_about_customers_is_taken_and_says_nothing(parsed: Any) -> None:
    assert readings(parsed) == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"1",
        b'"x"',
        b"{}",
        b"[1]",
        b"[{}]",
        b'{"eventNotifications":{}}',
        b'{"eventNotifications":[{}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        json.dumps([{**EVENT, "type": 1}]).encode(),
        json.dumps([{**EVENT, "intuitaccountid": 5}]).encode(),
        json.dumps([{**EVENT, "intuitentityid": 7}]).encode(),
        json.dumps([{**EVENT, "intuitentityid": ""}]).encode(),
        json.dumps([{**EVENT, "intuitentityid": "../7"}]).encode(),
        json.dumps([{**EVENT, "intuitentityid": "7\n"}]).encode(),
        json.dumps([{**EVENT, "id": ""}]).encode(),
        json.dumps([{**EVENT, "id": "x" * 301}]).encode(),
        json.dumps([{**EVENT, "id": None}]).encode(),
        json.dumps([{**EVENT, "data": []}]).encode(),
        json.dumps([{**EVENT, "data": {"deletedid": 9}}]).encode(),
        json.dumps([{**EVENT, "data": {"deletedid": "x"}}]).encode(),
        json.dumps([EVENT, {**EVENT, "intuitentityid": "x"}]).encode(),
        json.dumps(legacy({**LEGACY, "id": 7})).encode(),
        json.dumps(legacy({"name": "Customer", "operation": "Update"})).encode(),
    ],
)
def test_signed_bodies_that_cant_be_read_are_rejected_whole(body: bytes) -> None:
    given = delivery(body=body)
    assert APP.verify(given, (TOKEN,), NOW) is None
    assert must(APP.read(given), Rejected).code == "json"


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-01T00:00:00", "99999-01-01T00:00:00Z"])
def test_an_event_without_a_readable_time_happened_when_it_came(time: str) -> None:
    (reading,) = readings([{**EVENT, "time": time}])
    assert reading.time == NOW * 1_000_000


async def test_other_companies_of_the_same_app_are_left_out() -> None:
    async with Books() as books:
        other = books.box.company("42")
        for form in (False, True):
            books.box.webhooks.legacy = form
            ours, theirs = books.hand.create(f"Ours {form}"), other.hand.create(f"Theirs {form}")
            given = books.delivery()
            assert books.app.verify(given, (books.box.webhooks.token,), books.now()) is None
            assert await books.app.prepare(books.access(), given) is None
            assert touched(must(books.app.read(given), tuple)) == [ours]
            other.hand.update(theirs, Notes="x")
            assert books.app.read(books.delivery()) == ()


async def test_the_sandboxs_webhooks_are_taken_by_whoever_reads_them_and_repeated_until_then() -> None:
    answers = [503, 200, 200]
    heard: list[Delivery] = []

    async def hook(request: Request) -> Response:
        rows = tuple((name.lower(), value) for name, value in request.headers.items())
        body = await request.body()
        heard.append(Delivery(account="books", headers=rows, body=body, received=books.micros()))
        return Response(status_code=answers[min(len(heard), len(answers)) - 1])

    async with Books() as books:
        app = Starlette(routes=[Route("/hooks/books", hook, methods=["POST"])])
        books.box.webhooks.url = "http://ingest.test/hooks/books"
        books.box.webhooks.copies = 2
        one, two = books.hand.create("One"), books.hand.create("Two")
        books.hand.merge(one, two)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as http:
            assert await books.box.webhooks.send(http) == 0
            books.hand.update(two, Notes="x")
            answers[:] = [503]
            assert await books.box.webhooks.send(http) == 1
            answers[:] = [200]
            assert await books.box.webhooks.send(http) == 0
        for each in heard:
            assert books.app.verify(each, (books.box.webhooks.token,), books.now()) is None
        first = must(books.app.read(heard[0]), tuple)
        assert touched(first) == [one, two, two, one]
        assert [r.id for r in first] == [r.id for r in must(books.app.read(heard[1]), tuple)]
        assert touched(must(books.app.read(heard[-1]), tuple)) == [two]
