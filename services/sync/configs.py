"""The connections in force, as the registry has them, compiled with both apps' manifests."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from services.contracts.app import Manifest
from services.contracts.connection import Connection
from services.runtime.store import Connection as Database
from services.sync.core.mapping import Config, compile_config

_CONNECTIONS = "SELECT body, version, paused_at, removed_at FROM registry.connection ORDER BY name"
_ACCOUNTS = "SELECT name, app, settings FROM registry.account"
_INCARNATION = "SELECT n FROM registry.incarnation"


@dataclass(frozen=True, kw_only=True)
class Configs:
    """What a transaction of sync needs to know of the registry."""

    connections: dict[str, Config]
    manifests: dict[str, Manifest]
    """By account."""
    incarnation: int


async def read_configs(database: Database, manifests: Mapping[str, Manifest]) -> Configs:
    """Read all connections. Accounts of an app that isn't installed here take no part. `manifests` is by app."""
    accounts = {
        row["name"]: manifests[row["app"]].of(msgspec.json.decode(row["settings"], type=dict[str, str]))
        for row in await database.fetch(_ACCOUNTS)
        if row["app"] in manifests
    }
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
    return Configs(connections=compiled, manifests=accounts, incarnation=await database.fetchval(_INCARNATION))
