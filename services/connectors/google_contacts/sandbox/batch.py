"""Batches: many people in one request, each with a status of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.connectors.google_contacts.sandbox.person import People, shown
from services.connectors.google_contacts.sandbox.refusal import ApiError, Json
from services.connectors.google_contacts.sandbox.shape import read_mask

MOST_READ = 200
MOST_CREATED = 200
MOST_UPDATED = 200
MOST_DELETED = 500


class Batch:
    """The batch methods over an account's contacts."""

    def __init__(self, people: People) -> None:
        self._people = people

    def get(self, names: Sequence[str], query: Mapping[str, str]) -> Json:
        """people.getBatchGet."""
        fields = read_mask(query.get("personFields", ""))
        _limit(names, MOST_READ)
        return {"responses": [self._read(name, fields) for name in names]}

    def create(self, given: Json) -> Json:
        """people.batchCreateContacts."""
        contacts = given.get("contacts", [])
        _limit(contacts, MOST_CREATED)
        fields = _mask(given)
        made = [self._people.create(each.get("contactPerson")) for each in contacts]
        return {"createdPeople": [self._row(person, fields) for person in made]} if fields else {}

    def update(self, given: Json) -> Json:
        """people.batchUpdateContacts."""
        contacts: dict[str, Any] = given.get("contacts", {})
        _limit(contacts, MOST_UPDATED)
        fields = _mask(given)
        answer = {}
        for name, person in contacts.items():
            try:
                row = self._row(self._people.update(name, person, given.get("updateMask", "")), fields)
            except ApiError as error:
                row = _failed(name, error)
            answer[name] = row
        return {"updateResult": answer} if fields else {}

    def delete(self, given: Json) -> Json:
        """people.batchDeleteContacts."""
        names = given.get("resourceNames", [])
        _limit(names, MOST_DELETED)
        for name in names:
            self._people.delete(name)
        return {}

    def _read(self, name: str, fields: frozenset[str]) -> Json:
        try:
            return {**self._row(self._people.get(name), fields), "requestedResourceName": name}
        except ApiError as error:
            return _failed(name, error)

    def _row(self, person: Json, fields: frozenset[str]) -> Json:
        name = person["resourceName"]
        return {
            "httpStatusCode": 200,
            "requestedResourceName": name,
            "person": shown(person, fields),
            "status": {},
        }


def _mask(given: Json) -> frozenset[str]:
    text = given.get("readMask", "")
    return read_mask(text, "readMask") if text else frozenset()


def _limit(many: Sequence[Any] | Mapping[str, Any], most: int) -> None:
    if not many:
        raise ApiError("Request must have at least one entry.")
    if len(many) > most:
        raise ApiError(f"A batch has at most {most} entries.")


def _failed(name: str, error: ApiError) -> Json:
    code = {404: 5, 400: 9}.get(error.code, 2)
    return {
        "httpStatusCode": error.code,
        "requestedResourceName": name,
        "status": {"code": code, "message": error.message},
    }
