"""What a transaction of sync took in, as it is kept: enough to decide it again, in the same order (P17)."""

from typing import TypeAlias

import msgspec

from services.sync.core.state import Link, Record, Window


class Message(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """An event or a receipt; its content is in the log, or in an archive of it."""

    topic: str
    partition: int
    position: int
    id: str


class Due(msgspec.Struct, frozen=True, kw_only=True, tag="due"):
    """A link whose time had come."""

    link: str


class Sight(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="sight"):
    """A known contact that was considered, or was to be looked at, anew."""

    account: str
    contact_id: str
    look: bool = False


class Retired(msgspec.Struct, frozen=True, kw_only=True, tag="retired"):
    """A link whose unsettled writes were retired after a restore."""

    link: str


class Known(msgspec.Struct, frozen=True, kw_only=True, tag="known"):
    """A contact's record, with the app's own object."""

    record: Record
    object: str
    """As text: as it came, it may hold line breaks."""


class Linked(msgspec.Struct, frozen=True, kw_only=True, tag="linked"):
    """A link, with its place in the order of first sight."""

    link: Link


class Reserved(msgspec.Struct, frozen=True, kw_only=True, tag="reserved"):
    """An address that a link holds in an account."""

    account: str
    address: str
    link: str


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """A window of deletions."""

    window: Window


class Scanned(msgspec.Struct, frozen=True, kw_only=True, tag="scanned"):
    """An account whose first scan has passed."""

    account: str


Row: TypeAlias = Known | Linked | Reserved | Opened | Scanned
"""One thing that sync knows."""


class Given(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="given"):
    """What a person's word or a scan's end left behind: taken as it is, not decided again. May hold contacts' data."""

    rows: tuple[Row, ...] = ()
    released: tuple[tuple[str, str], ...] = ()
    """Reservations that went: (account, address)."""
    forgotten: tuple[tuple[str, str], ...] = ()
    """Contacts of a person who was forgotten: (account, contact id)."""
    ended: tuple[str, ...] = ()
    """Links that were forgotten with them, with all that they held."""


Item: TypeAlias = Message | Due | Sight | Retired | Given


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The column `body` of `sync.input`."""

    items: tuple[Item, ...]
    """In the order in which they were folded."""
    incarnation: int
    catching_up: bool = False
    active: dict[str, int] = msgspec.field(default_factory=dict)
    """Connection -> its active links, where they were counted: no lock covers that."""
    seqs: dict[str, int] = msgspec.field(default_factory=dict)
    """Link -> its place in the order of first sight, for links that were new."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `sync.input`: one transaction."""

    number: int
    """For transactions that touched the same things, the order of numbers is that of their effects."""
    now: int
    """Microseconds since 1970: the moment that was decided with."""
    config: str
    """Fingerprint of the registry as it was read."""
    effect: str
    """Fingerprint of everything that changed and was sent; empty where nothing was decided."""
    body: Body


bodies = msgspec.json.Decoder(Body)
rows = msgspec.json.Decoder(Row)
