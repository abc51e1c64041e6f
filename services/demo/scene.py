"""What a step of the story has at hand, and how it looks at the other servers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeAlias

import httpx2

from services.demo.book import Book
from services.demo.figures import Figures
from services.demo.house import House
from services.demo.office import Contact, Office
from services.demo.servers import WEBHOOK_SECRET
from services.demo.shop import Shop
from services.demo.tap import Exchange, Tap
from services.main import Installation

_PATIENCE = 20.0
_PAUSE = 0.05
_NAMES = {"shop": "Stripe", "book": "address book", "office": "Google"}

Sent: TypeAlias = tuple[Tap, Sequence[str]]
"""A write: the tap that it passed, and words that stand in it."""


class NotInStep(Exception):  # noqa: N818 - what the step says
    """The other server doesn't have what the step expects."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody made up, new with each run."""

    name: str
    email: str
    phone: str
    street: str


class Writes(NamedTuple):
    """How many writes of ours each server was sent."""

    shop: int
    book: int
    office: int


@dataclass(slots=True, kw_only=True)
class Scene:
    """One run of the story."""

    run: int
    installation: Installation
    patience: float
    """Seconds for which a deletion in Google waits for signs of a merge."""
    shop: Shop
    book: Book
    office: Office
    hooks: Tap
    to_shop: Tap
    to_book: Tap
    to_office: Tap
    house: House
    http: httpx2.AsyncClient
    figures: Figures = field(default_factory=Figures)
    ids: dict[str, str] = field(default_factory=dict)
    """Customers' ids in Stripe, by first name."""
    contacts: dict[str, str] = field(default_factory=dict)
    """Contacts' resource names in Google, by first name."""
    deleted: Contact = field(default_factory=dict)
    """The contact that was deleted in Google, as it was."""
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

    def by_webhook(self, heard: Sequence[str], *sent: Sent) -> str:
        """How long the writes `sent` took from the webhook with the words `heard`."""
        source = _first(self.hooks, self.begun, lambda each: all(each.says(word) for word in heard))
        return f"webhook → {self._measured(source.arrived, sent)}"

    def by_feed(self, tap: Tap, heard: Sequence[str], *sent: Sent, counted: bool = True) -> str:
        """How long the writes `sent` took from the answer of the tap's feed with the words `heard`."""
        source = _first(tap, self.begun, lambda each: not each.is_write and all(each.tells(word) for word in heard))
        return f"feed → {self._measured(source.answered, sent, counted=counted)}"

    def _measured(self, heard: float, sent: Sequence[Sent], *, counted: bool = True) -> str:
        notes = []
        for tap, words in sent:
            target = _first(tap, self.begun, partial(_writes, words))
            took = self.figures.add(heard, target.arrived) if counted else (target.arrived - heard) * 1000
            notes.append(f"{_NAMES[tap.place]} {took:.0f} ms")
        return ", ".join(notes)

    def writes(self) -> Writes:
        """How many writes the servers were sent since the story began."""
        return Writes(
            *(
                sum(each.is_write and each.arrived >= self.started for each in tap.exchanges)
                for tap in (self.to_shop, self.to_book, self.to_office)
            )
        )

    async def deliver(self, body: bytes, *, secret: str = WEBHOOK_SECRET) -> httpx2.Response:
        """Post a webhook as Stripe would, signed now."""
        now = int(time.time())
        signature = hmac.new(secret.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        return await self.http.post(f"{self.hooks.url}/hooks/shop", content=body, headers=headers)


def _writes(words: Sequence[str], exchange: Exchange) -> bool:
    return exchange.is_write and all(exchange.says(word) for word in words)


def _first(tap: Tap, since: float, fits: Callable[[Exchange], bool]) -> Exchange:
    for exchange in tap.exchanges:
        if exchange.arrived >= since and fits(exchange):
            return exchange
    raise NotInStep(f"expected a request to have come by {tap.place}; none fits")
