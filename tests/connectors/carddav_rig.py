"""One account on the CardDAV sandbox, and commands for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec

from services.connectors.carddav.app import CardDav
from services.connectors.carddav.sandbox import CarddavSandbox
from services.contracts.app import Page, Reading, Seen
from services.contracts.commands import Aim, Create, Tag, Untag, Update, Version
from services.contracts.contact import Fields, PersonName
from services.contracts.events import ContactChanged, ContactDeleted
from services.runtime.app import Access, Attempt
from services.runtime.clock import SystemClock
from services.runtime.http import client

LINK = "0b6e9d0c-5a44-5c6c-9d1c-7f0f7f9f0a01"
FIRST = Attempt(key="key", n=0)
ADA: Fields = {
    "name": (PersonName(given="Ada", family="King", full="Ada King"),),
    "email": ("ada@x.example",),
    "phone": ("+44 20 7946 0000",),
}
CARD = (
    "BEGIN:VCARD\r\nVERSION:{version}\r\nUID:{uid}\r\nFN:Ada King\r\nN:King;Ada;;;\r\n"
    "item1.EMAIL;TYPE=HOME:{email}\r\nitem1.X-ABLabel:private\r\nX-CUSTOM;B=1;A=2:kept\r\nEND:VCARD\r\n"
)


def card(uid: str, email: str = "ada@x.example", version: str = "3.0") -> str:
    return CARD.format(uid=uid, email=email, version=version)


def aim(link: str = LINK) -> Aim:
    version = Version(1, 1)
    return Aim(link=link, side="right", version=version, connection="c", config_version=1, account="office")


def create(fields: Fields, link: str = LINK) -> Create:
    return Create(aim=aim(link), fields=fields)


def update(seen: Seen, fields: Fields) -> Update:
    expected = {path: seen.contact.fields.get(path, ()) for path in fields}
    return Update(
        aim=aim(),
        contact_id=seen.contact_id,
        fields=fields,
        expected=expected,
        guard=seen.contact.guard,
        object=seen.object,
    )


def tag(seen: Seen, name: str = "PieSync Trash") -> Tag:
    return Tag(
        aim=aim(),
        contact_id=seen.contact_id,
        tag=name,
        date="2026-11-22",
        guard=seen.contact.guard,
        object=seen.object,
    )


def untag(seen: Seen, name: str = "PieSync Trash") -> Untag:
    return Untag(aim=aim(), contact_id=seen.contact_id, tag=name, guard=seen.contact.guard, object=seen.object)


class Rig:
    """The app, the sandbox and an account on it, in an address book of its own."""

    def __init__(self, box: CarddavSandbox, book: str, http: httpx2.AsyncClient) -> None:
        self.app = CardDav()
        self.box = box
        self.url = f"{box.origin}/{box.username}/{book}/"
        self.path = f"/{box.username}/{book}/"
        self.http = http
        self.access = self.using(http)

    def using(self, http: httpx2.AsyncClient, **settings: str) -> Access:
        return Access(
            account="office",
            settings={**self.box.settings, "url": self.url, **settings},
            credentials=self.box.credentials,
            http=http,
            clock=SystemClock(),
        )

    async def put(self, name: str, text: str) -> str:
        """Store a card as a person's program would; return its contact id."""
        await self.box.put(self.url + name, text)
        return self.path + name

    async def look(self, contact_id: str) -> Seen:
        seen = await self.app.look(self.access, contact_id)
        assert isinstance(seen, Seen), seen
        return seen

    async def scan(self) -> tuple[list[Reading], str]:
        """Scan everything; return the readings and where the feed begins."""
        page = await self.app.scan(self.access, None)
        assert isinstance(page, Page), page
        readings = list(page.readings)
        while page.more:
            page = await self.app.scan(self.access, page.cursor)
            assert isinstance(page, Page), page
            readings += page.readings
        return readings, page.cursor

    async def poll(self, cursor: str) -> Page:
        page = await self.app.poll(self.access, cursor)
        assert isinstance(page, Page), page
        return page


class Wire(httpx2.AsyncBaseTransport):
    """The network, with a fault where a test puts one: `cut(request)` says whether an answer gets lost."""

    def __init__(self, cut: Callable[[httpx2.Request], bool]) -> None:
        self._cut = cut
        self._inner = httpx2.AsyncHTTPTransport()
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        response = await self._inner.handle_async_request(request)
        if not self._cut(request):
            return response
        await response.aread()
        await response.aclose()
        raise httpx2.ReadError("the connection was cut after the request was served")

    async def aclose(self) -> None:
        await self._inner.aclose()


@asynccontextmanager
async def wired(cut: Callable[[httpx2.Request], bool]) -> AsyncIterator[tuple[httpx2.AsyncClient, Wire]]:
    """A client whose answers get lost where `cut` says so."""
    wire = Wire(cut)
    async with client(transport=wire) as http:
        yield http, wire


def changed(readings: list[Reading] | tuple[Reading, ...]) -> dict[str, ContactChanged]:
    return {r.event.contact_id: r.event for r in readings if isinstance(r.event, ContactChanged)}


def deleted(readings: list[Reading] | tuple[Reading, ...]) -> set[str]:
    return {r.event.contact_id for r in readings if isinstance(r.event, ContactDeleted)}


def with_guard(command: Update, guard: str | None) -> Update:
    return msgspec.structs.replace(command, guard=guard)
