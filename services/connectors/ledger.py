"""The ledger's tables: writes by link and side, and the lease under which one worker per account works them off."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

import msgspec

from services.connectors.entry import COMMANDS, Entry, Task
from services.contracts.commands import Create, Version, Write
from services.contracts.receipts import Observation, Receipt
from services.runtime.store import Connection, Record, Store

Place: TypeAlias = tuple[str, str]
"""(link, side) of an entry."""

_COLUMNS = (
    "link, side, app, account, connection, config_version, incarnation, n, settled_incarnation, settled_n, type, "
    "command, decided_at, traceparent, waiting, state, attempt, failures, key_n, absences, frozen, frozen_at, made, "
    "first_sent_at, next_try_at, unknown_since, unknown_reason, told_unknown, inquire, receipt, created_at"
)
_NEW = f"""
INSERT INTO connectors.ledger ({_COLUMNS}, updated_at)
VALUES ({", ".join(f"${n}" for n in range(1, 32))}, now())
"""  # noqa: S608 - made of constants
_SAVE = f"""
UPDATE connectors.ledger SET ({_COLUMNS}, updated_at) = ({", ".join(f"${n}" for n in range(1, 32))}, now())
WHERE link = $1 AND side = $2 AND incarnation = $32 AND n = $33 AND state = $34 AND attempt = $35
"""  # noqa: S608 - made of constants
_LOCK = """
SELECT ledger.* FROM connectors.ledger JOIN unnest($1::uuid[], $2::text[]) AS wanted (link, side) USING (link, side)
ORDER BY link, side FOR UPDATE OF ledger
"""
_ONE = "SELECT * FROM connectors.ledger WHERE link = $1 AND side = $2 FOR UPDATE"
_BUT = "(link, side) NOT IN (SELECT * FROM unnest({}::uuid[], {}::text[]))"
_DUE = f"""
SELECT * FROM connectors.ledger
WHERE account = $1 AND state IN ('pending', 'unknown') AND state = ANY($2::text[]) AND next_try_at <= $3
  AND {_BUT.format("$5", "$6")}
ORDER BY state <> 'unknown', created_at, decided_at, link, side LIMIT $4 FOR UPDATE
"""  # noqa: S608 - made of constants
_NEXT_DUE = f"""
SELECT min(next_try_at) FROM connectors.ledger
WHERE account = $1 AND state <> 'settled' AND state = ANY($2::text[]) AND {_BUT.format("$3", "$4")}
"""  # noqa: S608 - made of constants
_UNTOLD = """
SELECT * FROM connectors.ledger
WHERE account = $1 AND state = 'unknown' AND NOT told_unknown AND unknown_since <= $2 LIMIT 100 FOR UPDATE
"""
_ABANDONED = """
UPDATE connectors.ledger SET state = 'unknown', unknown_since = $2, unknown_reason = $3, next_try_at = $2, failures = 0
WHERE account = $1 AND state = 'inflight'
"""
_RETIRE = """
UPDATE connectors.ledger SET
    state = 'settled', settled_incarnation = incarnation, settled_n = n, receipt = NULL, waiting = NULL,
    attempt = 0, failures = 0, unknown_since = NULL, unknown_reason = NULL, told_unknown = false, inquire = false,
    frozen = CASE WHEN type = 'command.create' THEN coalesce(frozen, command) ELSE frozen END,
    frozen_at = CASE WHEN type = 'command.create' THEN coalesce(frozen_at, created_at) ELSE frozen_at END,
    updated_at = now()
