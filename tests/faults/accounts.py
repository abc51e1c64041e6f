"""Accounts as people use them: they look at a contact, change it, delete it, bring it back. One kind per app."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.connectors.google_contacts.lookup import WARM
from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.group import FRESH
from services.connectors.quickbooks.sandbox import QuickBooksSandbox
from services.connectors.stripe.sandbox import StripeSandbox
from tests.faults.account import TRASH, Account, Looked, Row
from tests.faults.book import Book
from tests.faults.model import numbers_in

__all__ = ["TRASH", "Account", "Book", "Books", "Looked", "Office", "Row", "Shop"]


class Shop:
    """A Stripe account."""

    _KEYS = {"name": "name", "phone": "phone", "note": "description", "company": "business_name"}  # noqa: RUF012

    def __init__(self, name: str, sandbox: StripeSandbox) -> None:
        self.name = name
        self.sandbox = sandbox

    async def everybody(self) -> Sequence[Row]:
        return [self._row(body) for body in self.sandbox.customers.values() if not body.get("deleted")]

    async def make(self, email: str, fields: Mapping[str, str]) -> None:
        self.sandbox.dashboard.create(email=email, **{self._KEYS[key]: value for key, value in fields.items()})

    async def edit(self, email: str, fields: Mapping[str, str], looked: Looked) -> bool:
        body = self._find(email)
        if body is None:
            return False
        looked(self._row(body).fields)
        self.sandbox.dashboard.update(body["id"], **{self._KEYS[key]: value for key, value in fields.items()})
        return True

    async def delete(self, email: str) -> bool:
        body = self._find(email)
        if body is not None:
            self.sandbox.dashboard.delete(body["id"])
        return body is not None

    async def bring_back(self, email: str) -> bool:
        return False

    def writes(self) -> int:
        return sum(each.executed and each.method != "GET" for each in self.sandbox.requests)

    def deletions(self) -> int:
        return len(self.sandbox.requests.to("DELETE", "/v1/customers*"))

    def carried(self) -> set[int]:
        return set().union(*(numbers_in(str(each.params).encode()) for each in self.sandbox.requests.writes()))

    def _find(self, email: str) -> dict[str, Any] | None:
        for body in self.sandbox.customers.values():
            if not body.get("deleted") and body.get("email") == email:
                found: dict[str, Any] = body
                return found
        return None

    def _row(self, body: dict[str, Any]) -> Row:
        fields = {name: body.get(key) or "" for name, key in self._KEYS.items()}
        return Row(body["id"], body.get("email") or "", fields, TRASH in (body.get("metadata") or {}))


class Office:
    """A Google account."""

    def __init__(self, name: str, sandbox: GoogleSandbox) -> None:
        self.name = name
        self.sandbox = sandbox
        self._gone: dict[str, str] = {}

    async def everybody(self) -> Sequence[Row]:
        return [self._row(person) for person in self.sandbox.hand.everybody()]

    async def make(self, email: str, fields: Mapping[str, str]) -> None:
        self.sandbox.hand.create(email, **_google(fields))

    async def edit(self, email: str, fields: Mapping[str, str], looked: Looked) -> bool:
        person = self._find(email)
        if person is None:
            return False
        looked(self._row(person).fields)
        self.sandbox.hand.update(person["resourceName"], **_google(fields))
        return True

    async def delete(self, email: str) -> bool:
        person = self._find(email)
        if person is None:
            return False
        self._gone[email] = person["resourceName"]
        self.sandbox.hand.delete(person["resourceName"])
        return True

    async def bring_back(self, email: str) -> bool:
        self.sandbox.hand.restore(self._gone[email])
        return True

    def writes(self) -> int:
        return len(self.sandbox.requests.writes())

    def deletions(self) -> int:
        requests = self.sandbox.requests
        return len([each for each in requests if each.method == "DELETE" or "batchDelete" in each.path])

    def carried(self) -> set[int]:
        return set().union(*(numbers_in(each.body) for each in self.sandbox.requests.writes()))

    def was_unseen(self, email: str) -> bool:
        """Whether nothing that contactsync could have asked showed the others with that address before it made its own.

        A search shows what was visible when its cache was last warmed; that and the create may be `WARM` and `FRESH`
        seconds apart, and no more.
        """
        firsts = {
            person["resourceName"]: self.sandbox.people._states[person["resourceName"]][0]
            for person in self.sandbox.hand.everybody()
            if _address(person) == email
        }
        ours = [state for state in firsts.values() if state.person is not None and state.person.get("clientData")]
        others = [state for state in firsts.values() if state not in ours]
        if len(ours) != 1:
            return False
        searches = self.sandbox.requests.to("GET", "*people:searchContacts")
        warmed = [each.at for each in searches if not each.params.get("query") and each.at < ours[0].at]
        asked = max([*warmed, ours[0].at - WARM - FRESH])
        return all(asked < other.visible_at for other in others)

    def _find(self, email: str) -> dict[str, Any] | None:
        return next((person for person in self.sandbox.hand.everybody() if _address(person) == email), None)

    def _row(self, person: dict[str, Any]) -> Row:
        first = {key: (person.get(key) or [{}])[0] for key in ("names", "phoneNumbers", "biographies", "organizations")}
        fields = {
            "name": first["names"].get("displayName", ""),
            "phone": first["phoneNumbers"].get("value", ""),
            "note": first["biographies"].get("value", ""),
            "company": first["organizations"].get("name", ""),
        }
        return Row(person["resourceName"], _address(person), fields, TRASH in self._labels(person))

    def _labels(self, person: dict[str, Any]) -> list[str]:
        return self.sandbox.hand.labels(person["resourceName"])


def _address(person: dict[str, Any]) -> str:
    return str((person.get("emailAddresses") or [{}])[0].get("value", ""))


def _google(fields: Mapping[str, str]) -> dict[str, Any]:
    """The API's lists for what people say."""
    said: dict[str, Any] = {}
    for name, value in fields.items():
        match name:
            case "name":
                given, _, family = value.partition(" ")
                said["names"] = [{"givenName": given, "familyName": family}]
            case "phone":
                said["phoneNumbers"] = [{"value": value}]
            case "note":
                said["biographies"] = [{"value": value, "contentType": "TEXT_PLAIN"}]
            case _:
                said["organizations"] = [{"name": value}]
    return said


