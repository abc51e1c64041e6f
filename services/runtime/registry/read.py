"""Reading the registry: what every service knows of accounts and connections. Each function is one statement."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.contracts.connection import Account, Connection
from services.runtime.secrets import SecretsError, Vault, purpose
from services.runtime.store import Connection as Database

_ACCOUNTS = "SELECT name, app, settings FROM registry.account WHERE removed_at IS NULL ORDER BY name"
_CONNECTIONS = """
SELECT body, version, paused_at IS NOT NULL AS paused
FROM registry.connection WHERE removed_at IS NULL ORDER BY name
"""
_CREDENTIALS = """
SELECT c.field, c.sealed FROM registry.credential c JOIN registry.account a ON a.name = c.account
WHERE c.account = $1 AND (a.removed_at IS NULL OR $2)
"""


class Registered(NamedTuple):
    """A connection in force. Its version rises with every change of it; pausing is none."""

    connection: Connection
    version: int
    paused: bool


async def accounts(database: Database) -> list[Account]:
    """The accounts in force, by name."""
    return [
        Account(name=row["name"], app=row["app"], settings=msgspec.json.decode(row["settings"], type=dict[str, str]))
        for row in await database.fetch(_ACCOUNTS)
    ]


async def connections(database: Database) -> list[Registered]:
    """The connections in force, by name, paused ones included."""
    return [
        Registered(msgspec.json.decode(row["body"], type=Connection), row["version"], row["paused"])
        for row in await database.fetch(_CONNECTIONS)
    ]


async def credentials(
    database: Database, vault: Vault, account: str, *, removed: bool = False
) -> dict[str, tuple[str, ...]]:
    """An account's credentials, opened: key -> values. Empty for an unknown account. Raises `SecretsError`.

    `removed`: also those of an account that no file names.
    """
    opened: dict[str, tuple[str, ...]] = {}
    for row in await database.fetch(_CREDENTIALS, account, removed):
        key = row["field"]
        plain = vault.open(row["sealed"], purpose(account, key))
        try:
            opened[key] = msgspec.json.decode(plain, type=tuple[str, ...])
        except msgspec.MsgspecError:
            raise SecretsError(
                f"The stored credential {key} of account {account} isn't a list of texts. Apply the file again."
            ) from None
    return opened
