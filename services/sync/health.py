"""How a connection is: what is in step, and what isn't, why, since when and what happens next (G1)."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from services.runtime.store import Connection as Database

_COUNTS = """
SELECT connection,
       count(*) FILTER (WHERE status = 'active' AND wait_reason IS NULL AND holds = 0 AND refusals = 0
                          AND unsettled = 0) AS in_sync,
       count(*) FILTER (WHERE unsettled > 0) AS writing,
       count(*) FILTER (WHERE status = 'outside') AS excluded,
       count(*) FILTER (WHERE status = 'duplicate') AS duplicate,
       count(*) FILTER (WHERE status = 'tombstone') AS deleted,
       count(*) FILTER (WHERE holds > 0) AS held,
       count(*) FILTER (WHERE refusals > 0) AS failed
  FROM sync.link WHERE status <> 'ended' GROUP BY connection
"""
_WAITS = """
SELECT connection, wait_reason, wait_on, count(*) AS count, min(wait_since) AS since
  FROM sync.link
 WHERE status <> 'ended' AND wait_reason IS NOT NULL AND wait_reason <> 'duplicate'
 GROUP BY connection, wait_reason, CASE WHEN wait_reason IN ('scan', 'account', 'paused', 'find') THEN wait_on END,
          wait_on
 ORDER BY connection, count(*) DESC
"""

NEXT = {
    "scan": "creates begin when the first scan of this account has ended; `status` shows its progress",
    "look": "the contact is being read; the answer decides",
    "find": "the target is being asked for the address; the answer decides",
    "address": "another link is creating a contact with this address; this one follows",
    "receipt": "a contact of ours is being created; its receipt decides",
    "merge": "a deleted contact is given time to show up as a merge; then its partner is tagged",
    "paused": "`contactsync resume` lets it go on",
    "account": "it goes on by itself when the account takes writes again",
    "config": "a changed direction is taken over when the write under way is settled",
    "deletions": "many deletions at once: `contactsync held list` shows them once they wait for a person",
    "restore": "the log is being read again after the database was restored; then everything is compared",
    "refused": "correct the value in either app: any change sends it again",
}
"""What happens next, by the reason of a wait."""
_PERSONAL = frozenset({"address", "look", "merge", "receipt"})
"""Reasons whose object names one contact or link: they are counted together."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Links that wait for the same thing."""

    reason: str
    on: str
    count: int
    since: datetime
    next: str


class ConnectionHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The links of one connection, counted by how they are."""

    connection: str
    in_sync: int = 0
    writing: int = 0
    """A write is under way."""
    excluded: int = 0
    """Outside the sync by rule or for want of an e-mail address: no error."""
    duplicate: int = 0
    deleted: int = 0
    """One of the pair was deleted; the other is kept, tagged where that was asked for."""
    held: int = 0
    failed: int = 0
    waiting: tuple[Waiting, ...] = ()


Health: TypeAlias = tuple[ConnectionHealth, ...]


async def health(database: Database) -> Health:
    """Return the health of every connection that has links."""
    waits: dict[str, dict[tuple[str, str], Waiting]] = {}
    for row in await database.fetch(_WAITS):
        reason = row["wait_reason"]
        on = "" if reason in _PERSONAL else row["wait_on"]
        of = waits.setdefault(row["connection"], {})
        before = of.get((reason, on))
        of[reason, on] = Waiting(
            reason=reason,
            on=on,
            count=row["count"] + (before.count if before else 0),
            since=min(row["since"], before.since) if before else row["since"],
            next=NEXT.get(reason, ""),
        )
    return tuple(
        ConnectionHealth(**dict(row), waiting=tuple(waits.get(row["connection"], {}).values()))
        for row in await database.fetch(_COUNTS)
    )
