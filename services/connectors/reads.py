"""Looks and finds that aren't answered yet: one row each, shared by everyone who waits (PROTOCOL P9)."""

from datetime import datetime
from typing import Literal

import msgspec

from services.contracts.commands import Find, Look
from services.contracts.events import LookAnswer
from services.runtime.store import Connection, Record, Store

_ADD_LOOK = """
INSERT INTO connectors.read AS r (account, kind, subject, app, number, attempt, next_try_at, created_at, askers)
VALUES ($1, 'look', $2, $3, $4, $5, $6, $6, $7)
ON CONFLICT (account, kind, subject) DO UPDATE
SET number = excluded.number, attempt = excluded.attempt, askers = excluded.askers
WHERE (r.number, r.attempt) < (excluded.number, excluded.attempt)
"""
_FIND = "SELECT askers FROM connectors.read WHERE account = $1 AND kind = 'find' AND subject = $2 FOR UPDATE"
_ADD_FIND = """
INSERT INTO connectors.read AS r (account, kind, subject, app, askers, next_try_at, created_at)
VALUES ($1, 'find', $2, $3, $4, $5, $5)
ON CONFLICT (account, kind, subject) DO UPDATE SET askers = excluded.askers
"""
_CLAIM = """
WITH chosen AS MATERIALIZED (
    SELECT id FROM connectors.read WHERE account = $1 AND state = 'pending' AND next_try_at <= $2
    ORDER BY created_at, id LIMIT 1 FOR UPDATE
)
UPDATE connectors.read AS r SET state = 'inflight', tries = tries + 1
FROM chosen WHERE r.id = chosen.id RETURNING r.*
"""
# Materialized: as a subquery it may be run once per row of a join, and skips what its own statement has just updated,
# so that one statement would claim several reads.
_LATER = """
UPDATE connectors.read SET state = 'pending', next_try_at = $2, failures = failures + $3 WHERE id = $1
"""
_REST = "SELECT number, attempt, askers FROM connectors.read WHERE id = $1 FOR UPDATE"
_AGAIN = """
UPDATE connectors.read SET state = 'pending', failures = 0, next_try_at = $2, askers = $3 WHERE id = $1
"""
_DONE = "DELETE FROM connectors.read WHERE id = $1"
_ABANDONED = "UPDATE connectors.read SET state = 'pending' WHERE account = $1 AND state = 'inflight'"
_DROP = "DELETE FROM connectors.read WHERE account = $1"
_NEXT_DUE = "SELECT min(next_try_at) FROM connectors.read WHERE account = $1 AND state = 'pending'"


class Asker(msgspec.Struct, frozen=True, array_like=True):
    """A link that waits for a find's answer; for a look's, nobody in particular (an empty link)."""

    link: str
    number: int
    """Its count of finds."""
    traceparent: str | None = None
    """The step of a trace that asked."""

    @property
    def key(self) -> tuple[str, int]:
        """Who it is, whatever trace it asks in."""
        return self.link, self.number


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A look or a find that is being asked, as it stood when it was claimed."""

    id: int
    kind: Literal["look", "find"]
    subject: str
    look: LookAnswer
    askers: tuple[Asker, ...]
    tries: int
    failures: int


async def ask(tx: Connection, command: Look | Find, *, app: str, now: datetime, traceparent: str | None = None) -> None:
    """Add a look or a find, or join the one that waits. An older look than the one waiting adds nothing."""
    match command:
        case Look(account=account, contact_id=contact, look=look):
            # A look belongs to its contact; of who asked, only the trace is kept.
            asker = () if traceparent is None else (Asker("", 0, traceparent),)
            await tx.execute(_ADD_LOOK, account, contact, app, look.number, look.attempt, now, _encoded(asker))
        case Find(account=account, address=address):
            known = _askers(await tx.fetchval(_FIND, account, address))
            new = Asker(command.link, command.number, traceparent)
            askers = known if new.key in {each.key for each in known} else (*known, new)
            await tx.execute(_ADD_FIND, account, address, app, _encoded(askers), now)


async def claim(tx: Connection, account: str, now: datetime) -> Read | None:
    """Take the oldest read whose time has come."""
    row = await tx.fetchrow(_CLAIM, account, now)
    return None if row is None else _read(row)


async def later(tx: Connection, read: Read, next_try: datetime, *, failed: bool) -> None:
    """It wasn't answered: ask again at `next_try`."""
    await tx.execute(_LATER, read.id, next_try, int(failed))


async def answered(tx: Connection, read: Read, now: datetime) -> bool:
    """It was answered as it stood at the claim. Who asked since is asked for anew; False: someone else did this."""
    row = await tx.fetchrow(_REST, read.id)
    if row is None:
        return False
    served = {asker.key for asker in read.askers}
    rest = tuple(asker for asker in _askers(row["askers"]) if asker.key not in served)
    if rest or LookAnswer(row["number"], row["attempt"]) != read.look:
        await tx.execute(_AGAIN, read.id, now, _encoded(rest))
    else:
        await tx.execute(_DONE, read.id)
    return True


async def abandoned(tx: Connection, account: str) -> None:
    """What a former worker was asking is to be asked again: reading does no harm."""
    await tx.execute(_ABANDONED, account)


async def drop(tx: Connection, account: str) -> None:
    """Forget the reads of an account that is gone: nobody can answer them."""
    await tx.execute(_DROP, account)


async def next_due(tx: "Connection | Store", account: str) -> datetime | None:
    """When the next read's time comes; None if none waits."""
    moment: datetime | None = await tx.fetchval(_NEXT_DUE, account)
    return moment


def _read(row: Record) -> Read:
    return Read(
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        look=LookAnswer(row["number"], row["attempt"]),
        askers=_askers(row["askers"]),
        tries=row["tries"],
        failures=row["failures"],
    )


def _askers(raw: str | None) -> tuple[Asker, ...]:
    return () if raw is None else msgspec.json.decode(raw, type=tuple[Asker, ...])


def _encoded(askers: tuple[Asker, ...]) -> bytes:
    # Without a trace there are two elements, which is all that versions from before traces read.
    return msgspec.json.encode(
        [(*asker.key, asker.traceparent) if asker.traceparent else asker.key for asker in askers]
    )