WHERE state <> 'settled'
"""
_CONNECTION = "SELECT version, paused_at, removed_at FROM registry.connection WHERE name = $1"

_LEASE = """
INSERT INTO connectors.lease AS l (account, holder, until, token)
VALUES ($1, $2, clock_timestamp() + $3::interval, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (account) DO UPDATE
SET holder = excluded.holder, until = excluded.until, token = greatest(excluded.token, l.token + 1)
WHERE (l.holder = excluded.holder AND $4) OR l.until < clock_timestamp()
RETURNING token
"""
_RENEW = """
UPDATE connectors.lease SET until = clock_timestamp() + $3::interval
WHERE account = $1 AND token = $2 AND until > clock_timestamp() RETURNING token
"""
_HELD = """
SELECT 1 FROM connectors.lease WHERE account = $1 AND token = $2 AND until > clock_timestamp() FOR SHARE
"""
_RELEASE = """
WITH released AS (DELETE FROM connectors.lease WHERE account = $1 AND token = $2 RETURNING account)
SELECT pg_notify($3, account) FROM released
"""
_FREE = """
SELECT EXISTS (
    SELECT FROM unnest($1::text[]) AS wanted (account) WHERE NOT EXISTS (
        SELECT FROM connectors.lease AS l WHERE l.account = wanted.account AND l.until >= clock_timestamp()
    )
)
"""


class LeaseLostError(Exception):
    """Another process works this account off by now: what this one was about to record must not count."""


class MovedError(Exception):
    """The entry isn't any more what was read: somebody else has changed it."""


class Waiting(msgspec.Struct, frozen=True):
    """How a waiting command stands in its column."""

    type: str
    command: msgspec.Raw
    decided_at: datetime
    traceparent: str | None = None


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry says about a connection now."""

    version: int
    paused: bool


async def locked(tx: Connection, sides: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
    """Lock and return the entries of these (link, side) that exist, in one order for every caller."""
    wanted = sorted(set(sides))
    rows = await tx.fetch(_LOCK, [UUID(link) for link, _ in wanted], [side for _, side in wanted])
    return {(entry.link, entry.side): entry for entry in map(_entry, rows)}


async def again(tx: Connection, entry: Entry) -> Entry:
    """Lock the entry and return it as it is now. Raises `MovedError` unless its state and attempt are as in `entry`."""
    row = await tx.fetchrow(_ONE, UUID(entry.link), entry.side)
    now = None if row is None else _entry(row)
    if now is None or (now.aim.version, now.state, now.attempt) != (entry.aim.version, entry.state, entry.attempt):
        raise MovedError(entry.link)
    return now


async def due(
    tx: Connection,
    account: str,
    states: Sequence[str],
    now: datetime,
    limit: int = 1,
    *,
    but: Collection[Place] = (),
) -> list[Entry]:
    """Lock and return entries whose time has come: those in doubt first, then the oldest. `but` are left out."""
    links, sides = [place[0] for place in but], [place[1] for place in but]
    return [_entry(row) for row in await tx.fetch(_DUE, account, list(states), now, limit, links, sides)]


async def next_due(
    tx: "Connection | Store", account: str, states: Sequence[str], *, but: Collection[Place] = ()
) -> datetime | None:
    """When the next entry's time comes, `but` left out; None if there is none."""
    links, sides = [place[0] for place in but], [place[1] for place in but]
    moment: datetime | None = await tx.fetchval(_NEXT_DUE, account, list(states), links, sides)
    return moment


async def untold(tx: Connection, account: str, before: datetime) -> list[Entry]:
    """Lock and return entries in doubt since `before` or longer of which nobody was told."""
    return [_entry(row) for row in await tx.fetch(_UNTOLD, account, before)]


async def abandoned(tx: Connection, account: str, now: datetime, reason: str) -> None:
    """Put what a former worker was sending in doubt."""
    await tx.execute(_ABANDONED, account, now, reason)


async def retire(tx: Connection) -> None:
    """After the database was restored from a copy (P12): what was open then may have been sent since, or not.

    Every open version is over, without a receipt. A create's key and body stay as if it had been sent: the next
    create of its side first asks what became of it.
    """
    await tx.execute(_RETIRE)


async def add(tx: Connection, entry: Entry) -> None:
    """Write a new entry."""
    await tx.execute(_NEW, *_values(entry))


async def save(tx: Connection, before: Entry, after: Entry) -> None:
    """Write the entry, if it still is what `before` says. Raises `MovedError`."""
    version = before.aim.version
    status = await tx.execute(_SAVE, *_values(after), version.incarnation, version.n, before.state, before.attempt)
    if status != "UPDATE 1":
        raise MovedError(before.link)


async def permit(tx: Connection, connection: str) -> Permit | None:
    """What the registry says about a connection; None if there is none (any more)."""
    row = await tx.fetchrow(_CONNECTION, connection)
    if row is None or row["removed_at"] is not None:
        return None
    return Permit(version=row["version"], paused=row["paused_at"] is not None)


async def lease(store: Store, account: str, holder: str, seconds: float, *, inherits: bool = True) -> int | None:
    """Take the right to work the account off, for some seconds of the database's clock. Returns its token.

    None: another holder has it. Who had it under the same name before has lost it, if this one `inherits`.
    """
    token: int | None = await store.fetchval(_LEASE, account, holder, timedelta(seconds=seconds), inherits)
    return token


async def renew(store: Store, account: str, token: int, seconds: float) -> bool:
    """Keep the lease for so many seconds from now; False if it is lost."""
    return await store.fetchval(_RENEW, account, token, timedelta(seconds=seconds)) is not None


async def must_hold(tx: "Connection | Store", account: str, token: int) -> None:
    """Hold the lease until this transaction ends, or raise `LeaseLostError`; by a store, it is looked at only."""
    if await tx.fetchval(_HELD, account, token) is None:
        raise LeaseLostError(account)


async def release(store: Store, account: str, token: int, channel: str) -> None:
    """Give the lease back, and tell whoever listens to `channel`."""
    await store.execute(_RELEASE, account, token, channel)


async def any_free(store: Store, accounts: Iterable[str]) -> bool:
    """Whether nobody holds the lease of one of the accounts."""
    free: bool = await store.fetchval(_FREE, sorted(accounts))
    return free


def _entry(row: Record) -> Entry:
    command: Write = msgspec.json.decode(row["command"], type=COMMANDS[row["type"]])
    waiting = None
    if row["waiting"] is not None:
        raw = msgspec.json.decode(row["waiting"], type=Waiting)
        waiting = Task(
            type=raw.type,
            command=msgspec.json.decode(raw.command, type=COMMANDS[raw.type]),
            decided_at=raw.decided_at,
            traceparent=raw.traceparent,
        )
    return Entry(
        link=str(row["link"]),
        side=row["side"],
        app=row["app"],
        task=Task(
            type=row["type"],
            command=command,
            decided_at=row["decided_at"],
            traceparent=row["traceparent"],
        ),
        settled=Version(row["settled_incarnation"], row["settled_n"]),
        waiting=waiting,
        state=row["state"],
        attempt=row["attempt"],
        failures=row["failures"],
        key_n=row["key_n"],
        absences=row["absences"],
        frozen=None if row["frozen"] is None else msgspec.json.decode(row["frozen"], type=Create),
        frozen_at=row["frozen_at"],
        made=None if row["made"] is None else msgspec.json.decode(row["made"], type=Observation),
        first_sent_at=row["first_sent_at"],
        next_try_at=row["next_try_at"],
        unknown_since=row["unknown_since"],
        unknown_reason=row["unknown_reason"],
        told_unknown=row["told_unknown"],
        inquire=row["inquire"],
        receipt=None if row["receipt"] is None else msgspec.json.decode(row["receipt"], type=Receipt),
        created_at=row["created_at"],
    )


def _values(entry: Entry) -> tuple[object, ...]:
    aim, task = entry.aim, entry.task
    waiting = entry.waiting and Waiting(
        entry.waiting.type,
        msgspec.Raw(msgspec.json.encode(entry.waiting.command)),
        entry.waiting.decided_at,
        entry.waiting.traceparent,
    )
    return (
        UUID(entry.link),
        entry.side,
        entry.app,
        aim.account,
        aim.connection,
        aim.config_version,
        aim.version.incarnation,
        aim.version.n,
        entry.settled.incarnation,
        entry.settled.n,
        task.type,
        msgspec.json.encode(task.command),
        task.decided_at,
        task.traceparent,
        None if waiting is None else msgspec.json.encode(waiting),
        entry.state,
        entry.attempt,
        entry.failures,
        entry.key_n,
        entry.absences,
        _encoded(entry.frozen),
        entry.frozen_at,
        _encoded(entry.made),
        entry.first_sent_at,
        entry.next_try_at,
        entry.unknown_since,
        entry.unknown_reason,
        entry.told_unknown,
        entry.inquire,
        _encoded(entry.receipt),
        entry.created_at,
    )


def _encoded(value: Create | Observation | Receipt | None) -> bytes | None:
    return None if value is None else msgspec.json.encode(value)
