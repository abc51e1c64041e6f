"""Cards written: under `If-None-Match: *` where none may be, under an etag where one is."""

import msgspec

from services.connectors.carddav import dav, editing, fields, reading, vcard
from services.connectors.carddav.client import Answer, send
from services.connectors.carddav.discovery import Book
from services.connectors.carddav.reading import Stored
from services.connectors.carddav.vcard import Broken, Card
from services.contracts.app import Gone, Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Address, Fields, PersonName, Value
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Access

_GONE = Refused(reason="The card isn't in the address book any more.", code="gone", gone=True)
_UNREADABLE = Trouble(
    key="unreadable_card",
    detail="The card can't be read, so it isn't written either: open and save it in another program.",
)
_CONTENT = "text/vcard; charset=utf-8"


async def write(access: Access, book: Book, command: Write) -> Written | Unchanged | Refused | Stale | Trouble:
    """Send one write once."""
    match command:
        case Create() | Update() if unwritable := _unwritable(command.fields):
            return unwritable
        case Create():
            return await _create(access, book, command)
        case Update() | Tag() | Untag():
            return await _change(access, book, command)


def place(book: Book, link: str) -> str:
    """Return the path of the card that a link's create makes: a repetition finds it taken."""
    return dav.path_of(f"{book.path}{link}.vcf")


def is_ours(card: Card, link: str) -> bool:
    """Whether a link's create made the card. Servers that drop unknown properties keep its UID."""
    return link in {fields.uid(card), fields.mark(card)}


def edited(card: Card, command: Update | Tag | Untag) -> Card:
    """Return the card with what the command asks for."""
    match command:
        case Update():
            return editing.edit(card, command.fields)
        case Tag():
            return editing.with_tag(card, command.tag)
        case Untag():
            return editing.without_tag(card, command.tag)


def holds(found: Stored, wanted: Fields) -> bool:
    """Whether the card has these values, in this order."""
    present = fields.fields(found.card)
    return all(_comparable(present.get(path, ())) == _comparable(values) for path, values in wanted.items())


async def _create(access: Access, book: Book, command: Create) -> Written | Refused | Trouble:
    link = command.aim.link
    path = place(book, link)
    card = editing.new(command.fields, link)
    answer = await _put(access, path, card, {"if-none-match": "*"})
    if isinstance(answer, Trouble):
        return answer
    if answer.good:
        return await _written(access, book, _moved(book, path, answer), card, answer)
    if answer.status == 412:
        return await _taken(access, book, path, link)
    conflict = dav.names_condition(answer.body, "no-uid-conflict")
    if answer.status == 409 or (answer.status == 403 and conflict):
        found = await reading.with_uid(access, book, link)  # our own card, moved by somebody
        if isinstance(found, Trouble):
            return found
        if found is not None:
            return Written(contact_id=found.path, seen=found.observation(), looked=True)
        return Refused(reason="The server refuses the new card because of a conflict.", code="409")
    if answer.gone:
        # A create has no contact that could be gone: the book is.
        return Trouble(key="no_address_book", detail="The address book isn't there: correct the account's `url`.")
    return answer.trouble()


async def _taken(access: Access, book: Book, path: str, link: str) -> Written | Refused | Trouble:
    found = await reading.get(access, book, path)
    match found:
        case Stored() if is_ours(found.card, link):
            return Written(contact_id=path, seen=found.observation(), looked=True)
        case Trouble():
            return found
        case Gone():  # Radicale's word for a card above its size limit
            return Refused(reason="The server doesn't take the new card; it may be too large.", code="412")
        case _:
            return Refused(reason="Another card stands where this one was to be made.", code="412")


