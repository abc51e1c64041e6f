"""All contacts, and what changed since: connections.list with and without a sync token."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.connectors.google_contacts import lookup
from services.connectors.google_contacts.client import Answer, Client, Failure
from services.connectors.google_contacts.label import Labels
from services.connectors.google_contacts.person import NAME, READ, Json, Person, person
from services.contracts.app import CursorLost, Gone, Page, Reading, Trouble
from services.contracts.contact import Order
from services.contracts.events import ContactChanged, ContactDeleted, Origin

SIZE = 200
"""Persons of a page: as many as one batch can look at, should all of them be deleted."""
CONNECTIONS = "people/me/connections"
# With a sync token every other parameter has to be what it was when the token was given out.
_PARAMS: Mapping[str, str] = {**READ, "pageSize": str(SIZE), "requestSyncToken": "true"}


class Cursor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to go on: after a page, after a sync token, or both."""

    fields: str
    """What the tokens were given out for: a version that reads other fields has to start over."""
    sync: str = ""
    page: str = ""


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    connections: tuple[Json, ...] = ()
    next_page_token: str = ""
    next_sync_token: str = ""


async def scan(client: Client, labels: Labels, cursor: str | None) -> Page | CursorLost | Trouble:
    """Return one page of all contacts; with the last one comes the sync token."""
    at = Cursor(fields=READ["personFields"]) if cursor is None else _opened(cursor)
    return at if isinstance(at, CursorLost) else await _page(client, labels, at, "scan")


async def poll(client: Client, labels: Labels, cursor: str) -> Page | CursorLost | Trouble:
    """Return one page of what changed since the sync token."""
    at = _opened(cursor)
    return at if isinstance(at, CursorLost) else await _page(client, labels, at, "feed")


def _opened(cursor: str) -> Cursor | CursorLost:
    try:
        at = msgspec.json.decode(cursor, type=Cursor)
    except (msgspec.DecodeError, UnicodeError):
        return CursorLost(reason="the stored cursor can't be read")
    if at.fields != READ["personFields"]:
        return CursorLost(reason="this version of contactsync reads other fields of a contact")
    return at


async def _page(client: Client, labels: Labels, at: Cursor, origin: Origin) -> Page | CursorLost | Trouble:
    tokens = {"syncToken": at.sync, "pageToken": at.page}
    answer = await client.get(CONNECTIONS, {**_PARAMS, **{key: token for key, token in tokens.items() if token}})
    match answer:
        case Trouble():
            return answer
        case Failure() if (at.sync or at.page) and answer.problem.lost_token:
            return CursorLost(reason="Google no longer knows the sync token (it is good for 7 days after a full sync)")
        case Failure():
            return answer.trouble()
        case Answer():
            listed = answer.decoded(_Listed)
    if isinstance(listed, Trouble):
        return listed
    after = Cursor(fields=at.fields, sync=listed.next_sync_token, page="")
    if listed.next_page_token:
        after = Cursor(fields=at.fields, sync=at.sync, page=listed.next_page_token)
    elif not listed.next_sync_token:
        return Trouble(key="no_sync_token", detail="Google's last page has no sync token: the feed can't go on.")
    readings = await _readings(client, labels, listed.connections, answer.order, origin)
    if isinstance(readings, Trouble):
        return readings
    cursor = msgspec.json.encode(after).decode()
    return Page(readings=tuple(readings), cursor=cursor, more=bool(listed.next_page_token))


async def _readings(
    client: Client, labels: Labels, rows: Sequence[Json], order: Order, origin: Origin
) -> list[Reading] | Trouble:
    """Return the page's events: first everybody who is there, so that a merge's survivor is known, then who is gone.

    What the feed says of a deletion has no version and is minutes old, so it is looked at: that reading is a fact of
    now, and a contact that came back meanwhile isn't taken for deleted.
    """
    live = [found for row in rows if not _metadata(row).get("deleted") and (found := person(row)) is not None]
    doubtful = [str(row.get("resourceName", "")) for row in rows if _metadata(row).get("deleted")]
    former = [str(name) for each in live for name in _metadata(each.raw).get("previousResourceNames") or ()]
    shown = {each.name for each in live}
    asked = [name for name in dict.fromkeys((*doubtful, *former)) if NAME.match(name) and name not in shown]
    looked = await lookup.several(client, asked)
    if isinstance(looked, Trouble):
        return looked
    # Whoever answers to a former name is on the page already.
    others = [row for row in looked if not isinstance(row, Gone) and row[0].name not in shown]
    everybody = [*((each, order) for each in live), *others]
    names = await labels.naming(client, _groups(each for each, _ in everybody))
    if isinstance(names, Trouble):
        return names
    account = client.access.account
    changed = [_changed(account, each, names, when, origin) for each, when in everybody]
    return [*changed, *(_deleted(account, row, origin) for row in looked if isinstance(row, Gone))]


def _changed(account: str, each: Person, names: Mapping[str, str], order: Order, origin: Origin) -> Reading:
    seen = each.seen(names, order)
    event = ContactChanged(
        account=account,
        contact_id=seen.contact_id,
        order=seen.order,
        origin=origin,
        contact=seen.contact,
        object=seen.object,
    )
    return Reading(id=seen.contact_id, event=event, time=seen.order.end)


def _deleted(account: str, gone: Gone, origin: Origin) -> Reading:
    event = ContactDeleted(account=account, contact_id=gone.contact_id, order=gone.order, origin=origin)
    return Reading(id=gone.contact_id, event=event, time=gone.order.end)


def _groups(people: Iterable[Person]) -> set[str]:
    return {group for each in people for group in each.groups}


def _metadata(row: Json) -> dict[str, Any]:
    found = row.get("metadata")
    return found if isinstance(found, dict) else {}
