"""All customers, page by page; and what changed since a moment (change data capture).

https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/change-data-capture: up to
30 days back and 1,000 objects in one answer, which has no second page. What was merged away comes without a version.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from services.connectors.quickbooks import query
from services.connectors.quickbooks.client import Answer, Client, Failure
from services.connectors.quickbooks.customer import ID, Customer
from services.connectors.quickbooks.error import unreadable
from services.connectors.quickbooks.lookup import customers, rows
from services.contracts.app import CursorLost, Gone, Page, Reading, Trouble
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched, Origin

MOST = 1000
"""Objects of one answer."""
KEPT = 29 * 86_400
"""Seconds that changes can be asked for, with a day to spare."""
OVERLAP = 120
"""Seconds that every question goes back behind the last answer; what was told of then isn't told again."""
SHIFT = 20
"""Rows that every page of a scan repeats: a customer merged away meanwhile moves those behind it forward."""
_SECOND = 1_000_000
_REMOVED = -1
"""In the place of a version."""


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go on."""

    since: int
    """Changes from here on aren't read yet: microseconds since 1970 by QuickBooks' clock."""
    start: int = 0
    """The position of a scan's next page; 0: the scan is over."""
    tail: tuple[str, ...] = ()
    """The last customers of the scan's last page."""
    told: dict[str, int] = {}
    """The customers of the last answer and their versions: what was deleted would be looked at with every poll."""


class _Changes(msgspec.Struct, frozen=True):
    customers: tuple[Any, ...] = msgspec.field(default=(), name="Customer")
    fault: None = msgspec.field(default=None, name="Fault")
    """With a fault in it the answer is none: its changes would be skipped."""


class _Response(msgspec.Struct, frozen=True):
    queries: tuple[_Changes, ...] = msgspec.field(name="QueryResponse")


class _Captured(msgspec.Struct, frozen=True):
    responses: tuple[_Response, ...] = msgspec.field(name="CDCResponse")


async def scan(client: Client, cursor: str | None) -> Page | CursorLost | Trouble:
    """Return one page of all customers. The last cursor is where changes go on: before the scan's first page."""
    # Our clock and theirs may differ by minutes, and this is asked for once.
    begun = client.now() - 5 * OVERLAP * _SECOND
    at = Cursor(since=begun, start=1) if cursor is None else _opened(cursor)
    if isinstance(at, CursorLost):
        return at
    page = await rows(client, query.everybody(at.start))
    if isinstance(page, Trouble):
        return page
    fresh = [row for row in page if row.id not in at.tail]
    after = Cursor(since=at.since)
    if len(page) >= query.PAGE:
        tail = tuple(row.id for row in page[-SHIFT:])
        after = Cursor(since=at.since, start=at.start + len(page) - SHIFT, tail=tail)
    return Page(readings=_readings(client, fresh, "scan"), cursor=_closed(after), more=after.start > 0)


async def poll(client: Client, cursor: str) -> Page | CursorLost | Trouble:
    """Return what changed since the cursor."""
    at = _opened(cursor)
    if isinstance(at, CursorLost):
        return at
    if client.now() - at.since > KEPT * _SECOND:
        return CursorLost(reason="QuickBooks tells the changes of 30 days, and the last ones read are older")
    answer = await client.get("cdc", {"entities": "Customer", "changedSince": query.timestamp(at.since)})
    if not isinstance(answer, Answer):
        return answer.trouble() if isinstance(answer, Failure) else answer
    captured = answer.decoded(_Captured)
    if isinstance(captured, Trouble):
        return captured
    changes = [row for response in captured.responses for each in response.queries for row in each.customers]
    if len(changes) >= MOST:
        return CursorLost(reason=f"more customers changed than QuickBooks tells at once ({MOST})")
    removed = [str(row["Id"]) for row in changes if _is_removed(row)]
    changed = customers(row for row in changes if not _is_removed(row))
    if isinstance(changed, Trouble):
        return changed
    if not all(ID.match(each) for each in removed):
        return unreadable()
    time = answer.time if answer.time is not None else client.now() - 4 * OVERLAP * _SECOND
    told = {row.id: row.version for row in changed} | dict.fromkeys(removed, _REMOVED)
    after = Cursor(since=max(at.since, time - OVERLAP * _SECOND), told=told)
    fresh = [row for row in changed if at.told.get(row.id) != row.version]
    gone = [each for each in removed if at.told.get(each) != _REMOVED]
    readings = (*_readings(client, fresh, "feed"), *_touched(client, gone, time))
    return Page(readings=readings, cursor=_closed(after), more=False)


def _readings(client: Client, found: Sequence[Customer], origin: Origin) -> tuple[Reading, ...]:
    """Return the events: first everybody who is there, so that a merge's survivor is known, then who is gone."""
    account, now = client.access.account, client.now()
    live: list[Reading] = []
    gone: list[Reading] = []
    for row in found:
        match row.seen():
            case Gone(order=order):
                event = ContactDeleted(account=account, contact_id=row.id, order=order, origin=origin)
                gone.append(Reading(id=row.id, event=event, time=now))
            case seen:
                changed = ContactChanged(
                    account=account,
                    contact_id=row.id,
                    order=seen.order,
                    origin=origin,
                    contact=seen.contact,
                    object=seen.object,
                )
                live.append(Reading(id=row.id, event=changed, time=now))
    return (*live, *gone)


def _touched(client: Client, removed: Sequence[str], time: int) -> list[Reading]:
    """Return that these have to be looked at: which version was removed isn't said."""
    account = client.access.account
    events = [ContactTouched(account=account, contact_id=each, origin="feed") for each in removed]
    return [Reading(id=event.contact_id, event=event, time=time) for event in events]


def _is_removed(row: Any) -> bool:
    return isinstance(row, dict) and row.get("status") == "Deleted"


def _opened(cursor: str) -> Cursor | CursorLost:
    try:
        return msgspec.json.decode(cursor, type=Cursor)
    except (msgspec.DecodeError, UnicodeError):
        return CursorLost(reason="the stored cursor can't be read")


def _closed(cursor: Cursor) -> str:
    return msgspec.json.encode(cursor).decode()
