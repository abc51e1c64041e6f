"""The methods of people v1 that are here, by HTTP method and path."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.connectors.google_contacts.sandbox.batch import Batch
from services.connectors.google_contacts.sandbox.feed import Feed
from services.connectors.google_contacts.sandbox.group import FIELDS, Groups
from services.connectors.google_contacts.sandbox.person import People, shown
from services.connectors.google_contacts.sandbox.refusal import ApiError, Json, not_found
from services.connectors.google_contacts.sandbox.search import Search
from services.connectors.google_contacts.sandbox.shape import READABLE, mask, read_mask

Query = Mapping[str, str]


@dataclass(frozen=True)
class Call:
    """One request of an account: the id in its path, the query, repeated names in it, and the body."""

    name: str
    query: Query
    names: Sequence[str]
    body: Any

    @property
    def given(self) -> Json:
        """The body as an object. Raises ApiError."""
        if not isinstance(self.body, dict):
            raise ApiError("Invalid JSON payload received: an object is expected.")
        return self.body


@dataclass(frozen=True)
class Route:
    """One method: what it answers, what it counts against, and whether it changes anything."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[["Shelves", Call], Json]
    quotas: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether the requests of one user have to come one after the other."""
        return "write" in self.quotas

    def match(self, method: str, path: str) -> str | None:
        """The id in the path, empty where it has none; None if this isn't the route."""
        found = self.pattern.fullmatch(path) if method == self.method else None
        return None if found is None else "".join(found.groups())


@dataclass(frozen=True)
class Shelves:
    """What one account holds."""

    people: People
    groups: Groups
    feed: Feed
    search: Search
    batch: Batch


def _answer_mask(query: Query) -> frozenset[str]:
    given = query.get("personFields", "")
    return read_mask(given) if given else READABLE


def _create(shelves: Shelves, call: Call) -> Json:
    fields = _answer_mask(call.query)
    return shown(shelves.people.create(call.given), fields)


def _update(shelves: Shelves, call: Call) -> Json:
    fields = _answer_mask(call.query)
    return shown(shelves.people.update(call.name, call.given, call.query.get("updatePersonFields", "")), fields)


def _delete(shelves: Shelves, call: Call) -> Json:
    shelves.people.delete(call.name)
    return {}


def _get(shelves: Shelves, call: Call) -> Json:
    fields = read_mask(call.query.get("personFields", ""))
    return shown(shelves.people.get(call.name), fields)


def _list(shelves: Shelves, call: Call) -> Json:
    return shelves.feed.list(call.query)


def _groups(shelves: Shelves, call: Call) -> Json:
    fields = call.query.get("groupFields", "")
    wanted = mask(fields, "groupFields", FIELDS) if fields else FIELDS - {"clientData"}
    size = int(call.query.get("pageSize") or 30)
    if not 1 <= size <= 1000:
        raise ApiError("Invalid pageSize: it must be between 1 and 1000.")
    offset = int(call.query.get("pageToken") or 0)
    everything = shelves.groups.all()
    always = {"resourceName", "etag", "formattedName"}
    rows = [{key: value for key, value in group.items() if key in wanted | always} for group in everything]
    answer: Json = {"contactGroups": rows[offset : offset + size], "totalItems": len(rows)}
    if offset + size < len(rows):
        answer["nextPageToken"] = str(offset + size)
    return answer


def _group(shelves: Shelves, call: Call) -> Json:
    return dict(shelves.groups.get(call.name))


def _create_group(shelves: Shelves, call: Call) -> Json:
    return dict(shelves.groups.create(str((call.given.get("contactGroup") or {}).get("name", ""))))


def _modify(shelves: Shelves, call: Call) -> Json:
    add = [str(name) for name in call.given.get("resourceNamesToAdd", [])]
    remove = [str(name) for name in call.given.get("resourceNamesToRemove", [])]
    shelves.groups.check_additions(call.name, add, remove)
    live = {person["resourceName"] for person in shelves.people.live()}
    missing = [name for name in (*add, *remove) if name not in live]
    for name in add:
        if name in live:
            shelves.people.join(name, call.name)
    stuck = [name for name in remove if name in live and not shelves.people.leave(name, call.name)]
    answer: Json = {}
    if missing:
        answer["notFoundResourceNames"] = missing
    if stuck:
        answer["canNotRemoveLastContactGroupResourceNames"] = stuck
    return answer


def _route(method: str, path: str, answer: Callable[[Shelves, Call], Json], *quotas: str) -> Route:
    pattern = path.replace("{person}", "(people/c[0-9]+)").replace("{group}", "(contactGroups/[A-Za-z0-9]+)")
    return Route(method, re.compile(f"/v1/{pattern}"), answer, quotas)


_READ = ("critical_read",)
_WRITE = ("write", "critical_read")
ROUTES = (
    _route("GET", "people/me/connections", _list, *_READ),
    _route("GET", "people:searchContacts", lambda s, c: s.search.find(c.query), *_READ),
    _route("GET", "people:batchGet", lambda s, c: s.batch.get(c.names, c.query), *_READ),
    _route("GET", "{person}", _get, *_READ),
    _route("POST", "people:createContact", _create, *_WRITE),
    _route("PATCH", "{person}:updateContact", _update, *_WRITE),
    _route("DELETE", "{person}:deleteContact", _delete, "write"),
    _route("POST", "people:batchCreateContacts", lambda s, c: s.batch.create(c.given), *_WRITE),
    _route("POST", "people:batchUpdateContacts", lambda s, c: s.batch.update(c.given), *_WRITE),
    _route("POST", "people:batchDeleteContacts", lambda s, c: s.batch.delete(c.given), "write"),
    _route("GET", "contactGroups", _groups, *_READ),
    _route("POST", "contactGroups", _create_group, "write"),
    _route("GET", "{group}", _group, *_READ),
    _route("POST", "{group}/members:modify", _modify, "write"),
)


def find(method: str, path: str) -> tuple[Route, str]:
    """The route of a request and the id in its path. Raises ApiError 404."""
    for route in ROUTES:
        found = route.match(method, path)
        if found is not None:
            return route, found
    raise not_found()