async def _change(
    access: Access, book: Book, command: Update | Tag | Untag
) -> Written | Unchanged | Refused | Stale | Trouble:
    card = reading.remembered(command.object)
    change = edited(card, command) if card is not None else None
    if card is None or change == card or command.guard is None:
        # Nothing to write it into, under or for, as far as the observation goes: so the card decides.
        return await _change_fresh(access, book, command, None)
    if change is None or not book.holds(command.contact_id):
        return await _change_fresh(access, book, command, None)
    answer = await _put(access, command.contact_id, change, {"if-match": command.guard})
    if isinstance(answer, Trouble):
        return answer
    if answer.good:
        return await _written(access, book, command.contact_id, change, answer)
    if answer.gone:
        return _GONE
    return await _change_fresh(access, book, command, command.guard) if answer.status == 412 else answer.trouble()


async def _change_fresh(
    access: Access, book: Book, command: Update | Tag | Untag, refused: str | None
) -> Written | Unchanged | Refused | Stale | Trouble:
    """Read the card and write once under what was read, if it still is what the decision saw (P14).

    `refused` is the guard under which the server didn't take it.
    """
    found = await reading.get(access, book, command.contact_id)
    if isinstance(found, Broken):
        return _UNREADABLE
    if not isinstance(found, Stored):
        return _GONE if isinstance(found, Gone) else found
    if refused is not None and found.etag == refused:
        return Refused(reason="The server doesn't take the changed card; it may be too large.", code="412")
    if isinstance(command, Update) and not holds(found, _expected(command)):
        return Stale(seen=found.observation())
    change = edited(found.card, command)
    if change == found.card:
        return Unchanged(contact_id=found.path, seen=found.observation())
    if found.etag is None:
        return Trouble(key="no_etag", detail="The server names no etag for the card: a change can't be made safely.")
    answer = await _put(access, found.path, change, {"if-match": found.etag})
    if isinstance(answer, Trouble):
        return answer
    if answer.good:
        return await _written(access, book, found.path, change, answer)
    if answer.gone:
        return _GONE
    return Stale(seen=found.observation()) if answer.status == 412 else answer.trouble()


async def _put(access: Access, path: str, card: Card, condition: dict[str, str]) -> Answer | Trouble:
    headers = {"content-type": _CONTENT, **condition}
    return await send(access, "PUT", path, card.text().encode(), headers=headers)


async def _written(access: Access, book: Book, path: str, card: Card, answer: Answer) -> Written:
    """Return the outcome of a write that was taken, with the card as it stands now.

    A strong etag says that the server stored what it was sent (RFC 6352 section 6.3.2.3); else the card is read.
    """
    ms = (answer.order.end - answer.order.start) // 1000
    found = reading.stored(path, answer.etag, card.text(), answer.order) if answer.etag else None
    if not isinstance(found, Stored):
        read = await reading.get(access, book, path)
        found = read if isinstance(read, Stored) else None
    return Written(contact_id=path, seen=found.observation() if found else None, ms=ms)


def _moved(book: Book, path: str, answer: Answer) -> str:
    """Return where the server put a new card: some name it themselves."""
    told = dav.path_of(answer.headers.get("location", ""))
    return told if book.holds(told) else path


def _expected(command: Update) -> Fields:
    return {path: command.expected.get(path, ()) for path in command.fields}


def _unwritable(wanted: Fields) -> Refused | None:
    bad = tuple(path for path, values in wanted.items() if any(map(_holds_control, values)))
    reason = "The value has a control character, which a card can't hold: remove it."
    return Refused(reason=reason, code="control_character", fields=bad) if bad else None


def _holds_control(value: Value) -> bool:
    texts = [value] if isinstance(value, str) else [str(part) for part in msgspec.structs.astuple(value)]
    return any(map(vcard.holds_control, texts))


def _comparable(values: tuple[Value, ...]) -> list[str]:
    return [text for value in values if (text := _told(value))]


def _told(value: Value) -> str:
    match value:
        case str():
            return " ".join(value.split()).casefold() if "@" in value else " ".join(value.split())
        case PersonName():
            parts = (value.prefix, value.given, value.middle, value.family, value.suffix)
            return "\x1f".join(" ".join(part.split()) for part in parts) if any(parts) else value.full.strip()
        case Address():
            parts = msgspec.structs.astuple(value)
            return "\x1f".join(" ".join(str(part).split()) for part in parts) if any(parts) else ""
