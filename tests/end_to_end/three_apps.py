"""One Stripe account that two connections share, with a Google account and an address book, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from services import main
from services.connectors.carddav.app import CardDav
from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.google_contacts.contacts import GoogleContacts
from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.google_contacts.sandbox import serve as serve_google
from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox import serve as serve_stripe
from services.contracts.app import Manifest, Pace
from services.ingest.poll import Timing
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import Applied, apply
from services.runtime.registry.check import check
from services.runtime.settings import Settings
from tests.end_to_end.two_stripes import WAITING

KEY, SECRET = "sk_test_shop1234567890123", "whsec_shop"
CHANNEL_TOKEN = "a-channel-token-of-these-tests"
PACE = Pace(poll=10, read=50, write=50, burst=10)
POLL = "0.15"
"""Seconds between two polls here."""
MERGE_WINDOW = 1.0
"""Seconds: some more than one poll takes, as in Google's manifest."""

Seed = Callable[["House"], Awaitable[None]]


class BriskGoogle(GoogleContacts):
    """Google Contacts at the pace of its sandbox, which has quota to spare, and with the polls of these tests."""

    @property
    def manifest(self) -> Manifest:
        return msgspec.structs.replace(super().manifest, pace=PACE, merge_window=MERGE_WINDOW)


class BriskBook(CardDav):
    """CardDAV at the pace of a server that nobody else uses."""

    @property
    def manifest(self) -> Manifest:
        return msgspec.structs.replace(super().manifest, pace=PACE, merge_window=MERGE_WINDOW)


@dataclass
class House:
    """The three servers, and where contactsync listens."""

    shop: StripeSandbox
    office: GoogleSandbox
    book: CarddavSandbox
    base: str
    installation: main.Installation | None = None

    @property
    def running(self) -> main.Installation:
        assert self.installation is not None
        return self.installation

    def customers(self) -> list[dict[str, Any]]:
        """The customers that aren't deleted."""
        return [body for body in self.shop.customers.values() if not body.get("deleted")]

    def people(self) -> dict[str, dict[str, Any]]:
        """Google's contacts by e-mail address."""
        found = {person["emailAddresses"][0]["value"]: person for person in self.office.hand.everybody()}
        assert len(found) == len(self.office.hand.everybody())
        return found

    async def cards(self) -> dict[str, tuple[str, str]]:
        """The address book's cards by e-mail address: name and text."""
        found = {}
        names = await self.book.names()
        for name in names:
            text = await self.book.get(name)
            address = re.search(r"^EMAIL[^:]*:(.+?)\r?$", text or "", re.MULTILINE)
            assert text is not None
            assert address is not None
            found[address[1]] = (name, text)
        assert len(found) == len(names)
        return found

    def writes(self) -> tuple[int, int]:
        """How many changes Stripe and Google have carried out for us."""
        return len(self.shop.requests.writes("/v1/customers*")), len(self.office.requests.writes())

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while True:
                met = condition()
                if met if isinstance(met, bool) else await met:
                    return
                await asyncio.sleep(0.02)

    async def rest(self, seconds: float = 30.0) -> None:
        """Wait until everything that happened was read from both feeds and nothing is to be done about it."""
        async with asyncio.timeout(seconds):
            while True:
                before = await self._moves()
                await self._polled()
                if await self._waiting() == 0 and await self._moves() == before:
                    return

    async def _polled(self) -> None:
        """Wait for a poll of each feed that begins after now and ends."""
        await self.shop.webhooks.drain()
        numbers = await self._numbers()
        while any(now < 2 + before for now, before in zip(await self._numbers(), numbers, strict=True)):  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.05)

    async def _numbers(self) -> list[int]:
        query = "SELECT poll_number FROM ingest.cursor WHERE account IN ('office', 'book') ORDER BY account"
        return [row["poll_number"] for row in await self.running.store.fetch(query)]

    async def _waiting(self) -> int:
        return int(await self.running.store.fetchval(WAITING))

    async def _moves(self) -> tuple[object, ...]:
        return (*self.writes(), len(self.shop.webhooks.deliveries), sorted((await self.cards()).values()))


@contextlib.asynccontextmanager
async def house(dsn: str, folder: Path, *, seed: Seed | None = None, poll: str = POLL) -> AsyncIterator[House]:
    """Everything running, all first scans ended. `seed` fills the accounts before anybody looks."""
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(StripeSandbox(KEY, SECRET, rng=random.Random(1)))
        office = GoogleSandbox(rng=random.Random(2))
        book = await stack.enter_async_context(CarddavSandbox(folder / "radicale"))
        listener = socket.create_server(("127.0.0.1", 0))
        made = House(shop, office, book, f"http://127.0.0.1:{listener.getsockname()[1]}")
        if seed is not None:
            await seed(made)
        urls = (
            await stack.enter_async_context(serve_stripe(shop)),
            await stack.enter_async_context(serve_google(office)),
        )
        shop.webhooks.endpoints.add(f"{made.base}/hooks/shop", secret=SECRET)
        settings = Settings(
            store_url=dsn,
            data_dir=folder / "data",
            listen=made.base.removeprefix("http://"),
            secret_key="the tests' own key, of no use elsewhere",
        )
        opened = await stack.enter_async_context(main.installed(settings))
        made.installation = msgspec.structs.replace(
            opened, apps={**opened.apps, "google_contacts": BriskGoogle(), "carddav": BriskBook()}
        )
        await _apply(made, *urls, poll)
        stop = asyncio.Event()
        roles = asyncio.create_task(
            main.serve_roles(made.running, main.ROLES, stop, listener=listener, timing=Timing(watch=0.2))
        )
        try:
            await _scanned(made, roles)
            yield made
        finally:
            stop.set()
            await roles


async def _apply(made: House, stripe: str, google: str, poll: str) -> None:
    oauth = made.office.oauth
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
    refresh_token: {made.office.refresh_token}
    webhook_secrets: [{CHANNEL_TOKEN}]
    poll_seconds: {poll}
  book:
    app: carddav
    url: "{made.book.url}"
    username: {made.book.username}
    password: {made.book.password}
    poll_seconds: {POLL}
connections:
  shop-office: {{left: shop, right: office, options: {{sync_deletions: right_to_left}}}}
  shop-book: {{left: shop, right: book, options: {{sync_deletions: right_to_left}}}}
"""
    running = made.running
    checked = check(text, {name: app.manifest for name, app in running.apps.items()}, {})
    assert checked.config is not None, checked.problems
    applied = await apply(running.store, running.vault, checked.config, by="test", now=SystemClock().now())
    assert isinstance(applied, Applied)


async def _scanned(made: House, roles: asyncio.Task[None]) -> None:
    count = "SELECT count(*) FROM sync.account WHERE scanned_at IS NOT NULL"
    async with asyncio.timeout(30):
        while await made.running.store.fetchval(count) < 3:
            if roles.done():
                roles.result()
            await asyncio.sleep(0.02)
