"""Events: normalized facts about one contact of one account, as they stand in `contacts.events`."""

from typing import Literal, TypeAlias

import msgspec

from services.contracts.contact import Contact, Fields, Order, Subscription

Origin: TypeAlias = Literal["webhook", "feed", "scan", "look", "find"]
"""How the observation came to us."""


class LookAnswer(msgspec.Struct, frozen=True, array_like=True):
    """Which asked look an observation answers: the contact's look counter and the attempt of that look."""

    number: int
    attempt: int


class ContactChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole contact as observed: what it is now, not what changed."""

    account: str
    contact_id: str
    order: Order
    origin: Origin
    contact: Contact
    object: msgspec.Raw = msgspec.Raw(b"null")
    """The app's own object as JSON, so that a field mapped tomorrow can be filled from yesterday's log."""
    subscriptions: tuple[Subscription, ...] | None = None
    """All of the contact's subscriptions where the observation includes them; None where it doesn't."""
    prior: Fields = msgspec.field(default_factory=dict)
    """Values that the app says stood before this change (Stripe's `previous_attributes`), normalized."""
    label: str | None = None
    """The idempotency key of the request that caused the change; only a label for `explain`."""
    scan: int | None = None
    """The number of the scan that saw the contact."""
    look: LookAnswer | None = None


class ContactDeleted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The contact is gone from its account."""

    account: str
    contact_id: str
    order: Order
    origin: Origin
    label: str | None = None
    look: LookAnswer | None = None


class ContactTouched(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something happened to the contact, the delivery says no more: it has to be looked at."""

    account: str
    contact_id: str
    origin: Origin


class ContactMerged(msgspec.Struct, frozen=True, kw_only=True):
    """The app says that the contact was merged into another one and is gone. Both are looked at."""

    account: str
    contact_id: str
    """The one merged away."""
    into: str
    """The contact that stays."""
    origin: Origin


class SubscriptionChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One subscription of the contact, as observed."""

    account: str
    contact_id: str
    order: Order
    origin: Origin
    subscription: Subscription
    ended: bool = False
    """True when the app says that the subscription is over (its delete event)."""


class ScanFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A full scan of an account is in the log, its last page included. Published to every partition."""

    account: str
    number: int
    start: int
    """When the scan began: microseconds since 1970 on the database's clock."""
    count: int
    """Contacts seen."""


Event: TypeAlias = ContactChanged | ContactDeleted | ContactTouched | ContactMerged | SubscriptionChanged | ScanFinished
