"""Receipts: the outcome of a command, as it stands in `contacts.receipts`."""

from typing import Literal, TypeAlias

import msgspec

from services.contracts.commands import Aim
from services.contracts.contact import Contact, Order

DeferralReason: TypeAlias = Literal["config", "paused", "account", "superseded", "taken"]
"""`taken`: a contact with one of a create's addresses has come into the account since the create was decided."""


class Observation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A contact as an answer showed it."""

    contact_id: str
    order: Order
    contact: Contact
    object: msgspec.Raw = msgspec.Raw(b"null")


class Written(msgspec.Struct, frozen=True, kw_only=True, tag="written", omit_defaults=True):
    """The write is in the app."""

    contact_id: str
    seen: Observation | None = None
    """The contact as read back. None if the answer didn't show it."""
    replayed: bool = False
    """The app repeated an earlier answer: it settles the command, but shows the past (look at the contact)."""
    looked: bool = False
    """The outcome was unknown and settled by reading the contact."""
    label: str | None = None
    """The idempotency key the write went under."""
    ms: int = 0
    """Milliseconds the app took to answer."""


class Unchanged(msgspec.Struct, frozen=True, kw_only=True, tag="unchanged", omit_defaults=True):
    """The app already had what the command asks for; nothing was written."""

    contact_id: str
    seen: Observation | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused", omit_defaults=True):
    """The app will never take this: nothing was written."""

    reason: str
    """A sentence for a person, without contact data."""
    code: str = ""
    fields: tuple[str, ...] = ()
    """App paths of the fields that it refused; empty when it refused the whole."""
    gone: bool = False
    """The contact isn't there any more."""


class Deferred(msgspec.Struct, frozen=True, kw_only=True, tag="deferred", omit_defaults=True):
    """Nothing was sent; the decision is to be taken again when the reason has gone."""

    reason: DeferralReason
    attempted: bool = False
    """A create that had been attempted before: its key and body stay frozen in the ledger."""


class Stale(msgspec.Struct, frozen=True, kw_only=True, tag="stale", omit_defaults=True):
    """The contact no longer is what the decision saw: nothing was written. Here is what it is."""

    seen: Observation


class Unknown(msgspec.Struct, frozen=True, kw_only=True, tag="unknown", omit_defaults=True):
    """Whether the write was applied isn't known yet. Published for `status`; it settles nothing."""

    reason: str
    since: int
    """Microseconds since 1970 on the database's clock."""


Outcome: TypeAlias = Written | Unchanged | Refused | Deferred | Stale | Unknown


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a write, for the link it served."""

    aim: Aim
    outcome: Outcome


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a find: the contacts that have the address, whose events are in the log already."""

    link: str
    account: str
    address: str
    number: int
    contact_ids: tuple[str, ...]


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a find: no contact of the account has the address."""

    link: str
    account: str
    address: str
    number: int


class AccountBack(msgspec.Struct, frozen=True, kw_only=True):
    """An account that was down or revoked takes commands again. Published to every partition."""

    account: str


Report: TypeAlias = Receipt | Found | Absent | AccountBack
"""Everything that stands in `contacts.receipts`."""
