"""The Stripe sandbox's webhooks: signed, tried again, and as disorderly as a test wants."""

import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.official import official

URL = "https://contactsync.test/hooks/shop"


class Clock:
    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


class Receiver:
    """What a webhook endpoint receives; answers with the next status in `answers`, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        self.app = Starlette(routes=[Route("/{path:path}", self.take, methods=["POST"])])
        self.transport = httpx2.ASGITransport(app=self.app)

    async def take(self, request: Request) -> Response:
        self.got.append((await request.body(), request.headers["Stripe-Signature"]))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body, _ in self.got]

    @property
    def names(self) -> list[str]:
        return [each["data"]["object"]["name"] for each in self.events]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def sandbox(clock: Clock, receiver: Receiver) -> AsyncIterator[StripeSandbox]:
    retries, rng = (0.01, 0.02), random.Random(7)
    async with StripeSandbox(
        webhook_secret="whsec_one",
        clock=clock,
        rng=rng,
        webhook_retries=retries,
        webhook_transport=receiver.transport,
    ) as sandbox:
        yield sandbox


def verified(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body, header, secret, 300))
    except stripe.SignatureVerificationError:
        return False


def last(sandbox: StripeSandbox) -> dict[str, Any]:
    return sandbox.events.all()[-1]


async def test_webhooks_are_signed_at_sending_over_the_raw_body(sandbox: StripeSandbox, receiver: Receiver) -> None:
    sandbox.webhooks.endpoints.add(URL, ("customer.*",), api_version="2024-06-20")
    sandbox.dashboard.create(name="Zoë")
    await sandbox.webhooks.drain()
    [(body, header)] = receiver.got
    assert verified(body, header, "whsec_one")
    assert not verified(body.replace(b"Zo", b"Xo"), header, "whsec_one")
    assert not verified(body, header, "whsec_two")
    event = receiver.events[0]
    assert (event["api_version"], event["pending_webhooks"]) == ("2024-06-20", 1)
    assert last(sandbox)["pending_webhooks"] == 0
    assert event["data"] == last(sandbox)["data"]


async def test_while_a_secret_is_rolled_both_sign(sandbox: StripeSandbox, receiver: Receiver, clock: Clock) -> None:
    endpoint = sandbox.webhooks.endpoints.add(URL)
    fresh = sandbox.webhooks.endpoints.roll(endpoint.id, keep_old=60)
    sandbox.dashboard.create(name="Ada")
    await sandbox.webhooks.drain()
    clock.now += 60
    sandbox.dashboard.create(name="Bob")
    await sandbox.webhooks.drain()
    assert [verified(*each, "whsec_one") for each in receiver.got] == [True, False]
    assert [verified(*each, fresh) for each in receiver.got] == [True, True]


async def test_a_refused_delivery_is_tried_again_with_a_fresh_signature(
    sandbox: StripeSandbox, receiver: Receiver, clock: Clock
) -> None:
    ticks = iter(range(100))
    sandbox.webhooks._world.clock = lambda: clock.now + next(ticks)
    receiver.answers = [500, 302]
    sandbox.webhooks.endpoints.add(URL)
    sandbox.dashboard.create(name="Ada")
    await sandbox.webhooks.drain()
    assert len({header for _, header in receiver.got}) == 3
    assert len({each["id"] for each in receiver.events}) == 1
    [delivery] = sandbox.webhooks.deliveries
    assert [each.status for each in delivery.attempts] == [500, 302, 200]
    assert delivery.state == "delivered"


async def test_events_whose_delivery_failed_are_found_by_delivery_success(
    sandbox: StripeSandbox, receiver: Receiver
) -> None:
    listed = official(sandbox).v1.events.list_async
    sandbox.webhooks.endpoints.add(URL)
    receiver.answers = [500, 500, 500]
    sandbox.dashboard.create(name="Ada")
    await sandbox.webhooks.drain()
    sandbox.dashboard.create(name="Bob")
    await sandbox.webhooks.drain()
    lost, taken = (each["id"] for each in sandbox.events.all())
    assert [each.id for each in (await listed({"delivery_success": False})).data] == [lost]
    assert [each.id for each in (await listed({"delivery_success": True})).data] == [taken]
    sandbox.webhooks.resend(sandbox.events, lost)
    await sandbox.webhooks.drain()
    assert not (await listed({"delivery_success": False})).data


async def test_deliveries_can_be_doubled_held_shuffled_and_lost(sandbox: StripeSandbox, receiver: Receiver) -> None:
    sandbox.webhooks.endpoints.add(URL)
    sandbox.webhooks.copies = 2
    sandbox.dashboard.create(name="twice")
    await sandbox.webhooks.drain()
    assert receiver.names == ["twice", "twice"]
    sandbox.webhooks.copies = 1
    receiver.got.clear()
    sandbox.webhooks.hold()
    names = [f"{at}" for at in range(12)]
    for name in names:
        sandbox.dashboard.create(name=name)
    await sandbox.webhooks.drain()
    assert (len(receiver.got), len(sandbox.webhooks.held)) == (0, 12)
    sandbox.webhooks.release(shuffle=True)
    await sandbox.webhooks.drain()
    assert sorted(receiver.names, key=int) == names != receiver.names
    receiver.got.clear()
    sandbox.webhooks.hold()
    sandbox.dashboard.create(name="lost")
    assert sandbox.webhooks.discard() == 1
    sandbox.webhooks.release()
    sandbox.webhooks.disorder = 0.05
    for name in names:
        sandbox.dashboard.create(name=name)
    await sandbox.webhooks.drain()
    assert sorted(receiver.names, key=int) == names != receiver.names


async def test_an_endpoint_that_is_switched_off_gets_nothing_more(sandbox: StripeSandbox, receiver: Receiver) -> None:
    endpoint = sandbox.webhooks.endpoints.add(URL)
    sandbox.webhooks.hold()
    sandbox.dashboard.create(name="Ada")
    sandbox.webhooks.endpoints.enable(endpoint.id, enabled=False)
    sandbox.dashboard.create(name="Bob")
    sandbox.webhooks.release()
    await sandbox.webhooks.drain()
    assert [each.state for each in sandbox.webhooks.deliveries] == ["abandoned"]
    assert not receiver.got


async def test_endpoints_are_managed_through_the_api(sandbox: StripeSandbox, receiver: Receiver) -> None:
    endpoints = official(sandbox).v1.webhook_endpoints
    made = await endpoints.create_async({"url": URL, "enabled_events": ["customer.deleted"]})
    assert made.secret is not None
    assert "secret" not in (await endpoints.retrieve_async(made.id)).to_dict()
    ada = sandbox.dashboard.create(name="Ada")["id"]
    sandbox.dashboard.delete(ada)
    await sandbox.webhooks.drain()
    assert [each["type"] for each in receiver.events] == ["customer.deleted"]
    assert verified(*receiver.got[0], made.secret)
    assert (await endpoints.update_async(made.id, {"disabled": True})).status == "disabled"
    await endpoints.delete_async(made.id)
    assert not (await endpoints.list_async()).data
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await endpoints.create_async({"url": "nowhere", "enabled_events": ["*"]})
    assert refused.value.code == "url_invalid"


async def test_a_receiver_that_is_away_is_a_failed_delivery() -> None:
    async with StripeSandbox(webhook_retries=()) as sandbox:
        sandbox.webhooks.endpoints.add("http://127.0.0.1:9/hooks")
        sandbox.dashboard.create(name="Ada")
        await sandbox.webhooks.drain()
        [delivery] = sandbox.webhooks.deliveries
        assert (delivery.state, delivery.attempts[0].status) == ("failed", None)
