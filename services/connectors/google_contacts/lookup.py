"""Reading contacts: one, several, those with an address, the one with our mark."""

import unicodedata
from collections.abc import Sequence

import msgspec

from services.connectors.google_contacts.client import Answer, Client, Failure
from services.connectors.google_contacts.label import Labels
from services.connectors.google_contacts.manifest import VISIBLE_AFTER
from services.connectors.google_contacts.person import MASK, NAME, READ, Json, Person, person, values
from services.contracts.app import Gone, Seen, Trouble
from services.contracts.contact import Order

BATCH = 200
"""Most names of one getBatchGet (discovery document)."""
WARM = 10.0
"""Seconds after which the search's cache is warmed again, as a find counts for so long; each warming is a request."""
_FOUND = 30
"""Most results of a search (discovery document)."""
_CLOCKS_APART = 300_000_000
"""Microseconds by which Google's clock and ours may differ."""
_PAGES = 100
_NOT_FOUND = 5
"""google.rpc.Code.NOT_FOUND"""
_SOURCE = {"sources": "READ_SOURCE_TYPE_CONTACT"}


class _Status(msgspec.Struct, frozen=True):
    code: int = 0


class _Row(msgspec.Struct, frozen=True, rename="camel"):
    requested_resource_name: str = ""
    http_status_code: int = 0
    person: Json | None = None
    status: _Status = _Status()


class _Batch(msgspec.Struct, frozen=True):
    responses: tuple[_Row, ...] = ()


class _Result(msgspec.Struct, frozen=True):
    person: Json | None = None


class _Results(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...] = ()


class _Listed(msgspec.Struct, frozen=True, rename="camel"):
    connections: tuple[Json, ...] = ()
    next_page_token: str = ""


class Recent:
    """What this process wrote and searches may not show yet, and when it last warmed their cache; per account."""

    def __init__(self) -> None:
        self._written: dict[str, dict[str, float]] = {}
        self._warmed: dict[str, float] = {}

    def wrote(self, client: Client, contact_id: str) -> None:
        """Remember a contact that was made or changed."""
        rows = self._written.setdefault(_account(client), {})
        rows.pop(contact_id, None)
        rows[contact_id] = client.access.clock.monotonic()
        self._forget_old(client, rows)

    def written(self, client: Client) -> list[str]:
        """The contacts written so lately that a search may not show them, newest first, as many as a batch reads."""
        rows = self._written.get(_account(client), {})
        self._forget_old(client, rows)
        return list(reversed(rows))[:BATCH]

    def warm(self, client: Client) -> bool:
        """Whether the cache has to be warmed now."""
        now = client.access.clock.monotonic()
        return now - self._warmed.get(_account(client), -WARM) >= WARM

    def warmed(self, client: Client) -> None:
        """Remember that it was."""
        self._warmed[_account(client)] = client.access.clock.monotonic()

    def _forget_old(self, client: Client, rows: dict[str, float]) -> None:
        oldest = client.access.clock.monotonic() - VISIBLE_AFTER
        for contact_id in [key for key, at in rows.items() if at < oldest]:
            del rows[contact_id]


async def look(client: Client, contact_id: str) -> tuple[Person, Order] | Gone | Trouble:
    """Read one contact. One that has no contact's data any more (only a profile is left) is gone."""
    if not NAME.match(contact_id):
        return Trouble(key="no_contact_id", detail="This isn't the name of a contact in Google Contacts.")
    answer = await client.get(contact_id, READ)
    match answer:
        case Trouble():
            return answer
        case Failure() if answer.problem.key == 404:
            return Gone(contact_id=contact_id, order=answer.order)
        case Failure():
            return answer.trouble()
        case Answer():
            raw = answer.decoded(Json)
    if isinstance(raw, Trouble):
        return raw
    found = person(raw)
    return Gone(contact_id=contact_id, order=answer.order) if found is None else (found, answer.order)


