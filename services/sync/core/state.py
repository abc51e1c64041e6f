"""What sync knows of contacts and links, as pure data."""

from typing import Literal, TypeAlias

import msgspec

from services.contracts.commands import Version
from services.contracts.connection import Direction
from services.contracts.contact import Contact, Order, Side, Subscription, Values
from services.sync.core.doing import Acting, Applied
from services.sync.core.issued import Issued

Status: TypeAlias = Literal["pairing", "active", "outside", "duplicate", "tombstone", "ended"]
WaitReason: TypeAlias = Literal[
    "scan",
    "look",
    "find",
    "address",
    "receipt",
    "merge",
    "paused",
    "account",
    "duplicate",
    "config",
    "refused",
    "restore",
    "deletions",
]
Kind: TypeAlias = Literal["create", "update", "tag", "untag"]
Normal: TypeAlias = str
"""A value in the form in which it is compared; "" is empty."""


def other(side: Side) -> Side:
    """Return the opposite side."""
    return "right" if side == "left" else "left"


class Looking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A look that was asked for and hasn't been answered."""

    number: int
    attempt: int
    moved: bool = False
    """The record took a newer observation since the look was decided."""
    again: bool = False
    """Something came that can't be ordered: the answer won't be enough."""
    asked: int = 0
    """Microseconds since 1970: when it was asked last."""


class Apart(msgspec.Struct, frozen=True, array_like=True):
    """A contact of a connection's other side that a person unlinked from this one: they aren't matched again (C7)."""

    connection: str
    account: str
    contact_id: str
    rests: tuple[str, ...] | None = None
    """Its own addresses then, if both shared none: while it has these, no other partner is made for it."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest observation of one contact."""

    account: str
    contact_id: str
    contact: Contact | None
    """None until it was read once (only touched so far)."""
    order: Order
    deleted: bool = False
    addresses: tuple[str, ...] = ()
    """Normalized e-mail addresses; a deleted contact keeps those it had."""
    looking: Looking | None = None
    looks: int = 0
    """Looks asked so far: the next one's number."""
    scan: int | None = None
    """The last scan that showed the contact."""
    subscriptions: dict[str, "SubscriptionRecord"] = msgspec.field(default_factory=dict)
    subscriptions_listed: Order | None = None
    """When all of them were seen together last."""
    apart: tuple[Apart, ...] = ()
    merged_into: str | None = None
    """The contact of its account that it was merged into, if the app said so."""

    @property
    def live(self) -> bool:
        """Whether the contact is known and not deleted."""
        return self.contact is not None and not self.deleted


class SubscriptionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The newest observation of one subscription of a contact."""

    subscription: Subscription
    order: Order
    ended: bool = False


class LineWrite(msgspec.Struct, frozen=True, array_like=True):
    """What a write was made from and what it wants, for one mapping line, both normalized."""

    source: Normal
    wanted: Normal


class Pending(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A write that has no receipt yet."""

    version: Version
    kind: Kind
    at: int
    """Microseconds since 1970: when it was decided."""
    sent: int = 0
    """Microseconds since 1970: when it was sent last."""
    command: msgspec.Raw = msgspec.Raw(b"null")
    """The command as JSON, to be sent again if nothing is heard of it; null in what an older version stored."""
    lines: dict[str, LineWrite] = msgspec.field(default_factory=dict)
    restores: tuple[str, ...] = ()
    """Lines on which it puts back what an earlier write of ours overwrote: they move no base."""
    doing: Acting | None = None
    unknown: str | None = None
    """Why the outcome isn't known, if the connector said so."""
    echoed: bool = False
    """Its own event was seen: whatever its receipt says, it was applied."""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a write to an app without a lock expected to find, until its echo shows what it found."""

    version: Version
    until: int
    """Microseconds since 1970."""
    lines: dict[str, LineWrite]
    """Line -> what stood there when it was decided, and what it wrote."""


class Overwritten(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's edit that a write of ours overwrote without knowing."""

    values: Values
    written: Normal
    """What our write put in its place."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that the target refused: not sent again until it changes."""

    value: Normal
    reason: str


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that waits for a person's yes."""

    value: Normal
    since: int
    approved: bool = False


