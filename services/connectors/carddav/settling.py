"""What became of a write without an answer: found out by reading."""

from services.connectors.carddav import reading, writing
from services.connectors.carddav.discovery import Book
from services.connectors.carddav.reading import Stored
from services.connectors.carddav.vcard import Broken
from services.contracts.app import Gone, Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.receipts import Stale, Written
from services.runtime.app import Absence, Access, Undecided

_LATER = 60.0
"""Seconds after which a card that tells nothing is asked again: a person has to do something first."""


async def settle(access: Access, book: Book, command: Write) -> Written | Stale | Absence | Undecided | Trouble:
    """Return proof that the write was applied, or that it wasn't."""
    outcome: Written | Stale | Absence | Undecided | Trouble
    match command:
        case Create():
            outcome = await _create(access, book, command)
        case Update() | Tag() | Untag():
            outcome = await _change(access, book, command)
    if isinstance(outcome, Trouble) and _tells_nothing(outcome):
        # A refused reading is no refusal of the write.
        return Undecided(reason=outcome.detail, after=_LATER)
    return outcome


async def _create(access: Access, book: Book, command: Create) -> Written | Absence | Undecided | Trouble:
    link = command.aim.link
    found = await reading.get(access, book, writing.place(book, link))
    match found:
        case Stored() if writing.is_ours(found.card, link):
            return Written(contact_id=found.path, seen=found.observation(), looked=True)
        case Stored():
            return Absence(reason="another card stands where this one was to be made")
        case Gone():
            return await _elsewhere(access, book, link)
        case Broken():
            return Undecided(reason="the card at its place can't be read", after=_LATER)
        case Trouble():
            return found


async def _elsewhere(access: Access, book: Book, link: str) -> Written | Absence | Trouble:
    """Our address answers 404: nothing was made, unless the server names new cards itself."""
    found = await reading.with_uid(access, book, link)
    if isinstance(found, Stored):
        return Written(contact_id=found.path, seen=found.observation(), looked=True)
    if isinstance(found, Trouble) and not _tells_nothing(found):
        return found
    return Absence(reason="the card's address answers 404")


async def _change(
    access: Access, book: Book, command: Update | Tag | Untag
) -> Written | Stale | Absence | Undecided | Trouble:
    found = await reading.get(access, book, command.contact_id)
    match found:
        case Stored() if command.guard is not None and found.etag == command.guard:
            return Absence(reason="the card still has the etag of before")
        case Stored() if _applied(found, command):
            return Written(contact_id=found.path, seen=found.observation(), looked=True)
        case Stored():
            return Stale(seen=found.observation())
        case Gone():  # sent anew, it is refused, as the card is gone
            return Absence(reason="the card isn't there any more")
        case Broken():
            return Undecided(reason="the card can't be read", after=_LATER)
        case Trouble():
            return found


def _applied(found: Stored, command: Update | Tag | Untag) -> bool:
    """Whether the write was applied; a person may have edited other fields since, for it is applied whole.

    A field that only the write can have given its value proves it; one that still has the value of before disproves
    it.
    """
    if isinstance(command, Update):
        if writing.holds(found, command.fields):
            return True
        new = [path for path, values in command.fields.items() if command.expected.get(path, ()) != values]
        before = [path for path in new if writing.holds(found, {path: command.expected.get(path, ())})]
        return not before and any(writing.holds(found, {path: command.fields[path]}) for path in new)
    return writing.edited(found.card, command) == found.card


def _tells_nothing(trouble: Trouble) -> bool:
    if isinstance(trouble.key, int):
        return 300 <= trouble.key < 500 and trouble.key not in {401, 408, 425, 429}
    return trouble.key in {"another_book", "too_large"}
