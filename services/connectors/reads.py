"""Looks and finds that aren't answered yet: one row each, shared by everyone who waits (PROTOCOL P9)."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from services.contracts.commands import Find, Look
from services.contracts.events import LookAnswer
from services.runtime.store import Connection, Record

Asker: TypeAlias = tuple[str, int]
"""A link, and its count of finds."""

_ADD_LOOK = """
INSERT INTO connectors.read AS r (account, kind, subject, app, number, attempt, next_try_at, created_at)
VALUES ($1, 'look', $2, $3, $4, $5, $6, $6)
ON CONFLICT (account, kind, subject) DO UPDATE SET number = excluded.number, attempt = excluded.attempt
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


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A look or a find that is being asked, as it stood when it was claimed."""

    id: int
    kind: Literal["look", "find"]
    subject: str
    look: LookAnswer
    askers: tuple[Asker, ...]
    tries: int
    failures: int


async def ask(tx: Connection, command: Look | Find, *, app: str, now: datetime) -> None:
    """Add a look or a find, or join the one that waits. An older look than the one waiting adds nothing."""
    match command:
        case Look(account=account, contact_id=contact, look=look):
            await tx.execute(_ADD_LOOK, account, contact, app, look.number, look.attempt, now)
        case Find(account=account, address=address):
            known = _askers(await tx.fetchval(_FIND, account, address))
            asker = (command.link, command.number)
            askers = known if asker in known else (*known, asker)
            await tx.execute(_ADD_FIND, account, address, app, msgspec.json.encode(askers), now)


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
    rest = tuple(asker for asker in _askers(row["askers"]) if asker not in read.askers)
    if rest or LookAnswer(row["number"], row["attempt"]) != read.look:
        await tx.execute(_AGAIN, read.id, now, msgspec.json.encode(rest))
    else:
        await tx.execute(_DONE, read.id)
    return True


async def abandoned(tx: Connection, account: str) -> None:
    """What a former worker was asking is to be asked again: reading does no harm."""
    await tx.execute(_ABANDONED, account)


async def drop(tx: Connection, account: str) -> None:
    """Forget the reads of an account that is gone: nobody can answer them."""
    await tx.execute(_DROP, account)


async def next_due(tx: Connection, account: str) -> datetime | None:
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
