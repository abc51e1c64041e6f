"""The connections in force, as the registry has them, compiled with both apps' manifests."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from services.contracts.app import Manifest
from services.contracts.connection import Connection
from services.runtime.store import Connection as Database
from services.sync.core.mapping import Config, compile_config

_CONNECTIONS = "SELECT body, version, paused_at, removed_at FROM registry.connection ORDER BY name"
_ACCOUNTS = "SELECT name, app, settings, removed_at FROM registry.account ORDER BY name"
_INCARNATION = "SELECT n, EXISTS (SELECT FROM sync.catching_up) AS catching_up FROM registry.incarnation"


class MissingAppError(Exception):
    """An account's app isn't installed here: what is said about that account can't be taken in, nor passed over."""

    def __init__(self, account: str, app: str) -> None:
        super().__init__(
            f"The account {account} is one of the app {app}, which this contactsync doesn't have. Start the version "
            "that put it into force, or install the app's package here."
        )


@dataclass(frozen=True, kw_only=True)
class Configs:
    """What a transaction of sync needs to know of the registry."""

    connections: dict[str, Config]
    manifests: dict[str, Manifest]
    """By account."""
    incarnation: int
    catching_up: bool = False
    """The database was restored from a copy, and the log isn't read again yet up to where it stood then."""


async def read_configs(database: Database, manifests: Mapping[str, Manifest]) -> Configs:
    """Read all connections. `manifests` is by app. Raises `MissingAppError`."""
    accounts: dict[str, Manifest] = {}
    for row in await database.fetch(_ACCOUNTS):
        if row["app"] in manifests:
            settings = msgspec.json.decode(row["settings"], type=dict[str, str])
            accounts[row["name"]] = manifests[row["app"]].of(settings)
        elif row["removed_at"] is None:
            raise MissingAppError(row["name"], row["app"])
    compiled: dict[str, Config] = {}
    for row in await database.fetch(_CONNECTIONS):
        connection = msgspec.json.decode(row["body"], type=Connection)
        if connection.left in accounts and connection.right in accounts:
            compiled[connection.name] = compile_config(
                connection,
                row["version"],
                accounts,
                paused=row["paused_at"] is not None,
                removed=row["removed_at"] is not None,
            )
    now = await database.fetchrow(_INCARNATION)
    if now is None:
        raise AssertionError("the migrations put one row there")
    return Configs(connections=compiled, manifests=accounts, incarnation=now["n"], catching_up=now["catching_up"])
