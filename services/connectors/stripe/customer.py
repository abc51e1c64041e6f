"""Stripe's customer object, read as a contact."""

from typing import Any

import msgspec

from services.connectors.stripe.manifest import MARK, METADATA, TAGS
from services.connectors.stripe.subscription import StripeSubscriptions
from services.contracts.app import Seen
from services.contracts.contact import Address, Contact, Fields, Order, Values
from services.contracts.receipts import Observation

TEXTS = ("name", "email", "phone", "description", "business_name")
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
        fields: Fields = {path: text(getattr(self, path)) for path in TEXTS}
        fields["address"] = address(self.address)
        for key, value in sorted(self.keys().items()):
            if key != MARK and key not in TAGS:
                fields[METADATA + key] = text(value)
        return fields

    def keys(self) -> dict[str, str]:
        """The metadata; keys with an empty value count as absent."""
        given = self.metadata if isinstance(self.metadata, dict) else {}
        return {key: value for key, value in given.items() if value}

    def contact(self) -> Contact:
        """The customer as a contact."""
        keys = self.keys()
        tags = tuple(sorted(tag for tag in TAGS if tag in keys))
        return Contact(fields=self.fields(), tags=tags, mark=keys.get(MARK))


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
    parts = {part: getattr(value, part) or "" for part in PARTS}
    return (Address(**parts),) if any(parts.values()) else ()


def prior(raw: msgspec.Raw, now: Customer) -> Fields:
    """The values that `previous_attributes` says stood before a change that led to `now`, by path.

    A metadata key that was absent is `()`. Should an address show only the parts that changed, the others are
    those of `now`.
    """
    try:
        before = msgspec.json.decode(raw)
        if not isinstance(before, dict):
            return {}
        merged = _whole_address(before, now)
        old = msgspec.convert({"id": now.id, **_known(merged)}, Customer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    fields: Fields = {path: text(getattr(old, path)) for path in TEXTS if path in merged}
    if "address" in merged:
        fields["address"] = address(old.address)
    for key, value in sorted((old.metadata if isinstance(old.metadata, dict) else {}).items()):
        if key != MARK and key not in TAGS:
            fields[METADATA + key] = text(value)
    return fields


def _known(before: dict[str, Any]) -> dict[str, Any]:
    return {key: before[key] for key in (*TEXTS, "address", "metadata") if key in before}


def _whole_address(before: dict[str, Any], now: Customer) -> dict[str, Any]:
    if not isinstance(before.get("address"), dict) or not isinstance(now.address, StripeAddress):
        return before
    return {**before, "address": {**msgspec.structs.asdict(now.address), **before["address"]}}
