"""The connections in force, as the registry has them, compiled with both apps' manifests."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from services.contracts.app import Manifest
from services.contracts.connection import Connection
from services.runtime.store import Connection as Database
from services.sync.core.mapping import Config, compile_config

_CONNECTIONS = "SELECT body, version, paused_at, removed_at FROM registry.connection ORDER BY name"
_ACCOUNTS = "SELECT name, app, settings, removed_at FROM registry.account ORDER BY name"
_INCARNATION = """
SELECT n, EXISTS (SELECT FROM sync.catching_up) AS catching_up,
       EXISTS (SELECT FROM sync.input_config WHERE fingerprint = $1) AS noted
  FROM registry.incarnation
"""


class MissingAppError(Exception):
    """An account's app isn't installed here: what is said about that account can't be taken in, nor passed over."""

    def __init__(self, account: str, app: str) -> None:
        super().__init__(
            f"The account {account} is one of the app {app}, which this contactsync doesn't have. Start the version "
            "that put it into force, or install the app's package here."
        )


class ToldConnection(msgspec.Struct, frozen=True, array_like=True):
    """A connection's row of the registry."""

    body: str
    version: int
    paused: bool
    removed: bool


class ToldAccount(msgspec.Struct, frozen=True, array_like=True):
    """An account's row of the registry."""

    name: str
    app: str
    settings: str
    removed: bool


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the registry said: everything of it that a decision may depend on, without any secret."""

    connections: tuple[ToldConnection, ...]
    accounts: tuple[ToldAccount, ...]

    def encoded(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)

    @property
    def fingerprint(self) -> str:
        """What it is known by: the same text for the same content."""
        return blake2b(self.encoded(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Configs:
    """What a transaction of sync needs to know of the registry."""

    connections: dict[str, Config]
    manifests: dict[str, Manifest]
    """By account."""
    incarnation: int
    catching_up: bool = False
    """The database was restored from a copy, and the log isn't read again yet up to where it stood then."""
    told: Told | None = None
    """What they were compiled from; None where that isn't the registry."""
    noted: bool = False
    """Whether what was told is kept beside the inputs already."""


async def read_configs(database: Database, manifests: Mapping[str, Manifest]) -> Configs:
    """Read all connections. `manifests` is by app. Raises `MissingAppError`."""
    accounts = tuple(
        ToldAccount(row["name"], row["app"], row["settings"], row["removed_at"] is not None)
        for row in await database.fetch(_ACCOUNTS)
    )
    connections = tuple(
        ToldConnection(row["body"], row["version"], row["paused_at"] is not None, row["removed_at"] is not None)
        for row in await database.fetch(_CONNECTIONS)
    )
    told = Told(connections=connections, accounts=accounts)
    now = await database.fetchrow(_INCARNATION, told.fingerprint)
    if now is None:
        raise AssertionError("the migrations put one row there")
    return configs_of(told, manifests, incarnation=now["n"], catching_up=now["catching_up"], noted=now["noted"])


def configs_of(
    told: Told, manifests: Mapping[str, Manifest], *, incarnation: int, catching_up: bool = False, noted: bool = True
) -> Configs:
    """Compile what the registry said with the apps' manifests, by app. Raises `MissingAppError`."""
    accounts: dict[str, Manifest] = {}
    for account in told.accounts:
        if account.app in manifests:
            settings = msgspec.json.decode(account.settings, type=dict[str, str])
            accounts[account.name] = manifests[account.app].of(settings)
        elif not account.removed:
            raise MissingAppError(account.name, account.app)
    compiled: dict[str, Config] = {}
    for row in told.connections:
        connection = msgspec.json.decode(row.body, type=Connection)
        if connection.left in accounts and connection.right in accounts:
            compiled[connection.name] = compile_config(
                connection, row.version, accounts, paused=row.paused, removed=row.removed
            )
    return Configs(
        connections=compiled,
        manifests=accounts,
        incarnation=incarnation,
        catching_up=catching_up,
        told=told,
        noted=noted,
    )
