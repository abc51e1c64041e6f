"""Customers of one product, told by a metadata key: only they reach Google, with the key in a custom field there."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services import main
from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.google_contacts.sandbox import serve as serve_google
from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox import serve as serve_stripe
from services.ingest.poll import Timing
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import Applied, apply
from services.runtime.registry.check import check
from services.runtime.settings import Settings
from tests.end_to_end.three_apps import CHANNEL_TOKEN, KEY, SECRET, BriskGoogle
from tests.end_to_end.two_stripes import WAITING

LABEL = "Customers"
CONNECTION = """
connections:
  shop-office:
    left: shop
    right: office
    rules:
      - from: left
        if: [{field: metadata.product, equals: syncbox}]
        then: [{add_label: Customers}]
        undo: true
    mappings:
      - {left: metadata.product, right: custom.product}
      - {left: metadata.seats, right: custom.Number of seats, direction: left_to_right}
"""


@dataclass
class Home:
    """Both servers, and contactsync between them."""

    shop: StripeSandbox
    office: GoogleSandbox
    running: main.Installation

    def customer(self, name: str, product: str, **metadata: str) -> str:
        """A new customer's id."""
        email = f"{name.partition(' ')[0].lower()}@example.com"
        return str(self.shop.dashboard.create(name=name, email=email, metadata={"product": product, **metadata})["id"])

    def contact(self, name: str) -> dict[str, Any] | None:
        """Google's contact of that name."""
        people = self.office.hand.everybody()
        return next((each for each in people if each["names"][0]["displayName"] == name), None)

    def custom(self, name: str) -> dict[str, str]:
        """That contact's custom fields, but for the one that is contactsync's own."""
        fields = (self.contact(name) or {}).get("userDefined", [])
        return {field["key"]: field["value"] for field in fields}

    def labels(self, name: str) -> list[str]:
        """That contact's labels."""
        found = self.contact(name)
        return self.office.hand.labels(found["resourceName"]) if found else []

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until that is so."""
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.02)

    async def rest(self) -> None:
        """Wait until everything that Stripe told is decided and done."""
        async with asyncio.timeout(20):
            while True:
                before = len(self.shop.webhooks.deliveries), len(self.office.requests.writes())
                await self.shop.webhooks.drain()
                number = await self._polls()
                while await self._polls() < number + 2:  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.05)
                idle = await self.running.store.fetchval(WAITING) == 0
                if idle and before == (len(self.shop.webhooks.deliveries), len(self.office.requests.writes())):
                    return

    async def _polls(self) -> int:
        return int(await self.running.store.fetchval("SELECT poll_number FROM ingest.cursor WHERE account = 'office'"))


@pytest.fixture
async def home(database: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(StripeSandbox(KEY, SECRET, rng=random.Random(1)))
        office = GoogleSandbox(rng=random.Random(2))
        stripe = await stack.enter_async_context(serve_stripe(shop))
        google = await stack.enter_async_context(serve_google(office))
        listener = socket.create_server(("127.0.0.1", 0))
        listen = f"127.0.0.1:{listener.getsockname()[1]}"
        shop.webhooks.endpoints.add(f"http://{listen}/hooks/shop", secret=SECRET)
        settings = Settings(store_url=database, data_dir=tmp_path, listen=listen, secret_key="of these tests alone")
        opened = await stack.enter_async_context(main.installed(settings))
        running = msgspec.structs.replace(opened, apps={**opened.apps, "google_contacts": BriskGoogle()})
        await put_into_force(running, office, stripe, google)
        stop = asyncio.Event()
        roles = asyncio.create_task(
            main.serve_roles(running, main.ROLES, stop, listener=listener, timing=Timing(watch=0.2))
        )
        try:
            async with asyncio.timeout(30):
                while await running.store.fetchval("SELECT count(scanned_at) FROM sync.account") < 2:
                    if roles.done():
                        roles.result()
                    await asyncio.sleep(0.02)
            yield Home(shop, office, running)
        finally:
            stop.set()
            await roles


async def put_into_force(running: main.Installation, office: GoogleSandbox, stripe: str, google: str) -> None:
    oauth = office.oauth
    text = f"""
accounts:
  shop: {{app: stripe, api_base: "{stripe}", api_key: {KEY}, webhook_secrets: [{SECRET}]}}
  office:
    app: google_contacts
    api_base: "{google}"
    token_url: "{google}/token"
    certificates_url: "{google}/certs"
    client_id: {oauth.client_id}
    client_secret: {oauth.client_secret}
    refresh_token: {office.refresh_token}
    webhook_secrets: [{CHANNEL_TOKEN}]
    poll_seconds: 0.15
{CONNECTION}"""
    checked = check(text, {name: app.manifest for name, app in running.apps.items()}, {})
    assert checked.config is not None, checked.problems
    applied = await apply(running.store, running.vault, checked.config, by="test", now=SystemClock().now())
    assert isinstance(applied, Applied)


async def test_d2_a_metadata_key_arrives_in_a_custom_field_and_goes_on_both_ways(home: Home) -> None:
    ada = home.customer("Ada King", "syncbox", seats="5")
    await home.until(lambda: home.labels("Ada King") == [LABEL])
    found = home.custom("Ada King")
    assert (found["product"], found["Number of seats"]) == ("syncbox", "5")

    contact = home.contact("Ada King")
    assert contact
    fields = [each for each in contact["userDefined"] if each["key"] != "Number of seats"]
    home.office.hand.update(
        contact["resourceName"],
        userDefined=[
            *({"key": each["key"], "value": "Syncbox"} if each["key"] == "product" else each for each in fields),
            {"key": "Number of seats", "value": "6"},
        ],
    )
    await home.until(lambda: home.shop.customers[ada]["metadata"]["product"] == "Syncbox")
    await home.rest()
    assert home.shop.customers[ada]["metadata"]["seats"] == "5"
    assert home.custom("Ada King")["Number of seats"] == "6"

    home.shop.dashboard.update(ada, metadata={"seats": "7"})
    await home.until(lambda: home.custom("Ada King")["Number of seats"] == "7")


async def test_b7_customers_of_another_product_stay_out_and_a_change_lets_them_come_and_go(home: Home) -> None:
    grace = home.customer("Grace Hopper", "other")
    ada = home.customer("Ada King", "syncbox")
    await home.until(lambda: home.labels("Ada King") == [LABEL])
    await home.rest()
    assert home.contact("Grace Hopper") is None

    home.shop.dashboard.update(grace, metadata={"product": "syncbox"})
    home.shop.dashboard.update(ada, metadata={"product": "other"})
    await home.until(lambda: home.labels("Grace Hopper") == [LABEL] and home.labels("Ada King") == [])
    home.shop.dashboard.update(ada, phone="+12025550101")
    await home.rest()
    left = home.contact("Ada King")
    assert left
    assert "phoneNumbers" not in left
    assert home.custom("Ada King")["product"] == "syncbox"

    home.shop.dashboard.update(ada, metadata={"product": "syncbox"})
    await home.until(lambda: home.labels("Ada King") == [LABEL])
    await home.rest()
    back = home.contact("Ada King")
    assert back
    assert (back["resourceName"], back["phoneNumbers"][0]["value"]) == (left["resourceName"], "+12025550101")
    assert len(home.office.hand.everybody()) == 2
