"""Who was forgotten is taken in no more: messages about them are recognised by keyed digests, which tell nobody."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from services.contracts.commands import Create, Find, Look, Tag, Untag, Update
from services.contracts.envelope import Envelope, Headers, Unreadable, from_headers, unseal
from services.contracts.envelope import Message as Body
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    SubscriptionChanged,
)
from services.contracts.receipts import Absent, Found, Receipt
from services.runtime.log import Message, Record
from services.runtime.store import Connection

ERASED = "erased"
"""The type in the headers of a message whose content was erased: every consumer passes over it."""
_ERASED = ERASED.encode()

_VERSION = "SELECT version FROM registry.suppression_key"
_KEY = "SELECT key FROM registry.suppression_key"
_DIGESTS = """
SELECT s.digest FROM registry.suppression s JOIN registry.forgotten f ON f.id = s.entry WHERE f.lifted_at IS NULL
"""
# Lifted entries count, too: what came before them was erased from everything else.
_EVER = """
SELECT s.digest, max(f.number) AS number FROM registry.suppression s JOIN registry.forgotten f ON f.id = s.entry
 WHERE f.number IS NOT NULL GROUP BY 1
"""
# The gate is an advisory lock: whoever takes a message in shares it, whoever forgets somebody has it alone.
_HELD = "SELECT registry.held_suppression()"
_ALONE = "SELECT pg_advisory_xact_lock(registry.suppression_gate())"
# By its value, too: tables of a log that was left for another one have the same places.
_BLANK = """
UPDATE log.record SET key = ''::bytea, headers = $4, value = ''::bytea
 WHERE topic = $1 AND partition = $2 AND "offset" = $3 AND value = $5
"""
_KEPT = ("ce_specversion", "ce_id", "ce_v", "ce_time", "content-type")


class Asked(Protocol):
    """A store, or a transaction of it."""

    async def fetchval(self, query: str, /, *arguments: object) -> int | bytes | None:
        """Return the first column of the first row."""
        ...

    async def fetch(self, query: str, /, *arguments: object) -> Sequence[object]:
        """Return all rows."""
        ...


def digest_of(key: bytes, kind: str, *parts: str) -> bytes:
    """Return the keyed digest of a thing: `contact` (account, id), `address` (normalised) or `link` (id)."""
    return hmac.new(key, "\0".join((kind, *parts)).encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


async def alone(database: Connection) -> None:
    """Wait until whatever is being taken in is taken in; what comes later sees what this transaction leaves."""
    await database.execute(_ALONE)


def blanked(headers: Headers) -> Headers:
    """Return the headers of a message whose content is erased: its id and time, and nothing about whom it was."""
    kept = tuple((name, value) for name, value in headers if name in _KEPT)
    return (*kept, ("ce_type", _ERASED), ("ce_source", b"forget"), ("ce_subject", b""))


async def blank(database: Connection, records: Iterable[Record]) -> None:
    """Erase the content of these messages in the embedded log; another log keeps them until they expire."""
    for record in records:
        headers = msgspec.msgpack.encode(blanked(record.headers))
        await database.execute(_BLANK, *record.partition, record.offset, headers, record.value)


def erased(body: Envelope | Unreadable | None) -> bool:
    """Whether a message's content was erased for a person's sake."""
    return isinstance(body, Envelope) and body.type == ERASED


def is_erased(record: Record) -> bool:
    """Whether a record's content was erased for a person's sake."""
    return ("ce_type", _ERASED) in record.headers


class Suppressed:
    """Everything that is suppressed at one moment."""

    def __init__(self, key: bytes = b"", digests: frozenset[bytes] = frozenset()) -> None:
        self._key = key
        self._digests = digests

    def covers(self, body: Body) -> bool:
        """Whether a message is about somebody who was forgotten."""
        return bool(self._digests) and any(digest_of(self._key, *thing) in self._digests for thing in things(body))

    def kept(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages that aren't about anybody who was forgotten."""
        return [message for message in messages if not self.refuses(message)]

    def refuses(self, message: Message | Record) -> bool:
        """Whether a sealed message is about somebody who was forgotten."""
        if not self._digests:
            return False
        envelope = from_headers(message.headers, message.value)
        body = envelope if isinstance(envelope, Unreadable) else unseal(envelope)
        return not isinstance(body, Unreadable) and self.covers(body)


class Bygone:
    """Everybody who was ever forgotten: history before that is passed over wherever a log still holds it."""

    def __init__(self, key: bytes = b"", numbers: Mapping[bytes, int] | None = None) -> None:
        self._key = key
        self._numbers = numbers or {}

    def covers(self, body: Body, number: int) -> bool:
        """Whether a message, taken in by transaction `number` of `sync.input`, is about one of them.

        An address alone doesn't say so: somebody else may have had it then.
        """
        if not self._numbers:
            return False
        named = (thing for thing in things(body) if thing[0] != "address")
        return any(self._numbers.get(digest_of(self._key, *thing), -1) > number for thing in named)


async def bygone(database: Asked) -> Bygone:
    """Read who was ever forgotten."""
    key = await database.fetchval(_KEY)
    if not isinstance(key, bytes):
        return Bygone()
    rows = await database.fetch(_EVER)
    return Bygone(key, {bytes(row["digest"]): row["number"] for row in rows})  # type: ignore[index]


class Suppressions:
    """What is suppressed now: read anew whenever somebody was forgotten or an entry was lifted."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._last = Suppressed()

    @property
    def last(self) -> Suppressed:
        """What was suppressed when it was read last."""
        return self._last

    async def held(self, database: Connection) -> Suppressed:
        """Read it in a transaction (read committed): until its end nobody is forgotten. One question as a rule."""
        return await self._at(await database.fetchval(_HELD), database)

    async def current(self, database: Asked) -> Suppressed:
        """Read it, in the caller's transaction if it is one."""
        return await self._at(await database.fetchval(_VERSION), database)

    async def _at(self, version: int | bytes | None, database: Asked) -> Suppressed:
        if not isinstance(version, int):
            self._version, self._last = None, Suppressed()
        elif version != self._version:
            key = await database.fetchval(_KEY)
            rows = await database.fetch(_DIGESTS)
            digests = frozenset(bytes(row["digest"]) for row in rows)  # type: ignore[index]
            self._version, self._last = version, Suppressed(key if isinstance(key, bytes) else b"", digests)
        return self._last


def normal(text: str) -> str:
    """Return an e-mail address in the form in which addresses are compared."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def things(body: Body) -> Iterable[tuple[str, ...]]:
    """Yield what a message is about, as `digest_of` takes it."""
    match body:
        case ContactChanged():
            yield "contact", body.account, body.contact_id
            for path, values in body.contact.fields.items():
                if "email" in path.lower():
                    yield from (("address", normal(each)) for each in values if isinstance(each, str))
        case ContactDeleted() | ContactTouched() | ContactMerged() | SubscriptionChanged():
            yield "contact", body.account, body.contact_id
        case Receipt() | Create() | Update() | Tag() | Untag():
            yield "link", body.aim.link
        case Look():
            yield "contact", body.account, body.contact_id
        case Found() | Absent() | Find():
            yield "link", body.link
            yield "address", normal(body.address)
        case _:
            return
