"""searchContacts: by the beginnings of words, on a cache that a warm-up request fills."""

from collections.abc import Mapping

from services.connectors.google_contacts.sandbox.person import People, shown
from services.connectors.google_contacts.sandbox.refusal import Json
from services.connectors.google_contacts.sandbox.shape import read_mask

MOST = 30
_TEXTS = {
    "names": ("displayName", "givenName", "familyName"),
    "nicknames": ("value",),
    "emailAddresses": ("value",),
    "phoneNumbers": ("value",),
    "organizations": ("name", "title"),
}


class Search:
    """What a search sees: the contacts that lists showed when the cache was last warmed."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._view = 0

    def find(self, params: Mapping[str, str]) -> Json:
        """Answer one searchContacts; an empty query warms the cache and finds nothing. Raises ApiError."""
        fields = read_mask(params.get("readMask", ""), "readMask")
        query = params.get("query", "").strip().casefold()
        if not query:
            self._view = self._people.now_visible()
            return {}
        given = params.get("pageSize", "")
        size = min(MOST, int(given) or 10) if given.isdigit() else 10
        live = (state.person for state in self._people.at(self._view) if state.person is not None)
        found = [person for person in live if person.get("memberships") and _matches(person, query)]
        return {"results": [{"person": shown(person, fields)} for person in found[:size]]} if found else {}


def _matches(person: Json, query: str) -> bool:
    texts = (
        str(value.get(key, "")).casefold()
        for field, keys in _TEXTS.items()
        for value in person.get(field, [])
        for key in keys
    )
    return any(text.startswith(query) or f" {query}" in text for text in texts)