class Books:
    """A company in QuickBooks. Being made inactive is what people take for a deletion."""

    def __init__(self, name: str, sandbox: QuickBooksSandbox) -> None:
        self.name = name
        self.sandbox = sandbox

    async def everybody(self) -> Sequence[Row]:
        return [self._row(body) for body in self.sandbox.hand.everybody() if body.get("Active") is not False]

    async def make(self, email: str, fields: Mapping[str, str]) -> None:
        said = _quickbooks(fields)
        self.sandbox.hand.create(said.pop("DisplayName"), email, **said)

    async def edit(self, email: str, fields: Mapping[str, str], looked: Looked) -> bool:
        body = self._find(email, active=True)
        if body is None:
            return False
        looked(self._row(body).fields)
        self.sandbox.hand.update(body["Id"], **_quickbooks(fields, body.get("Notes", "")))
        return True

    async def delete(self, email: str) -> bool:
        body = self._find(email, active=True)
        if body is not None:
            self.sandbox.hand.deactivate(body["Id"])
        return body is not None

    async def bring_back(self, email: str) -> bool:
        body = self._find(email, active=False)
        if body is not None:
            self.sandbox.hand.reactivate(body["Id"])
        return body is not None

    def writes(self) -> int:
        return len(self.sandbox.requests.writes())

    def deletions(self) -> int:
        return len([each for each in self.sandbox.requests if re.search(rb'"Active":\s*false', each.body)])

    def carried(self) -> set[int]:
        return set().union(*(numbers_in(each.body) for each in self.sandbox.requests.writes()))

    def _find(self, email: str, *, active: bool) -> dict[str, Any] | None:
        for body in self.sandbox.hand.everybody():
            if (body.get("Active") is not False) == active and _mail(body) == email:
                return body
        return None

    def _row(self, body: dict[str, Any]) -> Row:
        fields = {
            "name": " ".join(part for part in (body.get("GivenName", ""), body.get("FamilyName", "")) if part),
            "phone": body.get("PrimaryPhone", {}).get("FreeFormNumber", ""),
            "note": _note(body.get("Notes", "")),
            "company": body.get("CompanyName", ""),
        }
        return Row(body["Id"], _mail(body), fields, tagged=False)


def _mail(body: dict[str, Any]) -> str:
    return str(body.get("PrimaryEmailAddr", {}).get("Address", ""))


def _note(notes: str) -> str:
    """The part of the notes that people wrote: a mark of contactsync's may stand behind it."""
    found = re.search(r"note \d+", notes)
    return found[0] if found else ""


def _quickbooks(fields: Mapping[str, str], notes: str = "") -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, value in fields.items():
        match name:
            case "name":
                given, _, family = value.partition(" ")
                said |= {"GivenName": given, "FamilyName": family, "DisplayName": value}
            case "phone":
                said["PrimaryPhone"] = {"FreeFormNumber": value}
            case "note":
                old = _note(notes)
                said["Notes"] = notes.replace(old, value) if old else f"{value}\n{notes}".strip()
            case _:
                said["CompanyName"] = value
    return said
