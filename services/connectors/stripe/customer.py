"""Stripe's customer object, read as a contact."""

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from services.connectors.stripe.manifest import MARK, METADATA, TAGS
from services.connectors.stripe.subscription import StripeSubscriptions
from services.contracts.app import Seen
from services.contracts.contact import Address, Contact, Fields, Order, Values
from services.contracts.receipts import Observation

TEXTS = ("name", "email", "phone", "description", "business_name")
_NOWHERE = Address()
PARTS = ("line1", "line2", "city", "state", "postal_code", "country")


class StripeAddress(msgspec.Struct, frozen=True):
    """An address as Stripe writes it; an empty part is null or the empty text."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


class Customer(msgspec.Struct, frozen=True):
    """The parts of a customer that contactsync reads; anything may be missing but the id."""

    id: str
    object: str = "customer"
    deleted: bool = False
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    description: str | None = None
    business_name: str | None = None
    address: StripeAddress | str | None = None
    metadata: dict[str, str | None] | str | None = None
    subscriptions: StripeSubscriptions | None = None

    def fields(self) -> Fields:
        """The values by path. Metadata keys that hold a tag or the mark are no fields."""
        return self._fields(self.keys())

    def _fields(self, keys: dict[str, str]) -> Fields:
        fields: Fields = {
            "name": text(self.name),
            "email": text(self.email),
            "phone": text(self.phone),
            "description": text(self.description),
            "business_name": text(self.business_name),
            "address": address(self.address),
        }
        for key in sorted(keys):
            if key != MARK and key not in TAGS:
                fields[METADATA + key] = (keys[key],)
        return fields

    def keys(self) -> dict[str, str]:
        """The metadata; keys with an empty value count as absent."""
        given = self.metadata if isinstance(self.metadata, dict) else {}
        return {key: value for key, value in given.items() if value}

    def contact(self) -> Contact:
        """The customer as a contact."""
        keys = self.keys()
        tags = tuple(sorted(tag for tag in TAGS if tag in keys))
        return Contact(fields=self._fields(keys), tags=tags, mark=keys.get(MARK))


_DECODER = msgspec.json.Decoder(Customer)


def customer(raw: msgspec.Raw | bytes) -> Customer | None:
    """Read a customer, whole or only its tombstone; None if it isn't one."""
    try:
        found = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.id and found.object == "customer" else None


def seen(found: Customer, raw: msgspec.Raw, order: Order) -> Seen:
    """A customer as a look saw it; a truncated list of subscriptions counts as none."""
    return Seen(
        contact_id=found.id,
        order=order,
        contact=found.contact(),
        object=raw.copy(),
        subscriptions=found.subscriptions.all() if found.subscriptions else None,
    )


def observation(found: Customer, raw: msgspec.Raw, order: Order) -> Observation:
    """A customer as the answer to a write showed it."""
    return Observation(contact_id=found.id, order=order, contact=found.contact(), object=raw.copy())


def text(value: str | None) -> Values:
    """A text's values: none if it is empty."""
    return (value,) if value else ()


def address(value: StripeAddress | str | None) -> Values:
    """An address's values: none if all of its parts are empty."""
    if not isinstance(value, StripeAddress):
        return ()
    found = Address(
        line1=value.line1 or "",
        line2=value.line2 or "",
        city=value.city or "",
        state=value.state or "",
        postal_code=value.postal_code or "",
        country=value.country or "",
    )
    return () if found == _NOWHERE else (found,)


class _PriorAddress(msgspec.Struct, frozen=True):
    """The parts of an address that `previous_attributes` shows."""

    line1: str | UnsetType | None = UNSET
    line2: str | UnsetType | None = UNSET
    city: str | UnsetType | None = UNSET
    state: str | UnsetType | None = UNSET
    postal_code: str | UnsetType | None = UNSET
    country: str | UnsetType | None = UNSET


class _Prior(msgspec.Struct, frozen=True):
    """The parts of a customer that `previous_attributes` may show."""

    name: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    phone: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    business_name: str | UnsetType | None = UNSET
    address: _PriorAddress | str | UnsetType | None = UNSET
    metadata: dict[str, str | None] | str | UnsetType | None = UNSET


_PRIOR = msgspec.json.Decoder(_Prior)


def prior(raw: msgspec.Raw, now: Customer) -> Fields:
    """The values that `previous_attributes` says stood before a change that led to `now`, by path.

    A metadata key that was absent is `()`. Should an address show only the parts that changed, the others are
    those of `now`.
    """
    try:
        old = _PRIOR.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    fields: Fields = {}
    for path in TEXTS:
        value = getattr(old, path)
        if value is not UNSET:
            fields[path] = text(value)
    if old.address is not UNSET:
        fields["address"] = address(_whole(old.address, now))
    if isinstance(old.metadata, dict):
        for key in sorted(old.metadata):
            if key != MARK and key not in TAGS:
                fields[METADATA + key] = text(old.metadata[key])
    return fields


def _whole(before: _PriorAddress | str | None, now: Customer) -> StripeAddress | str | None:
    if not isinstance(before, _PriorAddress):
        return before
    shown = {part: value for part in PARTS if (value := getattr(before, part)) is not UNSET}
    return replace(now.address if isinstance(now.address, StripeAddress) else StripeAddress(), **shown)
