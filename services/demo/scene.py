"""What a step of the story has at hand, and how it looks at the other servers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import httpx2

from services.demo.book import Book
from services.demo.figures import Figures
from services.demo.house import House
from services.demo.servers import WEBHOOK_SECRET
from services.demo.shop import Shop
from services.demo.tap import Exchange, Tap
from services.main import Installation

_PATIENCE = 20.0
_PAUSE = 0.05


class NotInStep(Exception):  # noqa: N818 - what the step says
    """The other server doesn't have what the step expects."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody made up, new with each run."""

    name: str
    email: str
    phone: str
    street: str


@dataclass(slots=True)
class Scene:
    """One run of the story."""

    run: int
    installation: Installation
    shop: Shop
    book: Book
    hooks: Tap
    to_shop: Tap
    to_book: Tap
    house: House
    http: httpx2.AsyncClient
    figures: Figures = field(default_factory=Figures)
    ids: dict[str, str] = field(default_factory=dict)
    """Customers' ids in Stripe, by first name."""
    begun: float = 0.0
    """When the present step began, on `time.perf_counter`."""
    started: float = 0.0
    """When the story began."""

    def person(self, name: str, number: int, street: str = "") -> Person:
        """Somebody of this run."""
        email = f"{name.partition(' ')[0].lower()}.{self.run}@example.com"
        # 555-0100 to 555-0199 are for fiction: https://en.wikipedia.org/wiki/555_(telephone_number)
        return Person(name, email, f"+1 202 555 {number:04}", street)

    async def agree(self, expected: str, look: Callable[[], Awaitable[str]]) -> None:
        """Look until the other server has what is expected. Raises `NotInStep`."""
        deadline = time.perf_counter() + _PATIENCE
        while (seen := await look()) != expected:
            if time.perf_counter() > deadline:
                raise NotInStep(f"expected {expected}; seen after {_PATIENCE:.0f} s: {seen}")
            await asyncio.sleep(_PAUSE)

    async def quiet(self) -> None:
        """Wait until nothing is on its way inside. Raises `NotInStep`."""
        deadline = time.perf_counter() + _PATIENCE
        while not await self.house.quiet():
            if time.perf_counter() > deadline:
                raise NotInStep(f"expected everything to be handled within {_PATIENCE:.0f} s; something isn't")
            await asyncio.sleep(_PAUSE)

    def by_webhook(self, heard: Sequence[str], sent: Sequence[str]) -> str:
        """How long a change took from the webhook with the words `heard` to the write with the words `sent`."""
        source = _first(self.hooks, self.begun, lambda each: all(each.says(word) for word in heard))
        target = _first(self.to_book, self.begun, lambda each: each.is_write and all(each.says(word) for word in sent))
        return self._measured("webhook", source.arrived, target.arrived)

    def by_feed(self, heard: Sequence[str], sent: Sequence[str], *, counted: bool = True) -> str:
        """How long a change took from the feed's answer with the words `heard` to the write with the words `sent`."""
        source = _first(self.to_book, self.begun, lambda each: all(each.tells(word) for word in heard))
        target = _first(self.to_shop, self.begun, lambda each: each.is_write and all(each.says(word) for word in sent))
        if not counted:
            return f"feed → request {(target.arrived - source.answered) * 1000:.0f} ms"
        return self._measured("feed", source.answered, target.arrived)

    def _measured(self, source: str, heard: float, sent: float) -> str:
        return f"{source} → request {self.figures.add(heard, sent):.0f} ms"

    def writes(self) -> tuple[int, int]:
        """How many writes the address book and Stripe were sent since the story began."""
        book, shop = (
            sum(each.is_write and each.arrived >= self.started for each in tap.exchanges)
            for tap in (self.to_book, self.to_shop)
        )
        return book, shop

    async def deliver(self, body: bytes, *, secret: str = WEBHOOK_SECRET) -> httpx2.Response:
        """Post a webhook as Stripe would, signed now."""
        now = int(time.time())
        signature = hmac.new(secret.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        return await self.http.post(f"{self.hooks.url}/hooks/shop", content=body, headers=headers)


def _first(tap: Tap, since: float, fits: Callable[[Exchange], bool]) -> Exchange:
    for exchange in tap.exchanges:
        if exchange.arrived >= since and fits(exchange):
            return exchange
    raise NotInStep(f"expected a request to have come by {tap.place}; none fits")
