"""A QuickBooks company for tests of the connector: the sandbox, its clock, the access to it, a conformance bench."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2

from services.connectors.quickbooks.online import QuickBooks
from services.connectors.quickbooks.sandbox import QuickBooksSandbox
from services.contracts.app import Delivery, Page, Reading, Seen
from services.contracts.commands import Aim, Create, Tag, Untag, Update, Version
from services.contracts.contact import Address, Fields, PersonName, Side
from services.contracts.events import ContactChanged, ContactDeleted, ContactMerged, ContactTouched
from services.runtime.app import Access, App, Attempt
from services.runtime.clock import Clock, ManualClock
from services.runtime.tokens import Keeper

BASE = "http://quickbooks.test"
LINK = "0b6e9d0c-5a44-5c6c-9d1c-7f0f7f9f0a01"
OTHER_LINK = "0b6e9d0c-5a44-5c6c-9d1c-7f0f7f9f0a02"
ADA: Fields = {
    "name": (PersonName(given="Ada", family="King", full="Ada King"),),
    "PrimaryEmailAddr": ("ada@x.example",),
    "PrimaryPhone": ("+44 20 7946 0000",),
    "BillAddr": (Address(line1="1 Quay", city="Ghent", postal_code="9000", country="BE"),),
    "CompanyName": ("Engines",),
    "Notes": ("First line\nsecond",),
}
T = TypeVar("T")


class Kept(Access, frozen=True, kw_only=True):
    """An access whose tokens somebody keeps."""

    keeper: Keeper | None = None


def aim(link: str = LINK, n: int = 1, side: Side = "right") -> Aim:
    return Aim(link=link, side=side, version=Version(1, n), connection="c", config_version=1, account="books")


def create(fields: Fields | None = None, link: str = LINK) -> Create:
    fields = ADA if fields is None else fields
    addresses = tuple(value for value in fields.get("PrimaryEmailAddr", ()) if isinstance(value, str))
    return Create(aim=aim(link), fields=fields, addresses=addresses)


def update(seen: Seen, fields: Fields, *, n: int = 1, link: str = LINK) -> Update:
    return Update(
        aim=aim(link, n),
        contact_id=seen.contact_id,
        fields=fields,
        expected={path: seen.contact.fields.get(path, ()) for path in fields},
        guard=seen.contact.guard,
        object=seen.object,
    )


def tag(contact_id: str) -> Tag:
    return Tag(aim=aim(), contact_id=contact_id, tag="PieSync Trash", date="2026-11-22")


def must(answer: object, kind: type[T]) -> T:
    assert isinstance(answer, kind), answer
    return answer


class Books:
    """The app, the sandbox and one company; an async context manager."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.box = QuickBooksSandbox(clock=self.now, rng=random.Random(5))
        self.app = QuickBooks()
        self.hand = self.box.hand
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.box.app))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    def now(self) -> float:
        return self.clock.time.timestamp()

    def micros(self) -> int:
        return round(self.now() * 1_000_000)

    def access(
        self,
        *,
        account: str = "books",
        realm: str = "",
        refresh_token: str = "",
        secret: str = "",
        keeper: Keeper | None = None,
    ) -> Kept:
        return Kept(
            account=account,
            settings={"realm_id": realm or self.box.realm, "api_base": BASE, "token_url": f"{BASE}/token"},
            credentials={
                "client_id": (self.box.oauth.client_id,),
                "client_secret": (secret or self.box.oauth.client_secret,),
                "refresh_token": (refresh_token or self.box.refresh_token,),
                "webhook_secrets": (self.box.webhooks.token,),
            },
            http=self.http,
            clock=self.clock,
            keeper=keeper,
        )

    async def look(self, contact_id: str) -> Seen:
        return must(await self.app.look(self.access(), contact_id), Seen)

    async def write(self, command: Create | Update | Tag | Untag, *, n: int = 0, key: str = "key") -> Any:
        attempt = Attempt(key=key, n=n, first=self.micros() if n else None)
        return await self.app.write(self.access(), command, attempt)

    async def settle(self, command: Create | Update | Tag | Untag, sent: int) -> Any:
        return await self.app.settle(self.access(), command, Attempt(key="key", n=1, first=sent))

    async def find(self, address: str) -> list[str]:
        found: tuple[Seen, ...] = must(await self.app.find(self.access(), address), tuple)
        return [seen.contact_id for seen in found]

    async def scanned(self) -> tuple[list[Reading], str]:
        found: list[Reading] = []
        cursor, more = None, True
        while more:
            page = must(await self.app.scan(self.access(), cursor), Page)
            found += page.readings
            cursor, more = page.cursor, page.more
        assert cursor is not None
        return found, cursor

    async def polled(self, cursor: str) -> tuple[list[Reading], str]:
        page = must(await self.app.poll(self.access(), cursor), Page)
        assert not page.more
        return list(page.readings), page.cursor

    def delivery(self, body: bytes | None = None, *, account: str = "books", **headers: str | None) -> Delivery:
        """What the sandbox gathered, or another body, signed; other headers instead, None for leaving one out."""
        body = self.box.webhooks.body() if body is None else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        rows = {**self.box.webhooks.headers(body), **named}
        given = tuple((name, value) for name, value in rows.items() if value is not None)
        return Delivery(account=account, headers=given, body=body, received=self.micros())

    def posts(self) -> list[dict[str, Any]]:
        """What was sent to be written, whatever came of it."""
        return [json.loads(each.body) for each in self.box.requests.to("POST", "/v3/*")]