async def several(client: Client, names: Sequence[str]) -> list[tuple[Person, Order] | Gone] | Trouble:
    """Read many contacts. One that answers under another name is gone under the old one, and there under the new."""
    found: list[tuple[Person, Order] | Gone] = []
    for start in range(0, len(names), BATCH):
        chunk = names[start : start + BATCH]
        answer = await client.get("people:batchGet", {**READ, "resourceNames": chunk})
        if isinstance(answer, Failure):
            return answer.trouble()
        batch = answer if isinstance(answer, Trouble) else answer.decoded(_Batch)
        if isinstance(batch, Trouble) or isinstance(answer, Trouble):
            return batch if isinstance(batch, Trouble) else _unread()
        rows = {row.requested_resource_name: row for row in batch.responses}
        for name in chunk:
            row = rows.get(name)
            read = person(row.person) if row is not None else None
            if row is None or not (row.person or row.http_status_code == 404 or row.status.code == _NOT_FOUND):
                return _unread()
            if read is None or read.name != name:
                found.append(Gone(contact_id=name, order=answer.order))
            if read is not None and read.name not in rows.keys() - {name}:
                found.append((read, answer.order))
    return found


async def find(client: Client, labels: Labels, recent: Recent, address: str) -> tuple[Seen, ...] | Trouble:
    """Return the contacts that have an e-mail address: what a search shows, and what we wrote a moment ago."""
    hits = await search(client, recent, address)
    if isinstance(hits, Trouble):
        return hits
    known = {each.name for each, _ in hits}
    lately = await several(client, [name for name in recent.written(client) if name not in known])
    if isinstance(lately, Trouble):
        return lately
    people = {each.name: (each, order) for each, order in [*hits, *(row for row in lately if isinstance(row, tuple))]}
    having = [(each, order) for each, order in people.values() if _normal(address) in _addresses(each)]
    names = await labels.naming(client, {group for each, _ in having for group in each.groups})
    return names if isinstance(names, Trouble) else tuple(each.seen(names, order) for each, order in having)


async def search(client: Client, recent: Recent, query: str) -> list[tuple[Person, Order]] | Trouble:
    """Return what a search shows; an empty query goes before it, which fills the search's cache."""
    if recent.warm(client):
        warming = await client.get("people:searchContacts", {"query": "", "readMask": MASK, **_SOURCE})
        if not isinstance(warming, Answer):
            return warming.trouble() if isinstance(warming, Failure) else warming
        recent.warmed(client)
    params = {"query": query, "readMask": MASK, "pageSize": str(_FOUND), **_SOURCE}
    answer = await client.get("people:searchContacts", params)
    if not isinstance(answer, Answer):
        return answer.trouble() if isinstance(answer, Failure) else answer
    found = answer.decoded(_Results)
    if isinstance(found, Trouble):
        return found
    people = (person(row.person) for row in found.results)
    return [(each, answer.order) for each in people if each is not None]


async def by_mark(client: Client, link: str, since: int | None) -> tuple[Person, Order] | Trouble | None:
    """Return the contact that a link's create made, by what was changed last.

    Goes back to `since` (microseconds since 1970), or over one page if that is None.
    """
    token = ""
    for _ in range(_PAGES if since is not None else 1):
        params = {**READ, "pageSize": "200", "sortOrder": "LAST_MODIFIED_DESCENDING"}
        answer = await client.get("people/me/connections", {**params, **({"pageToken": token} if token else {})})
        if not isinstance(answer, Answer):
            return answer.trouble() if isinstance(answer, Failure) else answer
        page = answer.decoded(_Listed)
        if isinstance(page, Trouble):
            return page
        people = [found for row in page.connections if (found := person(row)) is not None]
        ours = next((each for each in people if each.mark() == link), None)
        if ours is not None:
            return ours, answer.order
        oldest = min((each.order(answer.order).start for each in people), default=None)
        token = page.next_page_token
        if not token or (since is not None and oldest is not None and oldest < since - _CLOCKS_APART):
            break
    return None


def _addresses(each: Person) -> set[str]:
    return {_normal(str(row.get("value", ""))) for row in values(each.raw, "emailAddresses")}


def _normal(address: str) -> str:
    return unicodedata.normalize("NFC", address).strip().casefold()


def _account(client: Client) -> str:
    return f"{client.access.account} {client.access.settings.get('api_base', '')}"


def _unread() -> Trouble:
    return Trouble(key="unreadable_answer", detail="Google's answer doesn't say what became of each contact asked for.")
