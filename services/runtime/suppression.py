"""Who was forgotten is taken in no more: messages about them are recognised by keyed digests, which tell nobody."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol

from services.contracts.commands import Create, Find, Look, Tag, Untag, Update
from services.contracts.envelope import Envelope, Unreadable, from_headers, unseal
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

ERASED = "erased"
"""The type in the headers of a message whose content was erased: every consumer passes over it."""

_VERSION = "SELECT version FROM registry.suppression_key"
_KEY = "SELECT key FROM registry.suppression_key"
_DIGESTS = "SELECT digest FROM registry.suppression"


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


def erased(body: Envelope | Unreadable | None) -> bool:
    """Whether a message's content was erased for a person's sake."""
    return isinstance(body, Envelope) and body.type == ERASED


def is_erased(record: Record) -> bool:
    """Whether a record's content was erased for a person's sake."""
    return erased(from_headers(record.headers, record.value))


class Suppressed:
    """Everything that is suppressed at one moment."""

    def __init__(self, key: bytes = b"", digests: frozenset[bytes] = frozenset()) -> None:
        self._key = key
        self._digests = digests

    def covers(self, body: Body) -> bool:
        """Whether a message is about somebody who was forgotten."""
        return bool(self._digests) and any(digest_of(self._key, *thing) in self._digests for thing in _things(body))

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


class Suppressions:
    """What is suppressed now: read anew whenever somebody was forgotten or an entry was lifted."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._last = Suppressed()

    @property
    def last(self) -> Suppressed:
        """What was suppressed when it was read last."""
        return self._last

    async def current(self, database: Asked) -> Suppressed:
        """Read it, in the caller's transaction if it is one."""
        version = await database.fetchval(_VERSION)
        if version != self._version or not isinstance(version, int):
            key = await database.fetchval(_KEY)
            if isinstance(key, bytes):
                rows = await database.fetch(_DIGESTS)
                self._last = Suppressed(key, frozenset(bytes(row["digest"]) for row in rows))  # type: ignore[index]
                self._version = version if isinstance(version, int) else None
            else:
                self._last = Suppressed()
        return self._last


def normal(text: str) -> str:
    """Return an e-mail address in the form in which addresses are compared."""
    return unicodedata.normalize("NFC", text).strip().casefold()


def _things(body: Body) -> Iterable[tuple[str, ...]]:
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
