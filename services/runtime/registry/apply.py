"""Making a checked file the one in force: accounts, sealed credentials and connections, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from services.contracts.connection import Account, Connection
from services.runtime.registry.check import Config
from services.runtime.registry.problem import quoted
from services.runtime.registry.seed import Seeds, seed
from services.runtime.secrets import Vault
from services.runtime.store import Connection as Database
from services.runtime.store import Record, Store

# Readers go on; a second apply waits here and then sees what the first one made.
_LOCK = "LOCK TABLE registry.config IN SHARE ROW EXCLUSIVE MODE"
_LATEST = "SELECT version, source, content FROM registry.config ORDER BY version DESC LIMIT 1"
_CONFIG = """
INSERT INTO registry.config (applied_at, applied_by, source, content) VALUES ($1, $2, $3, $4) RETURNING version
"""
_ACCOUNTS = "SELECT name, app, settings, removed_at FROM registry.account"
_ACCOUNT = """
INSERT INTO registry.account (name, app, settings, config_version) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET settings = $3, config_version = $4, removed_at = NULL
"""
_REMOVE_ACCOUNTS = "UPDATE registry.account SET removed_at = $1, config_version = $2 WHERE name = ANY($3)"
_FORGET = "DELETE FROM registry.credential WHERE account = ANY($1)"
_CONNECTIONS = "SELECT name, version, body, removed_at, paused_at FROM registry.connection"
_CONNECTION = """
INSERT INTO registry.connection (name, config_version, body) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET
    version = connection.version + 1, config_version = $2, body = $3, removed_at = NULL
"""
_REMOVE_CONNECTIONS = "UPDATE registry.connection SET removed_at = $1, config_version = $2 WHERE name = ANY($3)"


@dataclass(frozen=True, slots=True)
class Changes:
    """Names by what became of them, each sorted."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did."""

    version: int
    """Of the config in force now."""
    text: bool
    """Whether the file's text differs from the one that was in force."""
    accounts: Changes
    connections: Changes
    seeds: Seeds
    paused: tuple[str, ...]
    """Connections of the file that are paused."""

    @property
    def changed(self) -> bool:
        """Whether anything but the file's wording is different now."""
        return bool(self.accounts or self.connections or self.seeds)


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The file is right in itself but contradicts what is stored; nothing was changed. Sentences for a person."""

    reasons: tuple[str, ...]


@dataclass(slots=True)
class _Plan:
    changes: Changes
    reasons: list[str] = field(default_factory=list)


async def apply(
    store: Store, vault: Vault, config: Config, *, by: str, now: datetime, after: int | None = None
) -> Applied | NotApplicable:
    """Put `config` into force at `now`, on behalf of `by`. Applying the same again changes nothing.

    `after`: the version that has to be in force until then, 0 for none; without it, whichever is.

    A connection's version rises only if its body changed or it comes back after having been removed. Whole or not
    at all; two at once run one after the other. Removed accounts lose their credentials. Raises asyncpg's errors.
    """

    async def work(database: Database) -> Applied | NotApplicable:
        return await _apply(database, vault, config, by, now, after)

    return await store.retrying(work, repeatable=True)


async def contradictions(database: Database, config: Config) -> tuple[str, ...]:
    """Return why `config` couldn't be put into force, as sentences for a person; none if it could. Changes nothing."""
    accounts = {account.name: account for account in config.accounts}
    connections = {connection.name: connection for connection in config.connections}
    reasons = _plan_accounts(accounts, await database.fetch(_ACCOUNTS)).reasons
    return (*reasons, *_plan_connections(connections, await database.fetch(_CONNECTIONS)).reasons)


