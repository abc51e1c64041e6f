"""`status`: connections' health, scans and accounts."""

from __future__ import annotations

from datetime import datetime

import msgspec

from services.cli.database import opened
from services.cli.output import age, say, table
from services.connectors import hand
from services.connectors import parked as aside_by_connectors
from services.connectors.hand import UnknownOutcome
from services.contracts.connection import Connection
from services.runtime.registry import read
from services.runtime.settings import load
from services.runtime.store import Connection as Database
from services.sync.hand import parked as aside_by_sync
from services.sync.hand import refused
from services.sync.health import ConnectionHealth, health

_ACCOUNTS = """
SELECT a.name, a.app, c.state, c.scan_pages, c.scan_count, c.scan_started_at, c.scan_finished_at, c.last_ok_at,
    c.trouble_since, c.last_trouble, w.paused_until, w.breaker_open_since, w.revoked_at, w.reason
FROM registry.account a
LEFT JOIN ingest.cursor c ON c.account = a.name
LEFT JOIN connectors.account w ON w.account = a.name
WHERE a.removed_at IS NULL ORDER BY a.name
"""


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """The scan under way, or the last one."""

    running: bool
    pages: int
    contacts: int
    per_second: float | None
    """Contacts; None where it took no time that can be measured."""
    started_at: datetime
    finished_at: datetime | None


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why an account can't be read or written to now, and what follows."""

    what: str
    since: datetime | None
    next_step: str


class AccountHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One account."""

    name: str
    app: str
    scan: Scan | None
    read_at: datetime | None
    """When its change feed last answered; None where it has none, or never did."""
    troubles: tuple[Trouble, ...]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One connection."""

    connection: Connection
    version: int
    paused: bool
    health: ConnectionHealth


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `status` shows."""

    at: datetime
    connections: tuple[Line, ...]
    accounts: tuple[AccountHealth, ...]
    unknown: tuple[UnknownOutcome, ...]
    """Writes of which nobody has known for an hour whether the app did them."""
    parked: int
    """Messages that are set aside."""
    stuck: int
    """Links and contacts whose reconsideration failed."""


async def status(*, as_json: bool) -> int:
    """Print it."""
    async with opened(load()) as store, store.transaction("repeatable_read", readonly=True) as database:
        overview = await _overview(database)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(overview), indent=2).decode())
    else:
        _print(overview)
    return 0


async def _overview(database: Database) -> Overview:
    at: datetime = await database.fetchval("SELECT now()")
    known = {found.connection: found for found in await health(database)}
    lines = tuple(
        Line(
            connection=connection,
            version=version,
            paused=paused,
            health=known.get(connection.name, ConnectionHealth(connection=connection.name)),
        )
        for connection, version, paused in await read.connections(database)
    )
    return Overview(
        at=at,
        connections=lines,
        accounts=tuple(await _accounts(database, at)),
        unknown=tuple(await hand.unknown(database, at - hand.LISTED_AFTER)),
        parked=len(await aside_by_sync.listed(database)) + len(await aside_by_connectors.listed(database)),
        stuck=await refused.stuck(database),
    )


async def _accounts(database: Database, at: datetime) -> list[AccountHealth]:
    found: list[AccountHealth] = []
    for row in await database.fetch(_ACCOUNTS):
        scan = None
        if row["state"] is not None:
            ended: datetime = row["scan_finished_at"] or at
            seconds = (ended - row["scan_started_at"]).total_seconds()
            scan = Scan(
                running=row["state"] == "scanning",
                pages=row["scan_pages"],
                contacts=row["scan_count"],
                per_second=round(row["scan_count"] / seconds, 1) if seconds > 0 else None,
                started_at=row["scan_started_at"],
                finished_at=row["scan_finished_at"],
            )
        troubles: list[Trouble] = []
        if row["trouble_since"]:
            what = row["last_trouble"] or "it can't be read"
            troubles.append(Trouble(what=what, since=row["trouble_since"], next_step="it is asked again by itself"))
        reason = f" ({row['reason']})" if row["reason"] else ""
        if row["revoked_at"]:
            troubles.append(
                Trouble(
                    what=f"its credentials are refused{reason}",
                    since=row["revoked_at"],
                    next_step=f"`contactsync authorize {row['name']}`, or apply the file with a new credential",
                )
            )
        elif row["breaker_open_since"]:
            troubles.append(
                Trouble(
                    what=f"it doesn't take writes{reason}",
                    since=row["breaker_open_since"],
                    next_step="it is tried again by itself",
                )
            )
        elif row["paused_until"] and row["paused_until"] > at:
            troubles.append(
                Trouble(
                    what="its quota is used up",
                    since=None,
                    next_step=f"it goes on in {age(row['paused_until'] - at)}",
                )
            )
        found.append(
            AccountHealth(
                name=row["name"], app=row["app"], scan=scan, read_at=row["last_ok_at"], troubles=tuple(troubles)
            )
        )
    return found


def _print(overview: Overview) -> None:
    if not overview.connections:
        say("There are no connections: `contactsync apply FILE` brings some.")
    else:
        _print_connections(overview)
    if overview.accounts:
        say("")
        _print_accounts(overview)
    _print_by_hand(overview)


def _print_connections(overview: Overview) -> None:
    columns = ("connection", "", "in sync", "being written", "excluded", "duplicate", "deleted", "held", "failed")
    arrows = {"two_way": "<->", "left_to_right": "->", "right_to_left": "<-"}
    rows = []
    for line in overview.connections:
        pair, found = line.connection, line.health
        what = f"{pair.left} {arrows[pair.direction]} {pair.right}{' (paused)' if line.paused else ''}"
        counts = (
            found.in_sync,
            found.writing,
            found.excluded,
            found.duplicate,
            found.deleted,
            found.held,
            found.failed,
        )
        rows.append((pair.name, what, *(str(count) for count in counts)))
    table(columns, rows)
    waits = [
        (
            line.connection.name,
            f"{wait.reason} {wait.on}".strip(),
            str(wait.count),
            age(overview.at - wait.since),
            wait.next,
        )
        for line in overview.connections
        for wait in line.health.waiting
    ]
    if waits:
        say("")
        table(("connection", "waiting for", "contacts", "since", "next step"), waits)
    if any(line.health.held for line in overview.connections):
        say("")
        say("Held changes wait for a yes: `contactsync held list`.")


def _print_accounts(overview: Overview) -> None:
    rows = []
    for account in overview.accounts:
        read_ago = age(overview.at - account.read_at if account.read_at else None)
        rows.append((account.name, account.app, _scan(account.scan), read_ago))
    if rows:
        table(("account", "app", "first reading", "read ago"), rows)
    troubles = [
        (
            account.name,
            trouble.what,
            age(overview.at - trouble.since if trouble.since else None),
            trouble.next_step,
        )
        for account in overview.accounts
        for trouble in account.troubles
    ]
    if troubles:
        say("")
        table(("account", "trouble", "for", "next step"), troubles)


def _print_by_hand(overview: Overview) -> None:
    """What only a person can end."""
    if overview.unknown:
        say("")
        rows = [
            (f"{outcome.kind} in {outcome.account}", age(overview.at - outcome.since), _settling(outcome))
            for outcome in overview.unknown
        ]
        table(("outcome unknown", "for", "look into the app, then"), rows)
    if overview.parked:
        say("")
        say(f"Messages set aside: {overview.parked}. `contactsync parked list` shows them.")
    if overview.stuck:
        say("")
        say(f"Couldn't be reconsidered: {overview.stuck}. `contactsync retry --all` tries again.")
    if any(line.health.duplicate for line in overview.connections):
        say("")
        say("Duplicates take no part: `contactsync duplicates` says who is in their way.")
    if any(line.health.failed for line in overview.connections):
        say("")
        say("What an app refused rests until it changes, or until `contactsync retry`.")


def _settling(outcome: UnknownOutcome) -> str:
    done = "--contact ID" if outcome.kind == "create" else "--applied"
    return f"contactsync settle {outcome.link} {done} | --absent"


def _scan(scan: Scan | None) -> str:
    if scan is None:
        return "not begun"
    rate = f", {scan.per_second:g}/s" if scan.per_second is not None else ""
    if scan.running:
        return f"page {scan.pages + 1}, {scan.contacts} contacts so far{rate}"
    return f"{scan.contacts} contacts on {scan.pages} pages{rate}"
