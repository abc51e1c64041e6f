"""Stripe and QuickBooks kept in step by everything that contactsync is, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from services import main
from services.connectors.quickbooks.online import QuickBooks
from services.connectors.quickbooks.sandbox import QuickBooksSandbox
from services.connectors.quickbooks.sandbox import serve as serve_quickbooks
from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox import serve as serve_stripe
from services.contracts.app import Manifest, Pace
from services.ingest.cursor import scan_again
from services.ingest.poll import Timing
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import Applied, apply
from services.runtime.registry.check import check
from services.runtime.settings import Settings
from services.runtime.tokens import StoreKeeper
from tests.end_to_end.two_stripes import WAITING

KEY, SECRET = "sk_test_shop1234567890123", "whsec_shop"
TRASH = "PieSync Trash"


class Brisk(QuickBooks):
    """QuickBooks at the pace of its sandbox, which has quota to spare."""

    @property
    def manifest(self) -> Manifest:
        pace = Pace(poll=10, read=50, write=50, burst=10)
        return msgspec.structs.replace(super().manifest, pace=pace, merge_window=0.5)


@dataclass
class Firm:
    """The two servers, and contactsync between them."""

    shop: StripeSandbox
    books: QuickBooksSandbox
    base: str
    http: httpx2.AsyncClient
    installation: main.Installation | None = None

    @property
    def running(self) -> main.Installation:
        assert self.installation is not None
        return self.installation

    def stripe(self) -> dict[str, dict[str, Any]]:
        """Stripe's customers by e-mail address."""
        live = [body for body in self.shop.customers.values() if not body.get("deleted")]
        found = {body["email"]: body for body in live}
        assert len(found) == len(live)
        return found

    def quickbooks(self) -> dict[str, dict[str, Any]]:
        """QuickBooks' customers by e-mail address."""
        rows = self.books.hand.everybody()
        found = {row["PrimaryEmailAddr"]["Address"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def writes(self) -> tuple[int, int]:
        return len(self.shop.requests.writes("/v1/customers*")), len(self.books.requests.writes())

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for it, while QuickBooks' webhooks are sent."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self.books.webhooks.send(self.http)
                await asyncio.sleep(0.02)


@pytest.fixture
async def firm(database: str, tmp_path: Path) -> AsyncIterator[Firm]:
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(StripeSandbox(KEY, SECRET, rng=random.Random(1)))
        books = QuickBooksSandbox(rng=random.Random(2))
        listener = socket.create_server(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False))
        made = Firm(shop, books, base, http)
        urls = (
            await stack.enter_async_context(serve_stripe(shop)),
            await stack.enter_async_context(serve_quickbooks(books)),
        )
        shop.webhooks.endpoints.add(f"{base}/hooks/shop", secret=SECRET)
        books.webhooks.url = f"{base}/hooks/books"
        settings = Settings(
            store_url=database,
            data_dir=tmp_path / "data",
            listen=base.removeprefix("http://"),
            secret_key="the tests' own key, of no use elsewhere",
        )
        opened = await stack.enter_async_context(main.installed(settings))
        keeper = StoreKeeper(opened.store, opened.vault)
        stack.push_async_callback(keeper.aclose)
        made.installation = msgspec.structs.replace(opened, apps={**opened.apps, "quickbooks": Brisk(keeper)})
        await _apply(made, *urls)
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


async def _apply(made: Firm, stripe: str, quickbooks: str) -> None:
    oauth = made.books.oauth
    text = f"""
accounts:
  shop: {{app: stripe, api_base: "{stripe}", api_key: {KEY}, webhook_secrets: [{SECRET}]}}
  books:
    app: quickbooks
    realm_id: "{made.books.realm}"
    api_base: "{quickbooks}"
    token_url: "{quickbooks}/token"
    client_id: {oauth.client_id}
    client_secret: {oauth.client_secret}
    refresh_token: {made.books.refresh_token}
    webhook_secrets: [{made.books.webhooks.token}]
    poll_seconds: 0.3
connections:
  shop-books: {{left: shop, right: books, options: {{sync_deletions: right_to_left}}}}
"""
    running = made.running
    checked = check(text, {name: app.manifest for name, app in running.apps.items()}, {})
    assert checked.config is not None, checked.problems
    applied = await apply(running.store, running.vault, checked.config, by="test", now=SystemClock().now())
    assert isinstance(applied, Applied)


async def _scanned(made: Firm, roles: asyncio.Task[None]) -> None:
    count = "SELECT count(*) FROM sync.account WHERE scanned_at IS NOT NULL"
    async with asyncio.timeout(30):
        while await made.running.store.fetchval(count) < 2:
            if roles.done():
                roles.result()
            await asyncio.sleep(0.02)


async def _told(firm: Firm, query: str) -> Any:
    return await firm.running.store.fetchval(query)


async def nothing_more(firm: Firm) -> None:
    """Nothing is written when both accounts are read anew."""
    before = firm.writes()
    async with firm.running.store.transaction() as database:
        for account in ("shop", "books"):
            assert await scan_again(database, account)
    ended = "SELECT count(*) = 2 FROM ingest.cursor WHERE state = 'live' AND scan_number > 1"
    async with asyncio.timeout(20):
        while not (await _told(firm, ended) and await _told(firm, WAITING) == 0):  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.05)
    assert firm.writes() == before