async def _apply(
    database: Database, vault: Vault, config: Config, by: str, now: datetime, after: int | None
) -> Applied | NotApplicable:
    await database.execute(_LOCK)
    latest = await database.fetchrow(_LATEST)
    if after is not None and after != (0 if latest is None else latest["version"]):
        return NotApplicable(("Another file was applied at the same moment: look at the plan again.",))
    accounts = {account.name: account for account in config.accounts}
    connections = {connection.name: connection for connection in config.connections}
    stored_connections = await database.fetch(_CONNECTIONS)
    account_plan = _plan_accounts(accounts, await database.fetch(_ACCOUNTS))
    connection_plan = _plan_connections(connections, stored_connections)
    if reasons := (*account_plan.reasons, *connection_plan.reasons):
        return NotApplicable(reasons)
    content = _encoded(
        {
            "accounts": [accounts[name] for name in sorted(accounts)],
            "connections": [connections[name] for name in sorted(connections)],
        }
    )
    text = latest is None or latest["source"] != config.source
    content_differs = latest is None or msgspec.json.decode(latest["content"]) != msgspec.json.decode(content)
    version: int
    if latest is None or text or content_differs or account_plan.changes or connection_plan.changes:
        version = await database.fetchval(_CONFIG, now, by, config.source, content)
    else:
        version = latest["version"]
    await _write(database, accounts, account_plan.changes, connections, connection_plan.changes, version, now)
    seeds = await seed(database, vault, config.credentials, now)
    paused = sorted(row["name"] for row in stored_connections if row["paused_at"] and row["name"] in connections)
    return Applied(version, text, account_plan.changes, connection_plan.changes, seeds, tuple(paused))


async def _write(
    database: Database,
    accounts: Mapping[str, Account],
    account_changes: Changes,
    connections: Mapping[str, Connection],
    connection_changes: Changes,
    version: int,
    now: datetime,
) -> None:
    for name in (*account_changes.new, *account_changes.changed):
        account = accounts[name]
        await database.execute(_ACCOUNT, name, account.app, _encoded(account.settings), version)
    for name in (*connection_changes.new, *connection_changes.changed):
        await database.execute(_CONNECTION, name, version, _encoded(connections[name]))
    if connection_changes.removed:
        await database.execute(_REMOVE_CONNECTIONS, now, version, connection_changes.removed)
    if account_changes.removed:
        await database.execute(_REMOVE_ACCOUNTS, now, version, account_changes.removed)
        await database.execute(_FORGET, account_changes.removed)


def _plan_accounts(wanted: Mapping[str, Account], rows: list[Record]) -> _Plan:
    stored = {row["name"]: row for row in rows}
    reasons = [
        f"Account {quoted(name)} belongs to {stored[name]['app']}, and the file makes it one of {account.app}. What is "
        "known of its contacts would be taken for the other app's: give the new account another name."
        for name, account in sorted(wanted.items())
        if name in stored and stored[name]["app"] != account.app
    ]
    same = {
        name
        for name, account in wanted.items()
        if name in stored and msgspec.json.decode(stored[name]["settings"]) == account.settings
    }
    return _Plan(_changes(wanted, stored, same), reasons)


def _plan_connections(wanted: Mapping[str, Connection], rows: list[Record]) -> _Plan:
    stored = {row["name"]: row for row in rows}
    bodies = {name: msgspec.json.decode(row["body"]) for name, row in stored.items()}
    reasons = [
        f"Connection {quoted(name)} pairs {quoted(body['left'])} and {quoted(body['right'])}, and the file makes it "
        f"{quoted(connection.left)} and {quoted(connection.right)}. Its pairs of contacts would be taken for the other "
        "accounts': give the new connection another name."
        for name, connection in sorted(wanted.items())
        if (body := bodies.get(name)) and (body["left"], body["right"]) != (connection.left, connection.right)
    ]
    same = {
        name for name, body in bodies.items() if name in wanted and body == msgspec.json.decode(_encoded(wanted[name]))
    }
    return _Plan(_changes(wanted, stored, same), reasons)


def _changes(wanted: Mapping[str, object], stored: Mapping[str, Record], same: set[str]) -> Changes:
    live = {name for name, row in stored.items() if row["removed_at"] is None}
    return Changes(
        new=tuple(sorted(wanted.keys() - live)),
        changed=tuple(sorted((wanted.keys() & live) - same)),
        removed=tuple(sorted(live - wanted.keys())),
        unchanged=tuple(sorted(wanted.keys() & live & same)),
    )


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
