"""A person of the People API, read as a contact."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services.connectors.google_contacts.manifest import CUSTOM, MARK
from services.contracts.app import Seen
from services.contracts.contact import Address, Contact, Fields, Order, PersonName, Value, Values
from services.contracts.receipts import Observation

Json = dict[str, Any]

MASK = (
    "addresses,biographies,clientData,emailAddresses,memberships,metadata,names,organizations,phoneNumbers,userDefined"
)
"""What is read of every person."""
READ = {"personFields": MASK, "sources": "READ_SOURCE_TYPE_CONTACT"}
NAME = re.compile(r"people/[A-Za-z0-9_-]{1,200}\Z")
PARTS: Mapping[str, str] = {
    "prefix": "honorificPrefix",
    "given": "givenName",
    "middle": "middleName",
    "family": "familyName",
    "suffix": "honorificSuffix",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """A person as the API shows it, and as which contact."""

    name: str
    """Its resource name: the contact's id."""
    raw: Json
    source: Json
    """The CONTACT source: its id, etag and time of change."""

    def order(self, answer: Order) -> Order:
        """When this state came about, by Google's clock; the answer's own time where it doesn't say."""
        told = self.source.get("updateTime")
        try:
            moment = msgspec.convert(told, datetime)
        except msgspec.ValidationError:
            return answer
        if moment.tzinfo is None:
            return answer
        point = (moment - _EPOCH) // timedelta(microseconds=1)
        return Order(point, point)

    @property
    def guard(self) -> str | None:
        """The etag to write under."""
        return _text(self.source.get("etag")) or None

    @property
    def groups(self) -> frozenset[str]:
        """The resource names of the groups that it is in."""
        inside = (each.get("contactGroupMembership") for each in values(self.raw, "memberships"))
        names = (_text(each.get("contactGroupResourceName")) for each in inside if isinstance(each, dict))
        return frozenset(name for name in names if name)

    def contact(self, labels: Mapping[str, str]) -> Contact:
        """The person as a contact; `labels` names its groups, those that aren't labels by nothing."""
        tags = {labels.get(group, "") for group in self.groups} - {""}
        return Contact(fields=fields(self.raw), tags=tuple(sorted(tags)), mark=self.mark(), guard=self.guard)

    def mark(self) -> str | None:
        """The id of the link whose create made it."""
        return next((value for value in client_data(self.raw, MARK)), None)

    def seen(self, labels: Mapping[str, str], answer: Order) -> Seen:
        """The person as a look saw it."""
        return Seen(contact_id=self.name, order=self.order(answer), contact=self.contact(labels), object=self.object)

    def observation(self, labels: Mapping[str, str], answer: Order) -> Observation:
        """The person as the answer to a write showed it."""
        return Observation(
            contact_id=self.name, order=self.order(answer), contact=self.contact(labels), object=self.object
        )

    @property
    def object(self) -> msgspec.Raw:
        """The app's own object, in one spelling whatever order the API chose."""
        return msgspec.Raw(msgspec.json.encode(self.raw, order="sorted"))


def person(raw: Any) -> Person | None:
    """Read a person; None for one without a name or without data of a contact (a profile, a tombstone)."""
    if not isinstance(raw, dict) or not NAME.match(_text(raw.get("resourceName"))):
        return None
    metadata = raw.get("metadata")
    sources = metadata.get("sources") if isinstance(metadata, dict) else None
    own = [each for each in sources or () if isinstance(each, dict) and each.get("type") == "CONTACT"]
    return Person(name=raw["resourceName"], raw=raw, source=own[0]) if own else None


def remembered(raw: msgspec.Raw) -> Person | None:
    """Read the object that came back with a command."""
    try:
        return person(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fields(raw: Json) -> Fields:
    """Return every field's values, primary first."""
    organization = next(iter(values(raw, "organizations")), {})
    found: Fields = {
        "name": _names(raw),
        "emailAddresses": _texts(_text(each.get("value")) for each in values(raw, "emailAddresses")),
        "phoneNumbers": _texts(_text(each.get("value")) for each in values(raw, "phoneNumbers")),
        "addresses": tuple(dict.fromkeys(a for each in values(raw, "addresses") if (a := address(each)) != Address())),
        "company": _texts([_text(organization.get("name"))]),
        "job_title": _texts([_text(organization.get("title"))]),
        "note": _texts([_text(each.get("value")) for each in values(raw, "biographies")][:1]),
    }
    for each in values(raw, "userDefined"):
        key, value = _text(each.get("key")), _text(each.get("value"))
        if key and value:
            found[CUSTOM + key] = (*found.get(CUSTOM + key, ()), value)
    return dict(sorted(found.items()))


def values(raw: Json, field: str) -> list[Json]:
    """Return the contact's own values of a field of the API, the primary one first."""
    given = raw.get(field)
    found = given if isinstance(given, list) else ()
    own = [each for each in found if isinstance(each, dict) and _origin(each) == "CONTACT"]
    return sorted(own, key=lambda each: not _is_primary(each))


def address(value: Json) -> Address:
    """Read an address; the street's further lines and the extended address are the second line."""
    street = _text(value.get("streetAddress"))
    lines = [line.strip() for line in street.split("\n") if line.strip()]
    lines += [line for key in ("extendedAddress", "poBox") if (line := _text(value.get(key)))]
    return Address(
        line1=lines[0] if lines else "",
        line2=", ".join(lines[1:]),
        city=_text(value.get("city")),
        state=_text(value.get("region")),
        postal_code=_text(value.get("postalCode")),
        country=_text(value.get("countryCode")).upper() or _text(value.get("country")),
    )


def client_data(raw: Json, key: str) -> list[str]:
    """Return the values of one clientData key."""
    return [_text(each.get("value")) for each in values(raw, "clientData") if each.get("key") == key]


def _names(raw: Json) -> tuple[Value, ...]:
    name = next(iter(values(raw, "names")), {})
    parts = {part: _text(name.get(key)) for part, key in PARTS.items()}
    full = _text(name.get("displayName")) or _text(name.get("unstructuredName"))
    return (PersonName(**parts, full=full),) if full or any(parts.values()) else ()


def _origin(value: Json) -> str:
    metadata = value.get("metadata")
    source = metadata.get("source") if isinstance(metadata, dict) else None
    return _text(source.get("type")) or "CONTACT" if isinstance(source, dict) else "CONTACT"


def _is_primary(value: Json) -> bool:
    metadata = value.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("sourcePrimary") or metadata.get("primary"))


def _texts(texts: Iterable[str]) -> Values:
    return tuple(dict.fromkeys(text for text in texts if text))


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
