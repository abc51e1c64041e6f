"""An app of the tests' own: contacts in memory, listed in pages, with a change feed and gates to hold requests at."""

import asyncio
from collections.abc import Sequence

import msgspec

from services.contracts.app import (
    Ability,
    CursorLost,
    Delivery,
    Field,
    Gone,
    Manifest,
    Pace,
    Page,
    Reading,
    Rejected,
    Seen,
    Trouble,
)
from services.contracts.commands import Write
from services.contracts.contact import Contact, Order
from services.contracts.events import ContactChanged, ContactDeleted, Event, Origin
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Access, Attempt, Undecided


class Entry(msgspec.Struct, frozen=True):
    """One contact at one version; None as its mail: deleted."""

    contact_id: str
    mail: str | None
    version: int


class Directory:
    """Serves `entries` by the `App` protocol. `answers` are given first, one per request."""

    def __init__(self, *, poll_interval: float = 0.02, page: int = 2, feed: bool = True) -> None:
        self.history: list[Entry] = []
        self.requests: list[tuple[str, str | None]] = []
        self.answers: list[CursorLost | Trouble | Exception] = []
        self.open = asyncio.Event()
        """Requests wait until it is set."""
        self.open.set()
        self._page = page
        self._manifest = Manifest(
            name="directory",
            title="Directory",
            docs="https://example.org",
            credentials=(),
            settings=(),
            fields=(Field(path="mail", canonical="email", type="email"),),
            abilities=frozenset({Ability.POLL, Ability.WEBHOOK} if feed else {Ability.WEBHOOK}),
            pace=Pace(poll=0, read=0, write=0),
            poll_interval=poll_interval,
        )

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def put(self, contact_id: str, mail: str | None) -> None:
        self.history.append(Entry(contact_id, mail, len(self.history) + 1))

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        await self._asked("scan", cursor)
        if self.answers:
            return self._planned()
        now = {entry.contact_id: entry for entry in self.history}
        entries = [entry for entry in now.values() if entry.mail is not None]
        start = int(cursor) if cursor else 0
        more = start + self._page < len(entries)
        return Page(
            readings=tuple(_reading(access.account, entry, "scan") for entry in entries[start : start + self._page]),
            cursor=str(start + self._page) if more else str(len(self.history)),
            more=more,
        )

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        await self._asked("poll", cursor)
        if self.answers:
            return self._planned()
        rest = self.history[int(cursor) :]
        return Page(
            readings=tuple(_reading(access.account, entry, "feed") for entry in rest[: self._page]),
            cursor=str(int(cursor) + len(rest[: self._page])),
            more=len(rest) > self._page,
        )

    async def _asked(self, what: str, cursor: str | None) -> None:
        self.requests.append((what, cursor))
        await self.open.wait()

    def _planned(self) -> CursorLost | Trouble:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        return None

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Rejected:
        """A delivery is a JSON object of contact id and mail, or a fault of the reader's."""
        told = msgspec.json.decode(delivery.body, type=dict[str, str])
        return tuple(_reading(delivery.account, Entry(key, mail, 1), "webhook") for key, mail in told.items())

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        raise NotImplementedError

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        raise NotImplementedError

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        raise NotImplementedError

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        raise NotImplementedError


def _reading(account: str, entry: Entry, origin: Origin) -> Reading:
    order = Order(entry.version, entry.version)
    event: Event
    if entry.mail is None:
        event = ContactDeleted(account=account, contact_id=entry.contact_id, order=order, origin=origin)
    else:
        contact = Contact(fields={"mail": (entry.mail,)})
        event = ContactChanged(
            account=account, contact_id=entry.contact_id, order=order, origin=origin, contact=contact
        )
    return Reading(id=entry.contact_id, event=event, time=entry.version * 1_000_000)
