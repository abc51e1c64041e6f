"""All customers, page by page; and the events of the last thirty days, for webhooks that were lost."""

from typing import Any

import msgspec

from services.connectors.stripe import order
from services.connectors.stripe.client import Answer, ask
from services.connectors.stripe.customer import customer
from services.connectors.stripe.error import ErrorAnswer
from services.connectors.stripe.lookup import CUSTOMERS, LIMIT, Rows, whole
from services.connectors.stripe.read import TYPES, readings
from services.contracts.app import CursorLost, Page, Reading, Rejected, Seen, Trouble
from services.contracts.events import ContactChanged
from services.runtime.app import Access

KEPT = 30 * 86_400  # seconds that events can be listed: https://docs.stripe.com/api/events
# An event may be listed a moment after its time; what is read twice collapses by its id.
OVERLAP = 60  # seconds


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cursor, in unix seconds and Stripe's ids. Lists come newest first, so each is read from its top down."""

    since: int
    """Events from here on aren't read yet (of a scan: since it began)."""
    after: str = ""
    """The row that the next page goes on behind; empty at the top of the list."""
    until: int = 0
    """Where the next sweep of the events begins, once this one has reached `since`."""


def _dump(place: Place) -> str:
    return msgspec.json.encode(place).decode()


def _load(cursor: str) -> Place | CursorLost:
    try:
        return msgspec.json.decode(cursor, type=Place)
    except (msgspec.DecodeError, RecursionError):
        return CursorLost(reason="the cursor isn't one of this version's")


async def scan(access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
    """Return one page of all customers, newest first.

    The last cursor is where the events go on: at the moment before the scan's first page.
    """
    place = None if cursor is None else _load(cursor)
    if isinstance(place, CursorLost):
        return place
    params: dict[str, Any] = {"limit": LIMIT, "expand": ["data.subscriptions"]}
    if place is not None and place.after:
        params["starting_after"] = place.after
    answer = await _page(access, CUSTOMERS, params)
    if not isinstance(answer, Answer):
        return answer
    rows = answer.decoded(Rows)
    if isinstance(rows, Trouble):
        return rows
    found: list[Reading] = []
    for raw in rows.data:
        row = customer(raw)
        if row is None:
            return _broken("customers", raw)
        if row.deleted:
            continue
        sight = await whole(access, row, raw, answer.order)
        if isinstance(sight, Trouble):
            return sight
        found.append(_reading(access.account, sight))
    since = place.since if place is not None else answer.order.start // order.SECOND
    after = _ident(rows.data[-1]) if rows.has_more and rows.data else ""
    return Page(readings=tuple(found), cursor=_dump(Place(since=since, after=after)), more=bool(after))


async def poll(access: Access, cursor: str) -> Page | CursorLost | Trouble:
    """Return one page of the events since the cursor, under the same ids as their webhooks."""
    if access.settings.get("events") == "off":
        return Page(readings=(), cursor=cursor, more=False)
    place = _load(cursor)
    if isinstance(place, CursorLost):
        return place
    now = order.microseconds(access.clock.now()) // order.SECOND
    if place.since < now - KEPT + OVERLAP:
        return CursorLost(reason="Stripe lists events for 30 days only, and the last ones read are older")
    params: dict[str, Any] = {
        "limit": LIMIT,
        "types": list(TYPES),
        "created": {"gte": place.since - OVERLAP},
    }
    if place.after:
        params["starting_after"] = place.after
    answer = await _page(access, "/v1/events", params)
    if not isinstance(answer, Answer):
        return answer
    rows = answer.decoded(Rows)
    if isinstance(rows, Trouble):
        return rows
    found: list[Reading] = []
    for raw in reversed(rows.data):
        read = readings(raw, access.account, "feed")
        if isinstance(read, Rejected):
            return _broken("events", raw)
        found += read
    until = place.until or max(place.since, answer.order.start // order.SECOND)
    last = _ident(rows.data[-1]) if rows.data else ""
    if rows.has_more and last:
        following = Place(since=place.since, after=last, until=until)
        return Page(readings=tuple(found), cursor=_dump(following), more=True)
    return Page(readings=tuple(found), cursor=_dump(Place(since=until)), more=False)


async def _page(access: Access, path: str, params: dict[str, Any]) -> Answer | CursorLost | Trouble:
    answer = await ask(access, "get", path, params)
    if not isinstance(answer, ErrorAnswer):
        return answer
    if "starting_after" in params and (answer.code == "resource_missing" or answer.missing):
        return CursorLost(reason="Stripe no longer knows the row that the last page ended with")
    return answer.trouble()


def _reading(account: str, sight: Seen) -> Reading:
    event = ContactChanged(
        account=account,
        contact_id=sight.contact_id,
        order=sight.order,
        origin="scan",
        contact=sight.contact,
        object=sight.object,
        subscriptions=sight.subscriptions,
    )
    return Reading(id=sight.contact_id, event=event, time=sight.order.end)


class _Row(msgspec.Struct, frozen=True):
    id: str = ""


def _ident(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=_Row).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _broken(what: str, raw: msgspec.Raw) -> Trouble:
    detail = f"One of Stripe's {what}, {_ident(raw) or 'without an id'}, can't be read."
    return Trouble(key="unanswered", detail=detail)
