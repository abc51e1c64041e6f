"""Another key for what is stored: every credential and token is opened, and sealed with the newest key.

In small transactions, each row once: ended in the middle, it goes on where it was. What it seals anew keeps its time,
because the value is the same.
"""

from __future__ import annotations

from functools import partial

import msgspec

from services.runtime.secrets import SecretsError, Vault, purpose
from services.runtime.store import Connection as Database
from services.runtime.store import Record, Store

# What `apply` and `authorize` take first, too: nobody seals with an older key meanwhile.
_LOCK = "LOCK TABLE registry.config IN SHARE ROW EXCLUSIVE MODE"
_CREDENTIALS = """
SELECT account, field, sealed, key_id, seed_digest FROM registry.credential
WHERE key_id <> $1 AND (account, field) > ($2, $3) ORDER BY account, field LIMIT $4 FOR UPDATE
"""
_SEAL_CREDENTIAL = """
UPDATE registry.credential SET sealed = $3, key_id = $4, seed_digest = $5 WHERE account = $1 AND field = $2
"""
_SEALER = "encode(substring(sealed from 2 for 4), 'hex')"
# A token that is being renewed is locked for as long as the app takes.
_TOKENS = f"""
SELECT account, sealed, seed_digest, {_SEALER} AS key_id FROM registry.token
WHERE {_SEALER} <> $1 AND account > $2 ORDER BY account LIMIT $3 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - made of constants
_TOKEN = f"""
SELECT account, sealed, seed_digest, {_SEALER} AS key_id FROM registry.token
WHERE {_SEALER} <> $1 AND account = $2 FOR UPDATE
"""  # noqa: S608 - made of constants
_TOKENS_LEFT = f"SELECT account FROM registry.token WHERE {_SEALER} <> $1 ORDER BY account"  # noqa: S608
_SEAL_TOKEN = "UPDATE registry.token SET sealed = $2, seed_digest = $3 WHERE account = $1"  # noqa: S105 - a statement
_OF_ACCOUNT = "SELECT account, field, sealed FROM registry.credential WHERE account = ANY($1)"
_COUNTS = f"""
SELECT key_id, sum(credentials)::bigint AS credentials, sum(tokens)::bigint AS tokens FROM (
    SELECT key_id, 1 AS credentials, 0 AS tokens FROM registry.credential
    UNION ALL SELECT {_SEALER}, 0, 1 FROM registry.token WHERE sealed IS NOT NULL
) AS each GROUP BY key_id ORDER BY key_id
"""  # noqa: S608 - made of constants
_BATCH = 500


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """How much a key has sealed of what is stored."""

    key_id: str
    credentials: int
    tokens: int


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """What was sealed anew."""

    credentials: int
    tokens: int
    left: tuple[str, ...]
    """What couldn't be opened, as `account.field`, or `account` for its token: it is as it was."""
    forgot: tuple[str, ...]
    """Stored by other means than the file, which had a value, too: whether the file's changes isn't known any more."""


async def sealed(database: Database) -> list[Sealed]:
    """How much each key has sealed."""
    return [
        Sealed(key_id=row["key_id"], credentials=row["credentials"], tokens=row["tokens"])
        for row in await database.fetch(_COUNTS)
    ]


async def rotate(store: Store, vault: Vault, *, batch: int = _BATCH) -> Rotated:
    """Seal with the vault's newest key what older ones sealed, `batch` rows in a transaction.

    Raises the store's errors; then what was done is kept, and the next call does the rest.
    """
    work = _Work(vault)
    place = ("", "")
    while rows := await store.retrying(partial(work.credentials, after=place, batch=batch), repeatable=True):
        place = rows[-1]
    account = ""
    while done := await store.retrying(partial(work.tokens, after=account, batch=batch), repeatable=True):
        account = done[-1]
    for (left,) in await store.fetch(_TOKENS_LEFT, vault.key_id):
        await store.retrying(partial(work.token, account=left), repeatable=True)
    return work.outcome()


class _Work:
    """What is under way; a transaction that is repeated counts once."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._credentials: set[str] = set()
        self._tokens: set[str] = set()
        self._left: set[str] = set()
        self._forgot: set[str] = set()

    def outcome(self) -> Rotated:
        return Rotated(
            credentials=len(self._credentials),
            tokens=len(self._tokens),
            left=tuple(sorted(self._left)),
            forgot=tuple(sorted(self._forgot)),
        )

    async def credentials(self, database: Database, after: tuple[str, str], batch: int) -> list[tuple[str, str]]:
        await database.execute(_LOCK)
        rows = await database.fetch(_CREDENTIALS, self._vault.key_id, *after, batch)
        anew = []
        for row in rows:
            name, place = f"{row['account']}.{row['field']}", purpose(row["account"], row["field"])
            if (plain := self._opened(name, row, place)) is None:
                continue
            digest = self._digest(row, plain, place)
            if row["seed_digest"] is not None and digest is None:
                self._forgot.add(name)
            self._credentials.add(name)
            anew.append((row["account"], row["field"], self._vault.seal(plain, place), self._vault.key_id, digest))
        await database.executemany(_SEAL_CREDENTIAL, anew)
        return [(row["account"], row["field"]) for row in rows]

    async def tokens(self, database: Database, after: str, batch: int) -> list[str]:
        rows = await database.fetch(_TOKENS, self._vault.key_id, after, batch)
        await self._seal_tokens(database, rows)
        return [row["account"] for row in rows]

    async def token(self, database: Database, account: str) -> None:
        await self._seal_tokens(database, await database.fetch(_TOKEN, self._vault.key_id, account))

    async def _seal_tokens(self, database: Database, rows: list[Record]) -> None:
        seeds = await self._seeds(database, [row["account"] for row in rows])
        anew = []
        for row in rows:
            account, place = row["account"], purpose(row["account"], "registry.token")
            if (plain := self._opened(account, row, place)) is None:
                continue
            descends = (self._digest(row, seed, place) for seed in seeds.get(account, ()))
            digest = next((each for each in descends if each is not None), None)
            self._tokens.add(account)
            anew.append((account, self._vault.seal(plain, place), digest))
        await database.executemany(_SEAL_TOKEN, anew)

    async def _seeds(self, database: Database, accounts: list[str]) -> dict[str, list[bytes]]:
        """Every text of the accounts' credentials: one of them is what a token descends from."""
        found: dict[str, list[bytes]] = {}
        for row in await database.fetch(_OF_ACCOUNT, accounts):
            try:
                plain = self._vault.open(bytes(row["sealed"]), purpose(row["account"], row["field"]))
                values = msgspec.json.decode(plain, type=tuple[str, ...])
            except (SecretsError, msgspec.MsgspecError):
                continue
            found.setdefault(row["account"], []).extend(value.encode() for value in values)
        return found

    def _opened(self, name: str, row: Record, place: str) -> bytes | None:
        try:
            plain = self._vault.open(bytes(row["sealed"]), place)
        except SecretsError:
            self._left.add(name)
            return None
        self._left.discard(name)
        return plain

    def _digest(self, row: Record, plain: bytes, place: str) -> bytes | None:
        """The newest key's digest of what the row's digest is of; None if that isn't `plain`."""
        before = self._vault.digests(plain, place).get(row["key_id"])
        return self._vault.digest(plain, place) if before is not None and row["seed_digest"] == before else None