def changed(readings: Sequence[Reading]) -> dict[str, ContactChanged]:
    return {r.event.contact_id: r.event for r in readings if isinstance(r.event, ContactChanged)}


def deleted(readings: Sequence[Reading]) -> list[str]:
    return [r.event.contact_id for r in readings if isinstance(r.event, ContactDeleted)]


def touched(readings: Sequence[Reading]) -> list[str]:
    return [r.event.contact_id for r in readings if isinstance(r.event, ContactTouched | ContactMerged)]


class Warm(httpx2.AsyncBaseTransport):
    """The way to the sandbox. Who asks for a new token while the last one is good had it refused: the grant is gone."""

    def __init__(self, box: QuickBooksSandbox) -> None:
        self._inner = httpx2.ASGITransport(app=box.app)
        self._box = box
        self._until = 0.0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            if self._box.clock() < self._until:
                return httpx2.Response(400, json={"error": "invalid_grant"})
            response = await self._inner.handle_async_request(request)
            self._until = self._box.clock() + 3000 if response.status_code == 200 else 0.0
            return response
        return await self._inner.handle_async_request(request)


class QuickBooksBench:
    """The sandbox on a clock of its own, with an access token at hand."""

    nobody = "99999"
    lost_cursor: str | None = '{"since":1000000}'

    def __init__(self) -> None:
        self.manual = ManualClock()
        self.clock: Clock = self.manual
        self.app: App = QuickBooks()
        self.box = QuickBooksSandbox(clock=self.now, rng=random.Random(7))
        self.settings: Mapping[str, str] = {
            "realm_id": self.box.realm,
            "api_base": BASE,
            "token_url": f"{BASE}/token",
        }
        self.credentials: Mapping[str, tuple[str, ...]] = {
            "client_id": (self.box.oauth.client_id,),
            "client_secret": (self.box.oauth.client_secret,),
            "refresh_token": (self.box.refresh_token,),
            "webhook_secrets": (self.box.webhooks.token,),
        }
        self.transport: httpx2.AsyncBaseTransport = Warm(self.box)

    def now(self) -> float:
        return self.manual.time.timestamp()

    async def warm(self, account: str) -> None:
        """Get the token."""
        async with httpx2.AsyncClient(transport=self.transport) as http:
            access = Access(
                account=account,
                settings=self.settings,
                credentials=self.credentials,
                http=http,
                clock=self.clock,
            )
            must(await self.app.scan(access, None), Page)

    async def enrich(self, contact_id: str) -> None:
        self.box.hand.update(contact_id, ResaleNum="4711", PreferredDeliveryMethod="Email")

    async def is_enriched(self, contact_id: str) -> bool:
        raw = self.box.hand.get(contact_id)
        return (raw.get("ResaleNum"), raw.get("PreferredDeliveryMethod")) == ("4711", "Email")

    async def edit(self, contact_id: str, path: str, value: str) -> None:
        assert path == "Notes"
        lines = self.box.hand.get(contact_id).get("Notes", "").splitlines()
        self.box.hand.update(contact_id, Notes="\n".join([value, *lines[-1:]]))

    async def remove(self, contact_id: str) -> None:
        self.box.hand.deactivate(contact_id)

    async def settled(self) -> None:
        self.manual.advance(151)

    def deliveries(self) -> Sequence[tuple[Delivery, Sequence[str], float]]:
        now = self.now()
        webhooks, found = self.box.webhooks, []
        for kind in ("created", "updated", "merged"):
            webhooks.gathered = []
            webhooks.add(self.box.realm, kind, "1", "2" if kind == "merged" else None)
            body = webhooks.body()
            rows = tuple(webhooks.headers(body).items())
            delivery = Delivery(account="conformance", headers=rows, body=body, received=round(now * 1_000_000))
            found.append((delivery, (webhooks.token,), now))
        return found


@contextlib.asynccontextmanager
async def quickbooks_bench(folder: Path, account: str = "conformance") -> AsyncIterator[QuickBooksBench]:
    bench = QuickBooksBench()
    await bench.warm(account)
    yield bench