async def test_a_customer_appears_once_and_edits_travel_both_ways(firm: Firm) -> None:
    firm.books.hand.employ("Ada King")
    firm.shop.dashboard.create(name="Ada King", email="ada@example.com", phone="+12025550100")
    await firm.until(lambda: "ada@example.com" in firm.quickbooks())
    row = firm.quickbooks()["ada@example.com"]
    assert (row["DisplayName"], row["GivenName"]) == ("Ada King (ada@example.com)", "Ada")
    firm.books.hand.update(row["Id"], PrimaryPhone={"FreeFormNumber": "+12025550199"}, CompanyName="Engines")
    await firm.until(lambda: firm.stripe()["ada@example.com"]["phone"] == "+12025550199")
    customer = firm.stripe()["ada@example.com"]
    assert (customer["name"], customer.get("business_name")) == ("Ada King", "Engines")
    firm.shop.dashboard.update(customer["id"], name="Ada Lovelace", description="Likes tea")
    await firm.until(lambda: firm.quickbooks()["ada@example.com"]["DisplayName"] == "Ada Lovelace")
    notes = firm.quickbooks()["ada@example.com"]["Notes"].splitlines()
    assert notes[0] == "Likes tea"
    assert notes[1].startswith("[contactsync:")
    await nothing_more(firm)
    assert firm.stripe()["ada@example.com"]["description"] == "Likes tea"


async def test_a_customer_of_quickbooks_appears_in_stripe_under_its_display_name(firm: Firm) -> None:
    firm.books.hand.create("Acme Supplies Ltd", "acme@example.com", CompanyName="Acme Supplies Ltd")
    await firm.until(lambda: "acme@example.com" in firm.stripe())
    await nothing_more(firm)
    assert firm.stripe()["acme@example.com"]["name"] == "Acme Supplies Ltd"
    assert "GivenName" not in firm.quickbooks()["acme@example.com"]


async def test_e2_making_a_customer_inactive_tags_it_in_stripe_and_its_return_untags_it(firm: Firm) -> None:
    firm.shop.dashboard.create(name="Ada King", email="ada@example.com")
    await firm.until(lambda: "ada@example.com" in firm.quickbooks())
    ident = firm.quickbooks()["ada@example.com"]["Id"]
    firm.books.hand.deactivate(ident)
    await firm.until(lambda: TRASH in firm.stripe()["ada@example.com"]["metadata"])
    firm.books.hand.reactivate(ident)
    await firm.until(lambda: TRASH not in firm.stripe()["ada@example.com"]["metadata"])
    assert len(firm.quickbooks()) == 1


async def test_c5_a_merge_into_a_customer_with_the_same_address_moves_the_link(firm: Firm) -> None:
    firm.shop.dashboard.create(name="Ada King", email="ada@example.com")
    await firm.until(lambda: "ada@example.com" in firm.quickbooks())
    first = firm.quickbooks()["ada@example.com"]["Id"]
    second = firm.books.hand.create("Ada K.", "ada@example.com", GivenName="Ada", FamilyName="King")
    await firm.books.webhooks.send(firm.http)
    firm.books.hand.merge(first, second)
    gone = "SELECT EXISTS (SELECT FROM sync.contact WHERE account = 'books' AND contact_id = $1 AND deleted)"
    async with asyncio.timeout(20):
        while not await firm.running.store.fetchval(gone, first):
            await firm.books.webhooks.send(firm.http)
            await asyncio.sleep(0.02)
    firm.books.hand.update(second, PrimaryPhone={"FreeFormNumber": "+12025550199"})
    await firm.until(lambda: firm.stripe()["ada@example.com"].get("phone") == "+12025550199")
    assert TRASH not in firm.stripe()["ada@example.com"]["metadata"]


