"""One entry of the ledger: what is to be written to one side of one link, and how its state may change. Pure.

How a create stays single (PROTOCOL P4). The first create that is sent under a key is *frozen*: whatever versions
follow for that side, its body and key are what is repeated and asked about, until there is proof. Proof of absence
(refused before execution, or the app's own proof) forgets the frozen body and raises the key's attempt. Proof that it
was made, while a newer create stands in the entry, turns the difference between the two bodies into an update of the
contact that was made (`effective`); only when that is written is the newer version answered `Written`, so that a
receipt never claims a value that isn't in the app. Such a receipt says `looked`: the contact had been readable to
people between its making and the update. A create that was answered while nothing newer waited is over: another one of
that side was decided after the contact it made was lost, and is one of its own.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from services.contracts.app import Manifest
from services.contracts.commands import Aim, Create, Tag, Untag, Update, Version, Write
from services.contracts.contact import Fields, Side
from services.contracts.envelope import derived
from services.contracts.receipts import Deferred, Observation, Outcome, Receipt, Written

State: TypeAlias = Literal["pending", "inflight", "unknown", "settled"]
Reports: TypeAlias = tuple[tuple[Aim, Outcome], ...]
COMMANDS: dict[str, type[Create] | type[Update] | type[Tag] | type[Untag]] = {
    "command.create": Create,
    "command.update": Update,
    "command.tag": Tag,
    "command.untag": Untag,
}
NEVER = Version(0, 0)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A write command and how it came."""

    type: str
    command: Write
    decided_at: datetime
    traceparent: str | None = None

    @property
    def version(self) -> Version:
        """The command's version on its side of its link."""
        return self.command.aim.version


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The present write on one side of a link. Columns of the same names: migration 0005."""

    link: str
    side: Side
    app: str
    task: Task
    settled: Version = NEVER
    waiting: Task | None = None
    state: State = "pending"
    attempt: int = 0
    failures: int = 0
    key_n: int = 0
    absences: int = 0
    frozen: Create | None = None
    frozen_at: datetime | None = None
    made: Observation | None = None
    first_sent_at: datetime | None = None
    next_try_at: datetime
    unknown_since: datetime | None = None
    unknown_reason: str | None = None
    told_unknown: bool = False
    inquire: bool = False
    receipt: Receipt | None = None
    created_at: datetime

    @property
    def aim(self) -> Aim:
        """Whom the present command serves."""
        return self.task.command.aim

    @property
    def attempted(self) -> bool:
        """Whether the present command is a create, and one for this side may have been executed."""
        return isinstance(self.task.command, Create) and self.frozen is not None

    @property
    def proving(self) -> bool:
        """Whether a frozen create has to be proved before the present command can be sent."""
        return self.attempted and self.made is None

    @property
    def key(self) -> str:
        """The idempotency key of what is sent next."""
        if isinstance(self.task.command, Create) and self.made is None:
            return derived("create", self.link, self.side, self.key_n)
        version = (self.aim.version.incarnation, self.aim.version.n)
        # A key whose write was proved absent may have a stored failure behind it, which it would only repeat.
        return derived("write", self.link, self.side, *version, *([self.absences] if self.absences else []))

    @property
    def sent_at(self) -> datetime | None:
        """When what is in doubt was first sent."""
        return self.frozen_at if self.proving else self.first_sent_at


Change: TypeAlias = Callable[[Entry], Entry]


def accept(
    entry: Entry | None, task: Task, *, app: str, now: datetime, incarnation: int = 1
) -> tuple[Entry | None, Reports]:
    """Take a command in (P12); return the entry as it is then, and what is to be reported.

    One of an earlier incarnation than the present one was decided before the database was restored from a copy: it may
    have been sent, and isn't sent now. A create of that kind keeps its key and body: the next create of its side
    first asks what became of it.

    One that replaces a pending one has that answered `superseded`. While a write is under way or in doubt a newer one
    waits beside it, so that never two of one side are unsettled; sync doesn't send such (P1), but a restored database
    may.
    """
    aim = task.command.aim
    fresh = Entry(link=aim.link, side=aim.side, app=app, task=task, next_try_at=now, created_at=now)
    superseded = Deferred(reason="superseded")
    if task.version.incarnation < incarnation and (entry is None or task.version > entry.settled):
        return _forgotten(entry or fresh, task, now=now), ((aim, superseded),)
    if entry is None:
        return fresh, ()
    if task.version <= entry.settled:
        if task.version == entry.settled and entry.receipt is not None:
            return None, ((entry.receipt.aim, entry.receipt.outcome),)
        return None, ((aim, superseded),)
    if entry.state == "settled":
        return _next(entry, task, app=app, now=now), ()
    newest = entry.waiting or entry.task
    if task.version <= newest.version:
        known = task.version in (newest.version, entry.task.version)
        return None, () if known else ((aim, superseded),)
    if entry.state == "pending":
        old = Deferred(reason="superseded", attempted=entry.attempted)
        return _next(entry, task, app=app, now=now), ((entry.aim, old),)
    reports = () if entry.waiting is None else ((entry.waiting.command.aim, superseded),)
    return msgspec.structs.replace(entry, waiting=task), reports


def _forgotten(entry: Entry, task: Task, *, now: datetime) -> Entry | None:
    """A command that a restored database has forgotten, as settled; None where a newer one stands in its place."""
    if entry.state != "settled" and entry.task.version != task.version:
        return None
    command = task.command
    kept = msgspec.structs.replace(_unsent(entry, now), task=task, state="settled", settled=task.version, receipt=None)
    if isinstance(command, Create) and entry.frozen is None:
        return msgspec.structs.replace(kept, frozen=command, frozen_at=now)
    return kept


def sending(entry: Entry, now: datetime) -> Entry:
    """About to be sent. A create that is sent freezes."""
    entry = msgspec.structs.replace(
        entry, state="inflight", attempt=entry.attempt + 1, first_sent_at=entry.first_sent_at or now
    )
    command = entry.task.command
    if isinstance(command, Create) and entry.made is None:
        return msgspec.structs.replace(entry, frozen=command, frozen_at=now)
    return entry


def repeating(entry: Entry) -> Entry:
    """About to be sent once more under the same key, its outcome being unknown."""
    return msgspec.structs.replace(entry, attempt=entry.attempt + 1)


def postponed(entry: Entry, next_try: datetime, *, failed: bool) -> Entry:
    """Sent, and certainly not executed: pending again. Only `failed` tries make the next pause longer."""
    clean = msgspec.structs.replace(
        entry,
        state="pending",
        next_try_at=next_try,
        failures=entry.failures + 1 if failed else entry.failures,
        first_sent_at=None,
    )
    if isinstance(entry.task.command, Create) and entry.made is None:
        return msgspec.structs.replace(clean, frozen=None, frozen_at=None)
    return clean


def doubtful(entry: Entry, now: datetime, next_try: datetime, reason: str, *, inquire: bool = False) -> Entry:
    """Sent, and nobody knows whether it was executed. `inquire`: repeating it settles nothing, ask from now on."""
    return msgspec.structs.replace(
        entry,
        state="unknown",
        failures=entry.failures + 1 if entry.state == "unknown" else 0,
        next_try_at=next_try,
        unknown_since=entry.unknown_since or now,
        unknown_reason=reason,
        inquire=entry.inquire or inquire,
    )


def undecided(entry: Entry, next_try: datetime, reason: str) -> Entry:
    """Asked, and the proof isn't possible yet."""
    return msgspec.structs.replace(entry, next_try_at=next_try, unknown_reason=reason)


