"""Credentials by other means than the file: what `contactsync authorize` got, sealed where `apply` finds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from services.contracts.connection import Account
from services.runtime.registry.seed import authorised
from services.runtime.secrets import Vault, purpose
from services.runtime.store import Connection as Database

_LOCK = "LOCK TABLE registry.config IN SHARE ROW EXCLUSIVE MODE"
_VERSION = "SELECT max(version) FROM registry.config"
_NOTHING = """
INSERT INTO registry.config (applied_at, applied_by, source, content) VALUES ($1, $2, $3, $4) RETURNING version
"""
_KNOWN = "SELECT app, settings, removed_at FROM registry.account WHERE name = $1"
# Not in force: neither read nor written to before a file names it, and no file that doesn't name it removes it.
_ACCOUNT = """
INSERT INTO registry.account (name, app, settings, config_version, removed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO UPDATE SET settings = $3 WHERE account.removed_at IS NOT NULL
"""
_SEED = "SELECT key_id, seed_digest FROM registry.credential WHERE account = $1 AND field = $2"
_PUT = """
INSERT INTO registry.credential (account, field, sealed, key_id, seed_digest, updated_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account, field) DO UPDATE SET sealed = $3, key_id = $4, seed_digest = $5, updated_at = $6
"""
_FIELDS = "SELECT account, field FROM registry.credential"
_EMPTY = msgspec.json.encode({"accounts": [], "connections": []})
_SOURCE = "# Nothing was applied yet: an account was authorised first.\n"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """An account that the registry has."""

    account: Account
    in_force: bool
    """Whether the file names it: then its settings are the file's."""


async def known(database: Database, name: str) -> Known | None:
    """Return the account of that name, also one that no file names (any more)."""
    row = await database.fetchrow(_KNOWN, name)
    if row is None:
        return None
    settings = msgspec.json.decode(row["settings"], type=dict[str, str])
    return Known(account=Account(name=name, app=row["app"], settings=settings), in_force=row["removed_at"] is None)


async def fields(database: Database) -> dict[str, frozenset[str]]:
    """Return which credentials are stored: account -> keys."""
    found: dict[str, set[str]] = {}
    for row in await database.fetch(_FIELDS):
        found.setdefault(row["account"], set()).add(row["field"])
    return {account: frozenset(keys) for account, keys in found.items()}


async def keep(
    database: Database,
    vault: Vault,
    account: Account,
    credentials: Mapping[str, tuple[str, ...]],
    *,
    by: str,
    now: datetime,
) -> None:
    """Store credentials of an account, in the caller's transaction; keys that aren't given stay as they are.

    An account that no file names yet is noted with its settings. A value that the file had keeps its digest: the same
    file applied again doesn't bring the old value back (SEMANTICS G8).
    """
    await database.execute(_LOCK)
    version = await database.fetchval(_VERSION)
    if version is None:
        version = await database.fetchval(_NOTHING, now, by, _SOURCE, _EMPTY)
    settings = msgspec.json.encode(account.settings, order="deterministic")
    await database.execute(_ACCOUNT, account.name, account.app, settings, version, now)
    for key, values in sorted(credentials.items()):
        row = await database.fetchrow(_SEED, account.name, key)
        before = row["seed_digest"] if row and row["key_id"] == vault.key_id else None
        sealed = vault.seal(msgspec.json.encode(values), purpose(account.name, key))
        await database.execute(_PUT, account.name, key, sealed, vault.key_id, authorised(before), now)
