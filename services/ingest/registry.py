"""The accounts that ingest serves: read from the registry, opened, and kept for a moment."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import asyncpg
import msgspec
import structlog

from services.contracts.connection import Account
from services.runtime.secrets import SecretsError, Vault, purpose
from services.runtime.store import Connection, Store

_ACCOUNTS = """
SELECT a.name, a.app, a.settings, EXISTS (
    SELECT FROM registry.connection c
    WHERE c.removed_at IS NULL AND a.name IN (c.body ->> 'left', c.body ->> 'right')
) AS connected
FROM registry.account a WHERE a.removed_at IS NULL
"""
_CREDENTIALS = """
SELECT c.account, c.field, c.sealed
FROM registry.credential c JOIN registry.account a ON a.name = c.account
WHERE a.removed_at IS NULL
"""

Opener: TypeAlias = Callable[[str, str, bytes], tuple[str, ...]]
"""(account, field, sealed value) -> the values of that credential. Raises `SecretsError`."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """One account with its opened credentials."""

    account: Account
    credentials: Mapping[str, tuple[str, ...]]
    connected: bool
    """Whether a connection uses it: only then it is polled."""
    trouble: str | None = None
    """Why its settings or credentials can't be used."""

    def __repr__(self) -> str:
        """Credentials stay out of whatever prints this."""
        return f"Registered({self.account.name!r})"


Load: TypeAlias = Callable[[], Awaitable[Mapping[str, Registered]]]


class RegistryUnavailableError(Exception):
    """The registry can't be read now, and what is asked for isn't known from before."""


def opener(vault: Vault) -> Opener:
    """Return what opens credentials sealed as a JSON array of texts under `purpose(account, field)`."""

    def opened(account: str, field: str, sealed: bytes) -> tuple[str, ...]:
        try:
            return msgspec.json.decode(vault.open(sealed, purpose(account, field)), type=tuple[str, ...])
        except msgspec.MsgspecError:
            raise SecretsError(
                f"The stored credential {field} of {account} isn't a list of texts. Apply the file again."
            ) from None

    return opened


def loader(store: Store, opened: Opener) -> Load:
    """Return what reads every account from the registry, in one transaction."""

    async def load() -> Mapping[str, Registered]:
        async with store.transaction("repeatable_read", readonly=True) as connection:
            return await _load(connection, opened)

    return load


async def _load(connection: Connection, opened: Opener) -> Mapping[str, Registered]:
    sealed: dict[str, dict[str, bytes]] = {}
    rows: Sequence[asyncpg.Record] = await connection.fetch(_ACCOUNTS)
    for row in await connection.fetch(_CREDENTIALS):
        sealed.setdefault(row["account"], {})[row["field"]] = bytes(row["sealed"])
    found = {}
    for row in rows:
        name = row["name"]
        credentials: dict[str, tuple[str, ...]] = {}
        settings: dict[str, str] = {}
        trouble = None
        try:
            settings = msgspec.json.decode(row["settings"], type=dict[str, str])
            for field, value in sealed.get(name, {}).items():
                credentials[field] = opened(name, field, value)
        except SecretsError as error:
            trouble = str(error)
        except msgspec.MsgspecError:
            trouble = f"The stored settings of {name} aren't texts. Apply the file again."
        account = Account(name=name, app=row["app"], settings=settings)
        found[name] = Registered(account=account, credentials=credentials, connected=row["connected"], trouble=trouble)
    return found


class Accounts:
    """A view of the registry that is at most `fresh` seconds old while the registry can be read.

    A name that isn't there is looked for again, but all such looks together read at most every `pause`
    seconds: deliveries for made-up names cost the database nothing. While the registry can't be read, known names
    are served as they were. `timeout` is how many seconds one reading may take.
    """

    def __init__(
        self,
        load: Load,
        *,
        fresh: float = 2.0,
        pause: float = 0.25,
        timeout: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._fresh = fresh
        self._pause = pause
        self._timeout = timeout
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._known: Mapping[str, Registered] | None = None
        self._read_at = 0.0
        self._tried_at: float | None = None
        self._failing = False

    async def find(self, name: str) -> Registered | None:
        """Return the account of that name, or None. Raises `RegistryUnavailableError`."""
        served_as_it_was = self._failing and self._lock.locked() and name in (self._known or {})
        if self._due(name) and not served_as_it_was:
            async with self._lock:
                if self._due(name):
                    await self._read()
        if self._known is not None and (found := self._known.get(name)) is not None:
            return found
        if self._failing or self._known is None:
            raise RegistryUnavailableError
        return None

    async def all(self) -> Mapping[str, Registered]:
        """Return every account, read now. Raises `RegistryUnavailableError`."""
        async with self._lock:
            await self._read()
        if self._failing or self._known is None:
            raise RegistryUnavailableError
        return self._known

    def _due(self, name: str) -> bool:
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < self._pause:
            return False
        return self._known is None or now - self._read_at >= self._fresh or name not in self._known

    async def _read(self) -> None:
        log = structlog.get_logger()
        begun = self._monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                known = await self._load()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not self._failing:
                log.warning("registry_unreadable", error=type(error).__name__)
            self._failing = True
        else:
            if self._failing:
                log.info("registry_readable")
            self._tell_new_trouble(known)
            self._failing, self._known, self._read_at = False, known, begun
        finally:
            self._tried_at = self._monotonic()

    def _tell_new_trouble(self, known: Mapping[str, Registered]) -> None:
        for name, registered in known.items():
            before = self._known.get(name) if self._known else None
            if registered.trouble and (before is None or before.trouble != registered.trouble):
                structlog.get_logger().error("account_unusable", account=name, reason="settings_or_credentials")
