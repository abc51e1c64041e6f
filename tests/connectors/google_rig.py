"""A Google account for tests of the connector: the sandbox, its clock, the access to it, and a conformance bench."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2

from services.connectors.google_contacts.certificate import Certificates
from services.connectors.google_contacts.contacts import GoogleContacts
from services.connectors.google_contacts.sandbox import GoogleSandbox, Push
from services.contracts.app import Delivery, Page, Reading, Seen
from services.contracts.commands import Aim, Create, Tag, Untag, Update, Version
from services.contracts.contact import Address, Fields, PersonName, Side
from services.contracts.events import ContactChanged, ContactDeleted
from services.runtime.app import Access, App, Attempt
from services.runtime.clock import Clock, ManualClock

BASE = "http://google.test"
PUSH_SECRET = f"pubsub:{Push.email}:{Push.audience}"
LINK = "0b6e9d0c-5a44-5c6c-9d1c-7f0f7f9f0a01"
OTHER_LINK = "0b6e9d0c-5a44-5c6c-9d1c-7f0f7f9f0a02"
FIRST = Attempt(key="key", n=0)
ADA: Fields = {
    "name": (PersonName(given="Ada", family="King", full="Ada King"),),
    "emailAddresses": ("ada@x.example",),
    "phoneNumbers": ("+44 20 7946 0000",),
    "addresses": (Address(line1="1 Quay", city="Ghent", postal_code="9000", country="BE"),),
    "company": ("Engines",),
    "job_title": ("Countess",),
    "note": ("First line\nsecond",),
}
T = TypeVar("T")


def aim(link: str = LINK, n: int = 1, side: Side = "right") -> Aim:
    return Aim(link=link, side=side, version=Version(1, n), connection="c", config_version=1, account="office")


def create(fields: Fields | None = None, link: str = LINK) -> Create:
    fields = ADA if fields is None else fields
    addresses = tuple(value for value in fields.get("emailAddresses", ()) if isinstance(value, str))
    return Create(aim=aim(link), fields=fields, addresses=addresses)


def update(seen: Seen, fields: Fields, *, n: int = 1, link: str = LINK, side: Side = "right") -> Update:
    return Update(
        aim=aim(link, n, side),
        contact_id=seen.contact_id,
        fields=fields,
        expected={path: seen.contact.fields.get(path, ()) for path in fields},
        guard=seen.contact.guard,
        object=seen.object,
    )


def tag(contact_id: str, name: str = "PieSync Trash") -> Tag:
    return Tag(aim=aim(), contact_id=contact_id, tag=name, date="2026-11-22")


def untag(contact_id: str, name: str = "PieSync Trash") -> Untag:
    return Untag(aim=aim(), contact_id=contact_id, tag=name)


def must(answer: object, kind: type[T]) -> T:
    assert isinstance(answer, kind), answer
    return answer


class Office:
    """The app, the sandbox and one account; an async context manager."""

    def __init__(self, *, delay: float = 0.0, certificates: Certificates | None = None) -> None:
        self.clock = ManualClock()
        self.box = GoogleSandbox(clock=self.now, rng=random.Random(5), delay=delay)
        self.app = GoogleContacts(certificates)
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
        self, *, account: str = "office", refresh_token: str = "", base: str = BASE, secrets: Sequence[str] = ()
    ) -> Access:
        return Access(
            account=account,
            settings={"api_base": base, "token_url": f"{base}/token", "certificates_url": f"{base}/certs"},
            credentials={
                "client_id": (self.box.oauth.client_id,),
                "client_secret": (self.box.oauth.client_secret,),
                "refresh_token": (refresh_token or self.box.refresh_token,),
                "webhook_secrets": tuple(secrets),
            },
            http=self.http,
            clock=self.clock,
        )

    async def look(self, contact_id: str) -> Seen:
        return must(await self.app.look(self.access(), contact_id), Seen)

    async def write(self, command: Create | Update | Tag | Untag, *, n: int = 0) -> Any:
        attempt = Attempt(key="key", n=n, first=self.micros() if n else None)
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
        found: list[Reading] = []
        more = True
        while more:
            page = must(await self.app.poll(self.access(), cursor), Page)
            found += page.readings
            cursor, more = page.cursor, page.more
        return found, cursor

    async def call(self, method: str, path: str, *, token: str = "", body: object = None, **params: str) -> Any:
        """Call the sandbox as a client of its own; returns (status, answer)."""
        headers = {"authorization": f"Bearer {token or self.access_token()}"}
        response = await self.http.request(method, f"{BASE}/v1/{path}", params=params, json=body, headers=headers)
        return response.status_code, response.json()

    def access_token(self) -> str:
        form = {
            "client_id": self.box.oauth.client_id,
            "client_secret": self.box.oauth.client_secret,
            "refresh_token": self.box.refresh_token,
            "grant_type": "refresh_token",
        }
        return str(self.box.oauth.token(form)["access_token"])


def changed(readings: Sequence[Reading]) -> dict[str, ContactChanged]:
    return {r.event.contact_id: r.event for r in readings if isinstance(r.event, ContactChanged)}


def deleted(readings: Sequence[Reading]) -> list[str]:
    return [r.event.contact_id for r in readings if isinstance(r.event, ContactDeleted)]


def pushed(now: float, *, message: str = "1", token: str = "", body: bytes | None = None) -> Delivery:
    """A delivery by Pub/Sub."""
    push = Push()
    bearer = token or push.token(push.claims(now))
    return Delivery(
        account="office",
        headers=(("authorization", f"Bearer {bearer}"), ("content-type", "application/json")),
        body=push.message(message) if body is None else body,
        received=int(now * 1_000_000),
    )


class Warm(httpx2.AsyncBaseTransport):
    """The way to the sandbox. Who asks for a new token while the last one is good had it refused: the grant is gone."""

    def __init__(self, box: GoogleSandbox) -> None:
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


class GoogleBench:
    """Google's sandbox on a clock of its own, with an access token at hand."""

    nobody = "people/c1"

    def __init__(self) -> None:
        self.manual = ManualClock()
        self.clock: Clock = self.manual
        self.app: App = GoogleContacts(Certificates(Push().certificates))
        self.box = GoogleSandbox(clock=self.now, rng=random.Random(7))
        self.settings: Mapping[str, str] = {"api_base": BASE, "token_url": f"{BASE}/token"}
        self.credentials: Mapping[str, tuple[str, ...]] = {
            "client_id": (self.box.oauth.client_id,),
            "client_secret": (self.box.oauth.client_secret,),
            "refresh_token": (self.box.refresh_token,),
        }
        self.transport: httpx2.AsyncBaseTransport = Warm(self.box)
        self.lost_cursor: str | None = None

    def now(self) -> float:
        return self.manual.time.timestamp()

    async def warm(self, account: str) -> None:
        """Get the token, and a cursor that is lost by now."""
        async with httpx2.AsyncClient(transport=self.transport) as http:
            access = Access(
                account=account,
                settings=self.settings,
                credentials=self.credentials,
                http=http,
                clock=self.clock,
            )
            self.lost_cursor = must(await self.app.scan(access, None), Page).cursor
        self.manual.advance(1)
        self.box.feed.expire_tokens()
        self.manual.advance(1)

    async def enrich(self, contact_id: str) -> None:
        self.box.hand.update(contact_id, nicknames=[{"value": "Enchantress"}])

    async def is_enriched(self, contact_id: str) -> bool:
        return [each["value"] for each in self.box.hand.get(contact_id)["nicknames"]] == ["Enchantress"]

    async def edit(self, contact_id: str, path: str, value: str) -> None:
        assert path == "note"
        self.box.hand.update(contact_id, biographies=[{"value": value}])

    async def remove(self, contact_id: str) -> None:
        self.box.hand.delete(contact_id)

    async def settled(self) -> None:
        self.manual.advance(901)

    def deliveries(self) -> Sequence[tuple[Delivery, Sequence[str], float]]:
        now = self.now()
        return [(pushed(now, message=str(n)), (PUSH_SECRET,), now) for n in range(3)]


@contextlib.asynccontextmanager
async def google_bench(folder: Path, account: str = "conformance") -> AsyncIterator[GoogleBench]:
    bench = GoogleBench()
    await bench.warm(account)
    yield bench
