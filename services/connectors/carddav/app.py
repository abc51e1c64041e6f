"""CardDAV as an app: everything about it is in this folder."""

from collections.abc import Sequence
from typing import TypeVar

from services.connectors.carddav import feed, manifest, reading, settling, writing
from services.connectors.carddav.discovery import Discovery
from services.connectors.carddav.reading import Stored
from services.connectors.carddav.vcard import Broken
from services.contracts.app import CursorLost, Delivery, Gone, Manifest, Page, Reading, Rejected, Seen, Trouble
from services.contracts.commands import Write
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Access, App, Attempt, Undecided

_T = TypeVar("_T")


class CardDav:
    """An address book's cards as contacts. One instance serves every account; it remembers where their books are."""

    def __init__(self) -> None:
        self._discovery = Discovery()

    @property
    def manifest(self) -> Manifest:
        """What CardDAV declares."""
        return manifest.MANIFEST

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        """Return a rejection: CardDAV servers send no webhooks."""
        return Rejected(code="account", reason="CardDAV servers send no webhooks: this account is polled.")

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Rejected:
        """Return a rejection: CardDAV servers send no webhooks."""
        return Rejected(code="account", reason="CardDAV servers send no webhooks: this account is polled.")

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        """Return one page of all cards; cards that can't be read are left out."""
        book = await self._discovery.book(access)
        return book if isinstance(book, Trouble) else self._heard(access, await feed.scan(access, book, cursor))

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        """Return one page of the cards changed and deleted since `cursor`."""
        book = await self._discovery.book(access)
        return book if isinstance(book, Trouble) else self._heard(access, await feed.poll(access, book, cursor))

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        """Read one card. That it is gone is believed only while its address book is there."""
        book = await self._discovery.book(access)
        if isinstance(book, Trouble):
            return book
        found = await reading.get(access, book, contact_id)
        match found:
            case Stored():
                return found.seen()
            case Gone():
                return self._heard(access, await reading.is_there(access, book) or found)
            case Broken():
                return Trouble(key="unreadable_card", detail=f"The card can't be read: {found.reason}.")
            case Trouble():
                return found

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        """Return the cards that have the normalized e-mail address."""
        book = await self._discovery.book(access)
        if isinstance(book, Trouble):
            return book
        found = self._heard(access, await reading.with_address(access, book, address))
        return found if isinstance(found, Trouble) else tuple(card.seen() for card in found)

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """Send one write once; a lost guard costs one reading and a second try (P14)."""
        book = await self._discovery.book(access)
        return book if isinstance(book, Trouble) else self._heard(access, await writing.write(access, book, command))

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        """Find out by reading whether a write was applied."""
        book = await self._discovery.book(access)
        return book if isinstance(book, Trouble) else self._heard(access, await settling.settle(access, book, command))

    def _heard(self, access: Access, answer: _T) -> _T:
        """Return the answer; a book that isn't there is looked for anew next time."""
        if isinstance(answer, Trouble) and answer.key == "no_address_book":
            self._discovery.forget(access)
        return answer


APP: App = CardDav()
"""CardDAV."""
