"""A Stripe account for tests of the connector: the sandbox, its clock, and the access to it."""

import random
from typing import Any, Self

import httpx2

from services.connectors.stripe.app import APP
from services.connectors.stripe.sandbox import StripeSandbox
from services.contracts.app import Page, Reading
from services.contracts.commands import Aim, Create, Tag, Untag, Update, Version, Write
from services.contracts.contact import Address, Fields, Value
from services.contracts.receipts import Written
from services.runtime.app import Access, Attempt
from services.runtime.clock import ManualClock

KEY = "sk_test_sandbox"
LINK = "8c2f5b7e-0000-5000-8000-000000000001"
AIM = Aim(
    link=LINK,
    side="left",
    version=Version(incarnation=1, n=1),
    connection="shop-office",
    config_version=1,
    account="shop",
)
CUSTOMERS = "/v1/customers"
ADDRESS = Address(line1="1 Quay", city="Ghent", postal_code="9000", country="BE")


class Shop:
    """A sandbox account; an async context manager."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.box = StripeSandbox(KEY, clock=self.now, rng=random.Random(5))
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.box.app))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.box.aclose()

    def now(self) -> float:
        return self.clock.time.timestamp()

    def access(self, key: str = KEY, http: httpx2.AsyncClient | None = None, **settings: str) -> Access:
        return Access(
            account="shop",
            settings={"api_base": "http://stripe.test/", **settings},
            credentials={"api_key": (key,), "webhook_secrets": ("whsec_sandbox",)},
            http=http or self.http,
            clock=self.clock,
        )

    def customer(self, **fields: Any) -> str:
        return str(self.box.dashboard.create(**fields)["id"])

    async def subscribe(self, customer: str, key: str = "pro") -> str:
        price = {"currency": "eur", "unit_amount": "100", "recurring[interval]": "month", "lookup_key": key}
        made = await self.http.post(
            "http://stripe.test/v1/prices",
            data={**price, "product_data[name]": "Pro"},
            headers={"Authorization": f"Bearer {KEY}"},
        )
        return str(self.box.dashboard.subscribe(customer, made.raise_for_status().json()["id"])["id"])

    async def scanned(self) -> tuple[list[Reading], str]:
        found: list[Reading] = []
        cursor, more = None, True
        while more:
            page = await APP.scan(self.access(), cursor)
            assert isinstance(page, Page), page
            found += page.readings
            cursor, more = page.cursor, page.more
        assert cursor is not None
        return found, cursor

    async def polled(self, cursor: str) -> tuple[list[Reading], str]:
        found: list[Reading] = []
        more = True
        while more:
            page = await APP.poll(self.access(), cursor)
            assert isinstance(page, Page), page
            found += page.readings
            cursor, more = page.cursor, page.more
        return found, cursor

    def attempt(self, key: str = "key-1", n: int = 0) -> Attempt:
        return Attempt(key=key, n=n, first=round(self.now() * 1_000_000) if n else None)

    async def write(self, command: Write, key: str = "key-1") -> Any:
        return await APP.write(self.access(), command, self.attempt(key))

    async def written(self, command: Write, key: str = "key-1") -> Written:
        outcome = await self.write(command, key)
        assert isinstance(outcome, Written), outcome
        return outcome


def create(*, addresses: tuple[str, ...] = (), **fields: tuple[Value, ...]) -> Create:
    return Create(aim=AIM, fields=fields, addresses=addresses)


def update(contact_id: str, fields: Fields, expected: Fields | None = None) -> Update:
    return Update(aim=AIM, contact_id=contact_id, fields=fields, expected=expected or {})


def tag(contact_id: str, name: str = "PieSync Trash") -> Tag:
    return Tag(aim=AIM, contact_id=contact_id, tag=name, date="2026-11-22")


def untag(contact_id: str) -> Untag:
    return Untag(aim=AIM, contact_id=contact_id, tag="PieSync Trash")
