"""Scanning, polling, looking and finding, against Stripe's sandbox."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from services.connectors.stripe.app import APP
from services.connectors.stripe.sandbox import Where
from services.connectors.verdicts import verdict_on
from services.contracts.app import CursorLost, Delivery, Gone, Page, Reading, Seen, Trouble, Verdict
from services.contracts.contact import Order
from services.contracts.events import ContactChanged, ContactDeleted, SubscriptionChanged
from services.runtime.app import Access
from services.runtime.clock import ManualClock
from tests.connectors.stripe_rig import KEY, Shop

DAY = 86_400


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as made:
        yield made


def webhooks(shop: Shop) -> list[Reading]:
    found: list[Reading] = []
    for body in shop.box.events.all():
        read = APP.read(Delivery(account="shop", headers=(), body=json.dumps(body).encode(), received=0))
        assert isinstance(read, tuple)
        found += read
    return found


async def test_a_scan_reads_every_customer_with_its_running_subscriptions(shop: Shop) -> None:
    made = [shop.customer(name=f"N{n}", email=f"n{n}@x.org") for n in range(230)]
    running, over = await shop.subscribe(made[0], "pro"), await shop.subscribe(made[1], "old")
    shop.box.dashboard.unsubscribe(over)
    readings, _ = await shop.scanned()
    assert [reading.id for reading in readings] == made[::-1]
    assert len(shop.box.requests.to("GET", "/v1/customers")) == 3
    events = {reading.id: reading.event for reading in readings}
    first, second = events[made[0]], events[made[1]]
    assert isinstance(first, ContactChanged)
    assert isinstance(second, ContactChanged)
    assert first.origin == "scan"
    assert first.contact.fields["email"] == ("n0@x.org",)
    assert [each.id for each in first.subscriptions or ()] == [running]
    assert "pro" in (first.subscriptions or ())[0].plans
    assert second.subscriptions == ()
    assert json.loads(bytes(first.object))["email"] == "n0@x.org"


async def test_p5_the_order_of_an_answer_spans_its_date_and_the_requests_duration(shop: Shop) -> None:
    shop.customer(name="Ada")
    second = 1_000_000
    at = int(shop.now()) * second
    readings, _ = await shop.scanned()
    event = readings[0].event
    assert isinstance(event, ContactChanged)
    assert event.order == Order(at - second, at + second)
    seen = await APP.look(shop.access(), readings[0].id)
    assert isinstance(seen, Seen)
    assert seen.order == Order(at - second, at + second)


async def test_p5_without_a_date_the_order_is_the_clocks_and_covers_the_duration() -> None:
    clock = ManualClock()
    start = round(clock.time.timestamp()) * 1_000_000

    def answer(_: httpx2.Request) -> httpx2.Response:
        clock.advance(3)
        return httpx2.Response(200, json={"id": "cus_1", "object": "customer"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        access = Access(account="a", settings={}, credentials={"api_key": (KEY,)}, http=http, clock=clock)
        seen = await APP.look(access, "cus_1")
    assert isinstance(seen, Seen)
    assert seen.order == Order(start - 1_000_000, start + 4_000_000)


async def test_an_empty_account_is_scanned_in_one_page(shop: Shop) -> None:
    readings, cursor = await shop.scanned()
    assert readings == []
    shop.customer(name="Ada")
    readings, _ = await shop.polled(cursor)
    assert [type(reading.event) for reading in readings] == [ContactChanged]


async def test_poll_resumes_from_cursor_and_repeats_its_webhooks(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    shop.clock.advance(3600)
    _, cursor = await shop.scanned()
    shop.clock.advance(10)
    shop.box.dashboard.update(ada, email="ada@x.org")
    await shop.subscribe(ada)
    shop.box.dashboard.delete(ada)
    readings, after = await shop.polled(cursor)
    expected = webhooks(shop)[1:]
    assert [(r.id, r.time) for r in readings] == [(r.id, r.time) for r in expected]
    kinds = [ContactChanged, SubscriptionChanged, SubscriptionChanged, ContactDeleted]
    assert [type(reading.event) for reading in readings] == kinds
    for ours, theirs in zip(readings, expected, strict=True):
        assert getattr(ours.event, "origin", None) == "feed"
        assert getattr(ours.event, "order", None) == getattr(theirs.event, "order", None)
    shop.clock.advance(3600)
    again, _ = await shop.polled(after)
    assert len(again) == len(readings), "what lies within the overlap is read twice"
    _, later = await shop.polled(after)
    assert await shop.polled(later) == ([], later)


async def test_poll_reads_many_pages_and_what_happens_meanwhile(shop: Shop) -> None:
    _, cursor = await shop.scanned()
    shop.clock.advance(10)
    for n in range(250):
        shop.customer(name=f"N{n}")
    page = await APP.poll(shop.access(), cursor)
    assert isinstance(page, Page)
    assert page.more
    shop.clock.advance(5)
    late = shop.customer(name="late")
    shop.clock.advance(200)
    rest, after = await shop.polled(page.cursor)
    shop.clock.advance(100)
    last, _ = await shop.polled(after)
    expected = {reading.id for reading in webhooks(shop)}
    assert {reading.id for reading in (*page.readings, *rest, *last)} == expected
    assert late in {getattr(reading.event, "contact_id", None) for reading in last}


async def test_poll_recovers_from_expired_cursor(shop: Shop) -> None:
    _, cursor = await shop.scanned()
    shop.clock.advance(31 * DAY)
    assert isinstance(await APP.poll(shop.access(), cursor), CursorLost)
    for odd in ("", "{}", "evt_1", "[" * 100_000, '{"since":"x"}'):
        assert isinstance(await APP.poll(shop.access(), odd), CursorLost)
        assert isinstance(await APP.scan(shop.access(), odd), CursorLost)


async def test_a_page_token_that_stripe_lost_is_said(shop: Shop) -> None:
    now = int(shop.now())
    shop.customer(name="Ada")
    assert isinstance(await APP.scan(shop.access(), f'{{"since":{now},"after":"cus_gone"}}'), CursorLost)
    assert isinstance(await APP.poll(shop.access(), f'{{"since":{now},"after":"evt_gone"}}'), CursorLost)


async def test_events_can_be_switched_off(shop: Shop) -> None:
    access = shop.access(events="off")
    assert await APP.poll(access, "anything") == Page(readings=(), cursor="anything", more=False)
    assert len(shop.box.requests) == 0


async def test_look_sees_the_customer_as_it_is(shop: Shop) -> None:
    ada = shop.customer(name="Ada", metadata={"k": "v", "PieSync Trash": "2026-01-01"})
    await shop.subscribe(ada)
    seen = await APP.look(shop.access(), ada)
    assert isinstance(seen, Seen)
    assert seen.contact.fields["name"] == ("Ada",)
    assert seen.contact.tags == ("PieSync Trash",)
    assert len(seen.subscriptions or ()) == 1


async def test_more_subscriptions_than_an_answer_shows_are_read_to_their_end(shop: Shop) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/customers/cus_1":
            cut = {"object": "list", "has_more": True, "data": [{"id": "sub_0"}]}
            body: dict[str, Any] = {"id": "cus_1", "object": "customer", "subscriptions": cut}
        else:
            assert request.url.params["customer"] == "cus_1"
            first = "starting_after" not in request.url.params
            row = {"id": "sub_0" if first else "sub_1"}
            body = {"object": "list", "has_more": first, "data": [row]}
        return httpx2.Response(200, json=body)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as http:
        access = shop.access(http=http)
        seen = await APP.look(access, "cus_1")
    assert isinstance(seen, Seen)
    assert [each.id for each in seen.subscriptions or ()] == ["sub_0", "sub_1"]


async def test_reports_gone_on_deleted_and_on_unknown_customers(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    shop.box.dashboard.delete(ada)
    for contact_id in (ada, "cus_never"):
        gone = await APP.look(shop.access(), contact_id)
        assert isinstance(gone, Gone)
        assert gone.contact_id == contact_id


async def test_localstripes_404_of_a_deleted_customer_is_gone_too(shop: Shop) -> None:
    error = {"type": "invalid_request_error", "message": "Not Found"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(404, json={"error": error}))
    async with httpx2.AsyncClient(transport=transport) as http:
        access = shop.access(http=http)
        assert isinstance(await APP.look(access, "cus_1"), Gone)


@pytest.mark.parametrize("contact_id", ["", ".", "..", "../v1/events"])
async def test_an_id_that_is_no_id_is_neither_seen_nor_gone(shop: Shop, contact_id: str) -> None:
    answer = await APP.look(shop.access(), contact_id)
    assert isinstance(answer, Trouble)
    assert verdict_on(answer, APP.manifest) is not Verdict.GONE


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html>not found</html>"),
        (404, '{"error":{"type":"invalid_request_error","message":"Unrecognized request URL (GET: /v1/v1/x)."}}'),
        (404, '{"message":"Not Found"}'),
        (200, "<html>welcome</html>"),
        (200, '{"id":"acct_1","object":"account"}'),
        (200, ""),
        (302, ""),
        (200, "[" * 100_000),
    ],
)
async def test_a_wrong_address_is_never_taken_for_a_deletion(shop: Shop, status: int, body: str) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, text=body))
    async with httpx2.AsyncClient(transport=transport) as http:
        access = shop.access(http=http)
        asked = (APP.look(access, "cus_1"), APP.find(access, "a@x.org"), APP.scan(access, None))
        for answer in [await each for each in asked]:
            assert isinstance(answer, Trouble)
            assert verdict_on(answer, APP.manifest) is not Verdict.GONE


async def test_a_key_of_the_other_mode_is_never_taken_for_a_deletion(shop: Shop) -> None:
    message = "No such customer: 'cus_1'; a similar object exists in live mode, but a test mode key was used."
    error = {"type": "invalid_request_error", "code": "resource_missing", "message": message, "param": "id"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(404, json={"error": error}))
    async with httpx2.AsyncClient(transport=transport) as http:
        access = shop.access(http=http)
        trouble = await APP.look(access, "cus_1")
    assert isinstance(trouble, Trouble)
    assert trouble.key == "wrong_mode"
    assert verdict_on(trouble, APP.manifest) is Verdict.REAUTHORISE


async def test_find_sees_live_customers_with_the_address(shop: Shop) -> None:
    first = shop.customer(name="Ada", email="ada@x.org")
    second = shop.customer(name="Ada again", email="ada@x.org")
    gone = shop.customer(email="ada@x.org")
    shop.box.dashboard.delete(gone)
    shop.customer(email="eve@x.org")
    found = await APP.find(shop.access(), "ada@x.org")
    assert isinstance(found, tuple)
    assert {each.contact_id for each in found} == {first, second}
    assert await APP.find(shop.access(), "nobody@x.org") == ()


async def test_find_takes_no_stripe_double_at_its_word(shop: Shop) -> None:
    rows = [{"id": "cus_1", "object": "customer", "email": " Ada@X.org"}, {"id": "cus_2", "email": "eve@x.org"}]
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"data": rows}))
    async with httpx2.AsyncClient(transport=transport) as http:
        access = shop.access(http=http)
        found = await APP.find(access, "ada@x.org")
    assert isinstance(found, tuple)
    assert [each.contact_id for each in found] == ["cus_1"]


async def test_faults_of_reads_are_trouble(shop: Shop) -> None:
    shop.box.faults.rate_limit(Where(path="/v1/customers"), retry_after=7)
    assert await APP.scan(shop.access(), None) == Trouble(
        key="rate_limit", detail=f"Stripe answered 429 (rate_limit, {last_request(shop)}).", retry_after=7.0
    )
    shop.box.faults.broken(Where(path="/v1/events"), status=503)
    trouble = await APP.poll(shop.access(), f'{{"since":{int(shop.now())}}}')
    assert isinstance(trouble, Trouble)
    assert trouble.key == 503
    shop.box.faults.drop(Where(path="/v1/customers"))
    lost = await APP.find(shop.access(), "a@x.org")
    assert isinstance(lost, Trouble)
    assert lost.key == "unanswered"


def last_request(shop: Shop) -> str:
    return shop.box.requests[-1].request_id
