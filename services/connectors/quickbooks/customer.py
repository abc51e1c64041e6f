"""A Customer of the API, read as a contact."""

import re
from typing import Any

import msgspec

from services.connectors.quickbooks import country, mark
from services.connectors.quickbooks.name import shown
from services.contracts.app import Gone, Seen
from services.contracts.contact import Address, Contact, Fields, Order, PersonName, Values
from services.contracts.receipts import Observation

Json = dict[str, Any]

ID = re.compile(r"[0-9]{1,20}\Z", re.ASCII)
PARTS = {"prefix": "Title", "given": "GivenName", "middle": "MiddleName", "family": "FamilyName", "suffix": "Suffix"}
PHONES = ("PrimaryPhone", "Mobile", "AlternatePhone", "Fax")
ADDRESSES = ("BillAddr", "ShipAddr")
LINES = ("Line1", "Line2", "Line3", "Line4", "Line5")
ANY_TIME = Order(0, 2**53)
"""The order of an absence without a version: it overlaps every version, so whatever else is seen has it looked at."""

_TOKEN = re.compile(r"[0-9]{1,15}\Z", re.ASCII)
_SEPARATOR = re.compile(r"[,;]")


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as the API shows it."""

    id: str
    version: int
    """The SyncToken: it rises with every change."""
    raw: Json

    @property
    def active(self) -> bool:
        """Whether people still see it; making it inactive is how customers are deleted."""
        return self.raw.get("Active") is not False

    @property
    def order(self) -> Order:
        """Its place among the versions of this customer."""
        return Order(self.version, self.version)

    @property
    def guard(self) -> str:
        """The SyncToken to write under."""
        return str(self.version)

    @property
    def mark(self) -> str | None:
        """The id of the link whose create made it."""
        return mark.of(text(self.raw, "Notes"))

    @property
    def object(self) -> msgspec.Raw:
        """The app's own object, in one spelling whatever order the API chose."""
        return msgspec.Raw(msgspec.json.encode(self.raw, order="sorted"))

    def contact(self) -> Contact:
        """The customer as a contact."""
        return Contact(fields=fields(self.raw), mark=self.mark, guard=self.guard)

    def seen(self) -> Seen | Gone:
        """The customer as a look saw it."""
        if not self.active:
            return Gone(contact_id=self.id, order=self.order)
        return Seen(contact_id=self.id, order=self.order, contact=self.contact(), object=self.object)

    def observation(self) -> Observation:
        """The customer as the answer to a write showed it."""
        return Observation(contact_id=self.id, order=self.order, contact=self.contact(), object=self.object)


def customer(raw: Any) -> Customer | None:
    """Read a customer; None for what isn't one, or has no version (what the change feed says of deleted ones)."""
    if not isinstance(raw, dict):
        return None
    ident, token = raw.get("Id"), raw.get("SyncToken")
    if not isinstance(ident, str) or not ID.match(ident) or not isinstance(token, str) or not _TOKEN.match(token):
        return None
    return Customer(id=ident, version=int(token), raw=raw)


def remembered(raw: msgspec.Raw) -> Customer | None:
    """Read the object that came back with a command."""
    try:
        return customer(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fields(raw: Json) -> Fields:
    """Return every field's values."""
    found: Fields = {
        "name": _names(raw),
        "PrimaryEmailAddr": _texts(next(iter(addresses(raw)), "")),
        "CompanyName": _texts(text(raw, "CompanyName")),
        "WebAddr": _texts(inner(raw, "WebAddr", "URI")),
        "Notes": _texts(mark.without(text(raw, "Notes"))),
    }
    for path in PHONES:
        found[path] = _texts(inner(raw, path, "FreeFormNumber"))
    for path in ADDRESSES:
        place = address(raw.get(path))
        found[path] = (place,) if place != Address() else ()
    return dict(sorted(found.items()))


def addresses(raw: Json) -> list[str]:
    """Return the e-mail addresses: QuickBooks takes several in one field, and sends invoices to all of them."""
    return [part for each in _SEPARATOR.split(inner(raw, "PrimaryEmailAddr", "Address")) if (part := each.strip())]


def name(raw: Json) -> PersonName:
    """Return the name in parts, and what the customer is called."""
    parts = {part: text(raw, key) for part, key in PARTS.items()}
    return PersonName(**parts, full=shown(text(raw, "DisplayName"), ours=mark.of(text(raw, "Notes")) is not None))


def is_called_otherwise(raw: Json) -> bool:
    """Whether a customer without a name is called by its e-mail address instead, or by us by its company.

    A company that people made is called by its name all the same: in other apps that is where it belongs.
    """
    ours = mark.of(text(raw, "Notes")) is not None
    told = {next(iter(addresses(raw)), "").casefold(), text(raw, "CompanyName").casefold() if ours else ""} - {""}
    return not any(text(raw, key) for key in PARTS.values()) and name(raw).full.casefold() in told


def address(raw: Any) -> Address:
    """Read an address; all lines after the first are the second."""
    if not isinstance(raw, dict):
        return Address()
    lines = [line for key in LINES if (line := text(raw, key))]
    return Address(
        line1=lines[0] if lines else "",
        line2=", ".join(lines[1:]),
        city=text(raw, "City"),
        state=text(raw, "CountrySubDivisionCode"),
        postal_code=text(raw, "PostalCode"),
        country=country.code(text(raw, "Country")),
    )


def text(raw: Json, key: str) -> str:
    """Return a text of the object, without outer blanks; empty if it has none."""
    value = raw.get(key)
    return value.strip() if isinstance(value, str) else ""


def inner(raw: Json, key: str, part: str) -> str:
    """Return a text of an object in the object."""
    value = raw.get(key)
    return text(value, part) if isinstance(value, dict) else ""


def _names(raw: Json) -> Values:
    found = name(raw)
    return () if found == PersonName() or is_called_otherwise(raw) else (found,)


def _texts(value: str) -> Values:
    return (value,) if value else ()
