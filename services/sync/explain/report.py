"""What `explain` answers with, as data: the shape of its JSON. Values are as a person reads them."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from services.contracts.connection import Direction
from services.contracts.contact import Side
from services.contracts.events import Origin as Via
from services.sync.core.mapping import Flow
from services.sync.core.state import Kind, Status, WaitReason
from services.sync.core.why import Ruling

By: TypeAlias = Literal["app", "contactsync", "unknown"]
FieldState: TypeAlias = Literal["same", "writing", "next", "held", "refused", "waiting", "kept", "alone"]
ContactState: TypeAlias = Literal["none", "unread", "doubtful", "live", "deleted"]


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a field's present value comes from."""

    by: By
    """Somebody in the app; a write of ours; or something before the journal's start."""
    told: str
    at: datetime | None = None
    """When sync took it in."""
    event: str | None = None
    """The id of the event that brought the value into the sync: on this side, or for a write of ours on the other."""
    via: Via | None = None
    """How that event came; None: with the answer to a write."""
    account: str | None = None
    """The account of that event."""
    write: str | None = None
    """The version of our write."""
    number: int | None = None
    """The journal's number of the decision."""


class ValueTold(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a mapping line."""

    path: str
    values: tuple[str, ...]
    agreed: str | None
    """This side's half of the base, in comparable form; None: the line was never agreed on."""
    origin: Provenance | None
    """None where the field is empty and always was, or the side has no contact."""


class FieldTold(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping line: both sides, and why they differ if they do."""

    line: str
    flow: Flow
    left: ValueTold
    right: ValueTold
    state: FieldState
    why: str


class TagTold(msgspec.Struct, frozen=True, kw_only=True):
    """A tag of a contact, and who set it."""

    name: str
    ours: bool
    told: str


class RefusedTold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the app refused: it rests until the value changes or a person retries."""

    what: str
    """A mapping line, `create`, `tag`, `untag`, or a rule's action such as `tag:NAME`."""
    reason: str
    next_step: str


class HeldTold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that waits for a person's yes."""

    id: str
    """What `held approve` and `held reject` take."""
    what: str
    """A mapping line, or `writes`: the side is written no more, as it was written too often."""
    value: str | None
    since: datetime
    approved: bool
    next_step: str


class WriteTold(msgspec.Struct, frozen=True, kw_only=True):
    """The write to a side that has no receipt yet."""

    version: str
    kind: Kind
    lines: tuple[str, ...]
    action: str | None
    decided: datetime
    sent: datetime
    unknown: str | None
    """Why its outcome isn't known, if the connector said so."""
    next_step: str


class SideTold(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a link as it is known now."""

    account: str
    app: str
    contact: str | None
    state: ContactState
    addresses: tuple[str, ...]
    tags: tuple[TagTold, ...]
    write: WriteTold | None
    refused: tuple[RefusedTold, ...]
    held: tuple[HeldTold, ...]


class WaitTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a link waits for."""

    reason: WaitReason
    on: str
    since: datetime
    until: datetime | None
    """When it is looked at again at the latest; None: when what it waits for happens."""
    next_step: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One field that a write would set."""

    field: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A command that the next decision would send."""

    account: str
    kind: Literal["create", "update", "tag", "untag", "look", "find"]
    contact: str | None
    changes: tuple[Change, ...] = ()
    tag: str | None = None


class NextTold(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided now, if this link were reconsidered: tried on a copy, nothing is written."""

    outcome: str
    reason: str
    commands: tuple[Planned, ...]
    status: Status
    """The link's status after it."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A write that a decision led to."""

    account: str
    side: Side
    version: str
    kind: Kind
    lines: tuple[str, ...]
    action: str | None
    answer: str | None
    """The last outcome that its receipts told: `written`, `refused`, …; None: none yet."""
    answered: datetime | None


class DecisionTold(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about an input for this link."""

    number: int
    outcome: str
    reason: str
    lines: tuple[str, ...]
    config_version: int | None
    writes: tuple[Written, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An input, and what was decided about it."""

    at: datetime
    input: str
    """The message's type, `reconsider`, `sighted`, `restored` or `person`."""
    cause: str
    """The message's id: the app's own event id in it, where the app has one."""
    told: str
    account: str | None
    contact: str | None
    via: Via | None
    changed: tuple[str, ...]
    """Fields that the input showed to be otherwise than they were known."""
    decisions: tuple[DecisionTold, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one link."""

    at: datetime
    connection: str
    direction: Direction
    version: int
    """Of the connection in force."""
    paused: bool
    removed: bool
    link: str
    earlier: tuple[str, ...]
    """Links that became part of this one: their decisions are in its timeline."""
    status: Status
    told: str
    """The status as a sentence."""
    wait: WaitTold | None
    left: SideTold
    right: SideTold
    fields: tuple[FieldTold, ...]
    rules: tuple[Ruling, ...]
    next: NextTold
    timeline: tuple[Entry, ...]
    """Oldest first."""
    left_out: int
    """Earlier entries that `--limit` or `--since` left out."""
    more: bool
    """Whether the journal has even earlier ones that weren't read."""
