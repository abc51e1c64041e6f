"""Cards as the server has them: one by its path, several by their paths, some by a text."""

import json
import unicodedata

import msgspec

from services.connectors.carddav import dav, fields, vcard
from services.connectors.carddav.client import TOO_LARGE, Answer, ask, send
from services.connectors.carddav.discovery import Book
from services.connectors.carddav.vcard import Broken, Card
from services.contracts.app import Gone, Seen, Trouble
from services.contracts.contact import Order
from services.contracts.receipts import Observation
from services.runtime.app import Access

_THIS_CARD_ALONE = {400, 403, 406, 415, 422, TOO_LARGE}
"""What a request for one card may be answered with because of that card; it must not stop the others."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A card at its place, as one answer showed it."""

    path: str
    etag: str | None
    card: Card
    text: str
    order: Order

    def seen(self) -> Seen:
        """Return it as a look's answer."""
        contact = fields.contact(self.card, self.etag)
        return Seen(contact_id=self.path, order=self.order, contact=contact, object=self._object())

    def observation(self) -> Observation:
        """Return it as a write's answer shows it."""
        contact = fields.contact(self.card, self.etag)
        return Observation(contact_id=self.path, order=self.order, contact=contact, object=self._object())

    def _object(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode({"href": self.path, "etag": self.etag, "vcard": self.text}))


def stored(path: str, etag: str | None, raw: bytes | str, order: Order) -> Stored | Broken:
    """Read a card's text; a text that isn't a contact's card is said to be broken."""
    card = vcard.decode(raw)
    if isinstance(card, Broken):
        return card
    if reason := fields.unreadable(card):
        return reason
    return Stored(path=path, etag=etag, card=card, text=raw if isinstance(raw, str) else card.text(), order=order)


def remembered(raw: msgspec.Raw) -> Card | None:
    """Return the card in an observation's `object`, or None if it holds none."""
    try:
        value = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        return None
    text = value.get("vcard") if isinstance(value, dict) else None
    card = vcard.decode(text) if isinstance(text, str) else None
    return card if isinstance(card, Card) else None


async def get(access: Access, book: Book, path: str) -> Stored | Broken | Gone | Trouble:
    """Read one card."""
    if not book.holds(path):
        return Trouble(
            key="another_book",
            detail="The contact is in another address book than the account's: was its `url` changed?",
        )
    answer = await send(access, "GET", path, headers={"accept": "text/vcard, */*;q=0.1"})
    if isinstance(answer, Trouble):
        return answer
    if answer.gone:
        return Gone(contact_id=path, order=answer.order)
    if answer.status != 200:
        return answer.trouble()
    return stored(path, answer.etag, answer.body, answer.order)


async def is_there(access: Access, book: Book) -> Trouble | None:
    """Return None if the address book itself exists: where it doesn't, none of its contacts was deleted."""
    answer = await ask(access, "PROPFIND", book.path, dav.propfind("resourcetype"), "0")
    if isinstance(answer, Trouble) or answer.status == 207:
        return answer if isinstance(answer, Trouble) else None
    if not answer.gone:
        return answer.trouble()
    return Trouble(key="no_address_book", detail="The address book isn't there any more: correct the account's `url`.")


async def several(access: Access, book: Book, paths: list[str]) -> dict[str, Stored | Broken | Gone] | Trouble:
    """Read many cards at once; those that the server's answer leaves out are read one by one.

    A card that the server doesn't give, or that is too large to be read, counts as broken.
    """
    answer = await ask(access, "REPORT", book.path, dav.multiget(paths), "1")
    if isinstance(answer, Trouble):
        return await _in_halves(access, book, paths) if answer.key == TOO_LARGE else answer
    found = _multistatus(answer)
    if isinstance(found, Trouble):
        return found
    read: dict[str, Stored | Broken | Gone] = {}
    for row in found.rows:
        if row.path not in paths:
            continue
        if row.status in {404, 410}:
            read[row.path] = Gone(contact_id=row.path, order=answer.order)
        elif row.card is not None:
            read[row.path] = stored(row.path, row.etag, row.card, answer.order)
    for path in paths:
        if path not in read:
            one = await get(access, book, path)
            if isinstance(one, Trouble) and one.key not in _THIS_CARD_ALONE:
                return one
            read[path] = Broken("the server doesn't give it") if isinstance(one, Trouble) else one
    return read


async def _in_halves(access: Access, book: Book, paths: list[str]) -> dict[str, Stored | Broken | Gone] | Trouble:
    """Read cards that are too large together, such as ones with photos."""
    if len(paths) == 1:
        return {paths[0]: Broken("it is too large")}
    middle = len(paths) // 2
    first = await several(access, book, paths[:middle])
    if isinstance(first, Trouble):
        return first
    second = await several(access, book, paths[middle:])
    return second if isinstance(second, Trouble) else first | second


async def matching(access: Access, book: Book, name: str, text: str) -> tuple[Stored, ...] | Trouble:
    """Return the readable cards in which a property contains a text, as the server compares."""
    answer = await ask(access, "REPORT", book.path, dav.query(name, text), "1")
    if isinstance(answer, Trouble):
        return answer
    found = _multistatus(answer)
    if isinstance(found, Trouble):
        return found
    cards = (
        stored(row.path, row.etag, row.card, answer.order)
        for row in found.rows
        if row.card is not None and book.holds(row.path)
    )
    return tuple(card for card in cards if isinstance(card, Stored))


async def with_address(access: Access, book: Book, address: str) -> tuple[Stored, ...] | Trouble:
    """Return the cards that have an e-mail address, compared as the whole system does."""
    cards = await matching(access, book, "EMAIL", address)
    if isinstance(cards, Trouble):
        return cards
    wanted = _normal(address)
    return tuple(card for card in cards if wanted in {_normal(fields.email(line)) for line in card.card.all("EMAIL")})


async def with_uid(access: Access, book: Book, uid: str) -> Stored | Trouble | None:
    """Return the card that has a UID, wherever in the book."""
    cards = await matching(access, book, "UID", uid)
    if isinstance(cards, Trouble):
        return cards
    return next((card for card in cards if fields.uid(card.card) == uid), None)


def _multistatus(answer: Answer) -> dav.Multistatus | Trouble:
    found = dav.multistatus(answer.body) if answer.status == 207 else None
    if found is not None:
        return found
    if answer.gone:
        return Trouble(key="no_address_book", detail="The address book isn't there: correct the account's `url`.")
    if answer.good:
        return Trouble(key="no_address_book", detail="The answer isn't CardDAV's: correct the account's `url`.")
    return answer.trouble()


def _normal(address: str) -> str:
    return unicodedata.normalize("NFC", address).strip().casefold()
