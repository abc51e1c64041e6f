"""All cards, and what changed since: one mechanism, RFC 6578's sync-collection."""

import msgspec

from services.connectors.carddav import dav, reading
from services.connectors.carddav.client import Answer, ask
from services.connectors.carddav.discovery import Book
from services.connectors.carddav.reading import Stored
from services.contracts.app import CursorLost, Gone, Page, Reading, Trouble
from services.contracts.contact import Order
from services.contracts.events import ContactChanged, ContactDeleted, Origin
from services.runtime.app import Access

CHUNK = 100
"""Cards read by one request: with photos, some ten megabytes at most."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go on: first the cards that the last report named, then the next report."""

    book: str
    token: str
    left: tuple[str, ...] = ()
    """Names within the book."""
    more: bool = False
    """The report was truncated: the next one follows at once."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a report said."""

    token: str
    changed: tuple[str, ...]
    """Paths."""
    gone: tuple[str, ...]
    truncated: bool
    order: Order


async def scan(access: Access, book: Book, cursor: str | None) -> Page | CursorLost | Trouble:
    """Return one page of all cards."""
    if cursor is None:
        return await _next_report(access, book, "", "scan")
    return await _page(access, book, cursor, "scan")


async def poll(access: Access, book: Book, cursor: str) -> Page | CursorLost | Trouble:
    """Return one page of what changed."""
    return await _page(access, book, cursor, "feed")


async def _page(access: Access, book: Book, cursor: str, origin: Origin) -> Page | CursorLost | Trouble:
    try:
        at = msgspec.json.decode(cursor, type=Cursor)
    except msgspec.DecodeError:
        return CursorLost(reason="the stored cursor can't be read")
    if at.book != book.path:
        return CursorLost(reason="the account has another address book now")
    if at.left:
        return await _read(access, book, at, (), origin)
    return await _next_report(access, book, at.token, origin)


async def _next_report(access: Access, book: Book, token: str, origin: Origin) -> Page | CursorLost | Trouble:
    changes = await _report(access, book, token)
    if not isinstance(changes, Changes):
        return changes
    gone = tuple(_deleted(access, Gone(contact_id=path, order=changes.order), origin) for path in changes.gone)
    left = tuple(path.removeprefix(book.path) for path in changes.changed)
    at = Cursor(book=book.path, token=changes.token, left=left, more=changes.truncated)
    return await _read(access, book, at, gone, origin)


async def _read(access: Access, book: Book, at: Cursor, before: tuple[Reading, ...], origin: Origin) -> Page | Trouble:
    """Return a page of the next cards that the last report named.

    A card that can't be read is left out: it must not keep all others from passing, and comes again when somebody
    corrects it.
    """
    chunk, left = at.left[:CHUNK], at.left[CHUNK:]
    readings = list(before)
    if chunk:
        answer = await reading.several(access, book, [book.path + name for name in chunk])
        if isinstance(answer, Trouble):
            return answer
        for found in answer.values():
            match found:
                case Stored():
                    readings.append(_changed(access, found, origin))
                case Gone():
                    readings.append(_deleted(access, found, origin))
                case _:
                    pass
    after = msgspec.structs.replace(at, left=left)
    more = bool(left) or at.more
    return Page(readings=tuple(readings), cursor=msgspec.json.encode(after).decode(), more=more)


async def _report(access: Access, book: Book, token: str) -> Changes | CursorLost | Trouble:
    answer = await ask(access, "REPORT", book.path, dav.sync_collection(token), "0")
    if isinstance(answer, Trouble):
        return answer
    found = dav.multistatus(answer.body) if answer.status == 207 else None
    if found is None:
        return _failure(answer, token)
    if found.token is None:
        return Trouble(key="no_change_feed", detail="The server's list of changes names no sync-token: it can't go on.")
    rows = {row.path: row for row in found.rows if book.holds(row.path)}
    gone = tuple(path for path, row in rows.items() if row.status in {404, 410})
    return Changes(
        token=found.token,
        changed=tuple(path for path, row in rows.items() if row.status in {None, 200}),
        gone=gone,
        # RFC 6578 section 3.6: the row of the collection itself says that there is more.
        truncated=any(row.status == 507 and not book.holds(row.path) for row in found.rows) and found.token != token,
        order=answer.order,
    )


def _failure(answer: Answer, token: str) -> CursorLost | Trouble:
    if token and (answer.status == 410 or dav.names_condition(answer.body, "valid-sync-token")):
        return CursorLost(reason="the server no longer knows the sync-token")
    if answer.gone:
        return Trouble(key="no_address_book", detail="The address book isn't there: correct the account's `url`.")
    if answer.status in {400, 403, 405, 415, 501} or answer.good:
        return Trouble(
            key="no_change_feed",
            detail=f"The server doesn't list changes here (sync-collection, RFC 6578; it answered {answer.status}): "
            "check the account's `url` and the user's rights.",
        )
    return answer.trouble()


def _changed(access: Access, found: Stored, origin: Origin) -> Reading:
    seen = found.seen()
    event = ContactChanged(
        account=access.account,
        contact_id=seen.contact_id,
        order=seen.order,
        origin=origin,
        contact=seen.contact,
        object=seen.object,
    )
    return Reading(id=seen.contact_id, event=event, time=seen.order.end)


def _deleted(access: Access, gone: Gone, origin: Origin) -> Reading:
    event = ContactDeleted(account=access.account, contact_id=gone.contact_id, order=gone.order, origin=origin)
    return Reading(id=gone.contact_id, event=event, time=gone.order.end)
