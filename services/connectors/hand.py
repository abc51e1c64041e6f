"""Ending an unknown outcome by a person's word, where no proof comes (PROTOCOL P4, SEMANTICS G9).

The word is taken for the app's own answer, under the lock of the ledger's row: what a worker that is asking at the
same moment records later is refused, since the entry has moved on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

from services.connectors import entry as entries
from services.connectors import ledger
from services.connectors.entry import Entry
from services.connectors.intake import CHANNEL
from services.connectors.publish import enqueue, written
from services.contracts.commands import Create, Write
from services.contracts.contact import SIDES, Side
from services.contracts.receipts import Observation, Outcome, Written
from services.runtime.store import Connection

LISTED_AFTER = timedelta(hours=1)
"""An outcome that is unknown for so long is shown with what a person can do about it."""

_UNKNOWN = """
SELECT link::text, side, account, app, connection, type, unknown_since, unknown_reason
  FROM connectors.ledger WHERE state = 'unknown' AND unknown_since <= $1 ORDER BY unknown_since, link, side
"""
_NOTIFY = "SELECT pg_notify($1, $2)"


class UnknownOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A write of which nobody knows whether the app did it."""

    link: str
    side: Side
    account: str
    app: str
    connection: str
    kind: str
    """`create`, `update`, `tag` or `untag`."""
    since: datetime
    reason: str


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The create made this contact. `seen`: what it looks like, if it could be read."""

    contact_id: str
    seen: Observation | None = None


class Applied(msgspec.Struct, frozen=True):
    """The change is in the app."""


class NotApplied(msgspec.Struct, frozen=True):
    """Nothing was made, nothing was changed."""


Word: TypeAlias = Made | Applied | NotApplied
Misfit: TypeAlias = Literal["known", "create", "no create", "unseen"]
"""Why a word doesn't fit: the outcome is known (by now), it is a create that needs a contact's id or none, or a newer
body waits behind the one in doubt, and what differs can't be written without having read the contact."""


async def unknown(tx: Connection, before: datetime) -> Sequence[UnknownOutcome]:
    """Return what has been unknown since `before` or longer, oldest first."""
    return [
        UnknownOutcome(
            link=row["link"],
            side=row["side"],
            account=row["account"],
            app=row["app"],
            connection=row["connection"],
            kind=row["type"].removeprefix("command."),
            since=row["unknown_since"],
            reason=row["unknown_reason"] or "",
        )
        for row in await tx.fetch(_UNKNOWN, before)
    ]


async def in_doubt(tx: Connection, link: str) -> list[Entry]:
    """Lock and return the link's entries whose outcome isn't known."""
    found = await ledger.locked(tx, [(str(UUID(link)), side) for side in SIDES])
    return [entry for entry in found.values() if entry.state == "unknown"]


async def settle(tx: Connection, link: str, side: Side, word: Word, now: datetime) -> Misfit | None:
    """Take a person's word for what became of the write to that side of the link; None if that was done.

    What is in the app is settled, and its receipt goes to sync; what isn't is sent anew under another key.
    """
    entry = next((entry for entry in await in_doubt(tx, link) if entry.side == side), None)
    if entry is None:
        return "known"
    after: Entry | None = None
    outcome: Outcome | None = None
    match word:
        case NotApplied():
            after = entries.absent(entry, now)
        case Made(contact_id=contact_id, seen=seen):
            if not creates(entry):
                return "no create"
            if not entry.proving or entries.same_body(entry):
                outcome = Written(contact_id=contact_id, seen=seen, looked=True)
            elif seen is None:
                return "unseen"
            else:
                after = entries.made(entry, seen, now)
        case Applied():
            if creates(entry):
                return "create"
            outcome = Written(contact_id=_target(entry), seen=entry.made, looked=True)
    reports: entries.Reports = ()
    if outcome is not None:
        after, reports = entries.settle(entry, outcome, now)
    if after is not None:
        await ledger.save(tx, entry, after)
    said = [written(aim, told, app=entry.app, now=now, traceparent=entry.task.traceparent) for aim, told in reports]
    await enqueue(tx, entry.aim.account, said)
    await tx.execute(_NOTIFY, CHANNEL, entry.aim.account)
    return None


def creates(entry: Entry) -> bool:
    """Whether what is in doubt is the making of a contact; else a change of one that is there."""
    return isinstance(entry.task.command, Create) and entry.made is None


def _target(entry: Entry) -> str:
    command: Write = entry.task.command
    if isinstance(command, Create):
        return entry.made.contact_id if entry.made is not None else ""
    return command.contact_id
