"""What ingest's tests stand on: a registry with accounts in it, the real log, and what the log holds."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import httpx2
import msgspec

from services.contracts.connection import Account, Connection
from services.contracts.envelope import Envelope, Message, Unreadable, from_headers, unseal
from services.ingest.registry import Accounts, Registered, loader, opener
from services.runtime.app import Access
from services.runtime.clock import SystemClock
from services.runtime.http import client
from services.runtime.log import EVENTS
from services.runtime.log.postgres import PostgresLog
from services.runtime.secrets import Vault, purpose
from services.runtime.store import Store

PARTITIONS = 4
VAULT = Vault(b"a key of the tests, thirty-two b")

_RECORDS = """
SELECT partition, key, headers, value FROM log.record WHERE topic = $1 ORDER BY partition, "offset"
"""


class Found(msgspec.Struct, frozen=True):
    """One record of `contacts.events`."""

    partition: int
    key: bytes
    envelope: Envelope
    message: Message


@contextlib.asynccontextmanager
async def open_log(store: Store) -> AsyncIterator[PostgresLog]:
    async with PostgresLog.open(store) as log:
        await log.create_topics({EVENTS: PARTITIONS})
        yield log


async def records(store: Store) -> list[Found]:
    """Everything in `contacts.events`, by partition."""
    found = []
    for row in await store.fetch(_RECORDS, EVENTS):
        headers = msgspec.msgpack.decode(row["headers"], type=list[tuple[str, bytes]])
        envelope = from_headers(headers, row["value"])
        assert isinstance(envelope, Envelope)
        message = unseal(envelope)
        assert not isinstance(message, Unreadable)
        found.append(Found(row["partition"], bytes(row["key"]), envelope, message))
    return found


async def register(
    store: Store,
    name: str,
    app: str,
    *,
    settings: Mapping[str, str] | None = None,
    credentials: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Put an account into the registry, as `apply` does."""
    version = await store.fetchval(
        "INSERT INTO registry.config (applied_by, source, content) VALUES ('tests', '', '{}') RETURNING version"
    )
    await store.execute(
        "INSERT INTO registry.account (name, app, settings, config_version) VALUES ($1, $2, $3, $4)",
        name,
        app,
        msgspec.json.encode(dict(settings or {})),
        version,
    )
    for field, values in (credentials or {}).items():
        await store.execute(
            "INSERT INTO registry.credential (account, field, sealed, key_id) VALUES ($1, $2, $3, $4)",
            name,
            field,
            VAULT.seal(msgspec.json.encode(list(values)), purpose(name, field)),
            VAULT.key_id,
        )


async def connect(store: Store, left: str, right: str) -> None:
    """Put a connection into the registry."""
    body = Connection(name=f"{left}-{right}", left=left, right=right)
    await store.execute(
        "INSERT INTO registry.connection (name, config_version, body) "
        "VALUES ($1, (SELECT max(version) FROM registry.config), $2)",
        body.name,
        msgspec.json.encode(body),
    )


def accounts(store: Store) -> Accounts:
    return Accounts(loader(store, opener(VAULT)))


@contextlib.asynccontextmanager
async def access() -> AsyncIterator[Callable[[Registered], Access]]:
    """What makes an account callable, over the network."""
    async with client() as http:
        yield accessed(http)


def accessed(http: httpx2.AsyncClient) -> Callable[[Registered], Access]:
    """What makes an account callable, through `http`."""

    def of(registered: Registered) -> Access:
        account: Account = registered.account
        return Access(
            account=account.name,
            settings=account.settings,
            credentials=registered.credentials,
            http=http,
            clock=SystemClock(),
        )

    return of
