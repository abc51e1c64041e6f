"""Commands: instructions to one account, as they stand in `contacts.commands.<app>`."""

from typing import TypeAlias

import msgspec

from services.contracts.contact import Fields, Side
from services.contracts.events import LookAnswer


class Version(msgspec.Struct, frozen=True, array_like=True, order=True):
    """The version of a write on one side of a link: the installation's incarnation, then a counter."""

    incarnation: int
    n: int


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a write serves and under which rules it was decided."""

    link: str
    side: Side
    """The side written to."""
    version: Version
    connection: str
    config_version: int
    account: str
    """The account written to."""


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """Make a contact that carries the link's id as its mark."""

    aim: Aim
    fields: Fields
    addresses: tuple[str, ...] = ()
    """Normalized e-mail addresses of the body: what a proof of absence searches by."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Set fields of an existing contact, if they still hold what the decision saw."""

    aim: Aim
    contact_id: str
    fields: Fields
    """What to write: path -> all values the field shall have (`()` clears it)."""
    expected: Fields
    """What the fields held in the observation that the decision was made on."""
    guard: str | None = None
    """The etag or version of that observation."""
    object: msgspec.Raw = msgspec.Raw(b"null")
    """The app's own object of that observation, for apps that can only replace whole objects."""


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """Set a tag on a contact."""

    aim: Aim
    contact_id: str
    tag: str
    date: str
    """The day it is set, UTC, ISO 8601; apps whose tags carry a value store it."""
    guard: str | None = None
    object: msgspec.Raw = msgspec.Raw(b"null")


class Untag(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a tag from a contact."""

    aim: Aim
    contact_id: str
    tag: str
    guard: str | None = None
    object: msgspec.Raw = msgspec.Raw(b"null")


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Read one contact. The answer is an event that carries `look`."""

    account: str
    contact_id: str
    look: LookAnswer


class Find(msgspec.Struct, frozen=True, kw_only=True):
    """Ask an account for the contacts with an address.

    Hits come as events (origin `find`), then one receipt for the asking link.
    """

    account: str
    address: str
    """Normalized e-mail address."""
    link: str
    """The link that asks; the receipt goes to it."""
    number: int
    """The link's count of finds: the receipt carries it back."""


Write: TypeAlias = Create | Update | Tag | Untag
Read: TypeAlias = Look | Find
Command: TypeAlias = Write | Read
