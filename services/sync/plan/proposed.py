"""The connections as they would be with a file in force: what `apply` would make of the registry, compiled."""

from collections.abc import Iterable, Mapping

import msgspec

from services.contracts.app import Manifest
from services.contracts.connection import Account, Connection
from services.sync.configs import Configs, Told, ToldAccount, ToldConnection, configs_of


def proposed(
    stored: Configs, manifests: Mapping[str, Manifest], accounts: Iterable[Account], connections: Iterable[Connection]
) -> Configs:
    """Return what would be in force. `manifests` is by app. Raises `MissingAppError`."""
    if stored.told is None:
        raise AssertionError("configs that are read from the registry say so")
    told = Told(
        connections=_connections(stored.told, {each.name: each for each in connections}),
        accounts=_accounts(stored.told, {each.name: each for each in accounts}),
    )
    return configs_of(told, manifests, incarnation=stored.incarnation, catching_up=stored.catching_up)


def accounts_added(stored: Configs, manifests: Mapping[str, Manifest], accounts: Iterable[Account]) -> Configs:
    """Return the connections in force, with the file's accounts: for taking in what is read of them."""
    if stored.told is None:
        raise AssertionError("configs that are read from the registry say so")
    told = Told(
        connections=stored.told.connections, accounts=_accounts(stored.told, {each.name: each for each in accounts})
    )
    return configs_of(told, manifests, incarnation=stored.incarnation, catching_up=stored.catching_up)


def affected(stored: Configs, wanted: Configs) -> list[str]:
    """Return the connections of the file that aren't in force like that: new, changed, or back."""
    return [
        name
        for name, config in wanted.connections.items()
        if not config.removed and (name not in stored.connections or stored.connections[name].version != config.version)
    ]


def removed(stored: Configs, wanted: Configs) -> list[str]:
    """Return the connections that would no longer be in force."""
    return [
        name
        for name, config in wanted.connections.items()
        if config.removed and name in stored.connections and not stored.connections[name].removed
    ]


def _connections(stored: Told, wanted: Mapping[str, Connection]) -> tuple[ToldConnection, ...]:
    rows, known = [], set()
    for row in stored.connections:
        name = msgspec.json.decode(row.body, type=Connection).name
        known.add(name)
        rows.append(_told(row, wanted.get(name)))
    rows += [
        ToldConnection(_encoded(each), 1, paused=False, removed=False)
        for name, each in sorted(wanted.items())
        if name not in known
    ]
    return tuple(sorted(rows, key=lambda row: msgspec.json.decode(row.body, type=Connection).name))


def _told(row: ToldConnection, wanted: Connection | None) -> ToldConnection:
    if wanted is None:
        return msgspec.structs.replace(row, removed=True)
    body = _encoded(wanted)
    if not row.removed and msgspec.json.decode(row.body) == msgspec.json.decode(body):
        return row
    return ToldConnection(body, row.version + 1, row.paused, removed=False)


def _accounts(stored: Told, wanted: Mapping[str, Account]) -> tuple[ToldAccount, ...]:
    rows = [row for row in stored.accounts if row.name not in wanted]
    rows += [
        ToldAccount(each.name, each.app, msgspec.json.encode(each.settings).decode(), removed=False)
        for each in wanted.values()
    ]
    return tuple(sorted(rows, key=lambda row: row.name))


def _encoded(value: Connection) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