class Half(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One side of a link."""

    contact_id: str | None = None
    issued: int = 0
    settled: int = 0
    pending: Pending | None = None
    attempted: bool = False
    """A create was sent and put off: the ledger keeps its key and body."""
    refused: dict[str, Refusal] = msgspec.field(default_factory=dict)
    """Mapping line -> refusal; `*` stands for a create as a whole."""
    held: dict[str, Hold] = msgspec.field(default_factory=dict)
    written: tuple[int, ...] = ()
    """When it was written in the last ten minutes, microseconds since 1970."""
    stopped: int | None = None
    """Since when nothing is written there, because it was written too often: until a person lets it go."""
    expects: tuple[Expected, ...] = ()
    overwritten: dict[str, Overwritten] = msgspec.field(default_factory=dict)
    put: dict[str, Normal] = msgspec.field(default_factory=dict)
    """Mapping line -> what a write of ours put there last, as long as some write's echo is outstanding."""
    there: bool | None = None
    """Whether the other account had a contact with one of its addresses when it was first asked (B6)."""
    applied: dict[str, Applied] = msgspec.field(default_factory=dict)
    """Key of a rule's action -> how we did it."""
    tag: Literal["none", "ours", "final"] = "none"
    tag_order: Order | None = None
    """When our tag was seen set; a later observation without it means that a person removed it."""


def moved_to(half: Half, contact_id: str) -> Half:
    """Return the half with another contact: what is remembered of the one before doesn't count for it."""
    half = msgspec.structs.replace(half, contact_id=contact_id, there=None, refused={}, held={})
    return msgspec.structs.replace(half, expects=(), overwritten={}, put={}, applied={}, written=(), stopped=None)


class Wait(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a link waits for."""

    reason: WaitReason
    on: str = ""
    """The account, address, link or contact it waits for."""
    since: int = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a link asked the target before creating."""

    number: int
    open: tuple[str, ...]
    """Addresses not answered yet."""
    addresses: tuple[str, ...]
    """All addresses asked."""
    answered: int | None = None
    """When the last answer came, microseconds since 1970."""


class Merged(msgspec.Struct, frozen=True, array_like=True):
    """What a contact's partner was merged into, and the contact's addresses then."""

    link: str
    addresses: tuple[str, ...]


class Base(msgspec.Struct, frozen=True, array_like=True):
    """The pair of normalized values that both sides last agreed on, for one mapping line."""

    left: Normal
    right: Normal

    def half(self, side: Side) -> Normal:
        """Return that side's value."""
        return self.left if side == "left" else self.right


class Link(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The pairing of a left and a right contact in one connection; one half may be empty."""

    id: str
    connection: str
    left: Half = Half()
    right: Half = Half()
    status: Status = "pairing"
    alias_of: str | None = None
    wait: Wait | None = None
    rule: Side | None = None
    """The side whose rule brought it in."""
    direction: Direction = "two_way"
    """The direction its last decision was taken under."""
    config_version: int = 0
    base: dict[str, Base] = msgspec.field(default_factory=dict)
    counted: int | None = None
    """Its deletion was counted in the window that opened then, microseconds since 1970 …"""
    number: int = 0
    """… as the so many-th."""
    merged: Merged | None = None
    """Its contact's partner was merged into that link's contact: it isn't used to make the partner anew (E4)."""
    finding: Finding | None = None
    finds: int = 0
    reconsider_at: int | None = None
    """Microseconds since 1970."""
    seq: int | None = None
    """The order of first sight; None until it is stored."""

    def half(self, side: Side) -> Half:
        """Return that half."""
        return self.left if side == "left" else self.right

    def with_half(self, side: Side, half: Half) -> "Link":
        """Return the link with that half replaced."""
        if side == "left":
            return msgspec.structs.replace(self, left=half)
        return msgspec.structs.replace(self, right=half)

    @property
    def paired(self) -> bool:
        """Whether both halves have a contact."""
        return self.left.contact_id is not None and self.right.contact_id is not None

    @property
    def unsettled(self) -> bool:
        """Whether a write on either side has no receipt yet."""
        return self.left.pending is not None or self.right.pending is not None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Ten minutes in which a connection's deletions are counted (E6)."""

    connection: str
    opened: int
    """Microseconds since 1970."""
    active: int
    """Links that were active then."""
    count: int
    said: bool | None = None
    """A person's word on those that wait: tag them, or leave them."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about an input for a link, with the reason; also when that is nothing."""

    link: str
    connection: str
    config_version: int
    outcome: str
    """A short code such as `update`, `create`, `nothing`, `wait`, `tag`."""
    reason: str
    """A sentence without contact data."""
    lines: tuple[str, ...] = ()
    """The mapping lines it is about."""
    changed: bool = True
    """Whether anything but the journal changed."""
    writes: tuple[Issued, ...] = ()
    """What is sent because of it."""