def absent(entry: Entry, now: datetime) -> Entry:
    """Proved not to have been executed: to be sent anew, under another key."""
    if entry.proving:
        entry = msgspec.structs.replace(entry, key_n=entry.key_n + 1, frozen=None, frozen_at=None)
    return msgspec.structs.replace(_unsent(entry, now), absences=entry.absences + 1)


def made(entry: Entry, seen: Observation, now: datetime) -> Entry:
    """The frozen create is proved to have made `seen`, and a newer create stands in the entry."""
    return msgspec.structs.replace(_unsent(entry, now), made=seen)


def settle(entry: Entry, outcome: Outcome, now: datetime, *, nothing_made: bool = False) -> tuple[Entry, Reports]:
    """The command is answered. `nothing_made`: proof that its key made nothing. A waiting command takes its place."""
    create = isinstance(entry.task.command, Create)
    unexecuted = entry.attempt > 0 and entry.frozen is None
    done = msgspec.structs.replace(
        _unsent(entry, now),
        state="settled",
        settled=entry.aim.version,
        receipt=Receipt(aim=entry.aim, outcome=outcome),
        made=None if not isinstance(outcome, Deferred) else entry.made,
        waiting=None,
    )
    over = isinstance(outcome, Written) and entry.waiting is None
    if create and (nothing_made or unexecuted or over):
        done = msgspec.structs.replace(done, key_n=entry.key_n + 1, frozen=None, frozen_at=None)
    if entry.waiting is not None:
        done = _next(done, entry.waiting, app=entry.app, now=now)
    return done, ((entry.aim, outcome),)


def effective(entry: Entry, manifest: Manifest) -> Write | None:
    """What is sent for the present command: itself, the frozen create in its place, or what the frozen one lacks.

    None: the contact that the frozen create made has all of it.
    """
    command = entry.task.command
    if not isinstance(command, Create) or entry.frozen is None:
        return command
    if entry.made is None:
        return entry.frozen
    fields = _difference(entry.frozen.fields, command.fields, manifest)
    if not fields:
        return None
    seen = entry.made
    return Update(
        aim=command.aim,
        contact_id=seen.contact_id,
        fields=fields,
        expected={path: seen.contact.fields.get(path, ()) for path in fields},
        guard=seen.contact.guard,
        object=seen.object,
    )


def same_body(entry: Entry) -> bool:
    """Whether the frozen create asks for what the present one asks for."""
    command = entry.task.command
    return isinstance(command, Create) and entry.frozen is not None and entry.frozen.fields == command.fields


def _difference(frozen: Fields, wanted: Fields, manifest: Manifest) -> Fields:
    """What makes a contact with `frozen` one with `wanted`. Never clears an e-mail or what the app requires (D9)."""
    changed = {path: values for path, values in wanted.items() if frozen.get(path, ()) != values}
    for path in frozen.keys() - wanted.keys():
        field = manifest.field(path)
        if field is None or not (field.required or field.type == "email"):
            changed[path] = ()
    return changed


def _unsent(entry: Entry, now: datetime) -> Entry:
    return msgspec.structs.replace(
        entry,
        state="pending",
        attempt=0,
        failures=0,
        first_sent_at=None,
        next_try_at=now,
        unknown_since=None,
        unknown_reason=None,
        told_unknown=False,
        inquire=False,
    )


def _next(entry: Entry, task: Task, *, app: str, now: datetime) -> Entry:
    """`task` in place of the present command; what is known of the side's create stays."""
    unexecuted = isinstance(entry.task.command, Create) and entry.attempt > 0 and entry.frozen is None
    return msgspec.structs.replace(
        _unsent(entry, now),
        app=app,
        task=task,
        absences=0,
        waiting=None,
        # A key that was sent with one body, though not executed, isn't sent with another.
        key_n=entry.key_n + 1 if unexecuted else entry.key_n,
        created_at=now,
    )