async def test_c5_a_merge_into_a_customer_with_another_address_moves_the_link_too(firm: Firm) -> None:
    firm.shop.dashboard.create(name="Ada King", email="ada@example.com")
    await firm.until(lambda: "ada@example.com" in firm.quickbooks())
    first = firm.quickbooks()["ada@example.com"]["Id"]
    customer = firm.stripe()["ada@example.com"]["id"]
    # The survivor is known by the webhook alone: met by a poll before, it would have a partner of its own.
    polls = firm.books.faults.hold("GET", "/v3/*/cdc", times=None)
    second = firm.books.hand.create("King, Ada", "office@example.com", GivenName="Ada", FamilyName="King")
    firm.books.hand.merge(first, second)
    paired = "SELECT count(*) FROM sync.link WHERE right_id = $1 AND left_id = $2 AND status = 'active'"
    async with asyncio.timeout(20):
        while await firm.running.store.fetchval(paired, second, customer) != 1:
            await firm.books.webhooks.send(firm.http)
            await asyncio.sleep(0.02)
    firm.books.hand.update(second, PrimaryPhone={"FreeFormNumber": "+12025550199"})
    await firm.until(lambda: firm.shop.customers[customer].get("phone") == "+12025550199")
    polls.set()
    await nothing_more(firm)
    assert TRASH not in firm.shop.customers[customer]["metadata"]
    assert [row["Id"] for row in firm.books.hand.everybody()] == [second]


async def test_c5_a_merge_of_two_that_have_partners_leaves_one_partner_as_a_duplicate(firm: Firm) -> None:
    firm.shop.dashboard.create(name="Ada King", email="ada@example.com")
    firm.shop.dashboard.create(name="Ada at work", email="office@example.com")
    await firm.until(lambda: len(firm.quickbooks()) == 2)
    first, second = (firm.quickbooks()[f"{who}@example.com"]["Id"] for who in ("ada", "office"))
    async with asyncio.timeout(20):
        while await _told(firm, WAITING):  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.02)
    firm.books.hand.merge(first, second)
    duplicate = "SELECT count(*) FROM sync.link WHERE left_id = $1 AND status = 'duplicate'"
    async with asyncio.timeout(20):
        while await firm.running.store.fetchval(duplicate, firm.stripe()["ada@example.com"]["id"]) != 1:
            await firm.books.webhooks.send(firm.http)
            await asyncio.sleep(0.02)
    await nothing_more(firm)
    assert not [body for body in firm.stripe().values() if TRASH in body["metadata"]]
    assert [row["Id"] for row in firm.books.hand.everybody()] == [second]


async def test_many_customers_go_in_few_requests_and_a_lost_answer_doubles_none(firm: Firm) -> None:
    emails = [f"c{n}@example.com" for n in range(25)]
    firm.books.hand.employ("Customer 7")
    for n, email in enumerate(emails):
        firm.shop.dashboard.create(name=f"Customer {n}", email=email)
    await firm.until(lambda: set(firm.quickbooks()) == set(emails), 60)
    await nothing_more(firm)
    assert firm.quickbooks()["c7@example.com"]["DisplayName"] == "Customer 7 (c7@example.com)"
    firm.books.faults.drop("POST", "/v3/*/batch")
    for body in list(firm.stripe().values()):
        firm.shop.dashboard.update(body["id"], phone="+12025550100")
    changed = "PrimaryPhone"
    await firm.until(lambda: all(changed in row for row in firm.quickbooks().values()), 60)
    await nothing_more(firm)
    assert len(firm.books.requests.to("POST", "/v3/*/batch")) > 2
    assert len(firm.quickbooks()) == len(emails)


async def test_p4_a_lost_answer_makes_no_second_customer(firm: Firm) -> None:
    firm.books.faults.drop("POST", "/v3/*/customer")
    firm.shop.dashboard.create(name="Ada King", email="ada@example.com")
    await firm.until(lambda: "ada@example.com" in firm.quickbooks())
    firm.books.hand.update(firm.quickbooks()["ada@example.com"]["Id"], PrimaryPhone={"FreeFormNumber": "+12025550199"})
    await firm.until(lambda: firm.stripe()["ada@example.com"].get("phone") == "+12025550199")
    await nothing_more(firm)
    assert len(firm.quickbooks()) == 1


async def test_f9_the_rotated_token_is_the_one_that_is_used(firm: Firm) -> None:
    firm.books.oauth.rotated_after = 0.0
    for n in range(3):
        firm.books.oauth.expire_access()
        firm.books.hand.create(f"Customer {n}", f"c{n}@example.com")
        await firm.until(lambda n=n: f"c{n}@example.com" in firm.stripe())  # type: ignore[misc]
    assert await firm.running.store.fetchval("SELECT generation FROM registry.token") >= 3
    assert all(each.status == 200 for each in firm.books.requests.to("POST", "/token"))
