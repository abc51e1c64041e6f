"""Somebody who was forgotten before, found once more in an archive: by the digests that stayed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from services.contracts.envelope import Unreadable, from_headers, unseal
from services.contracts.events import ContactChanged
from services.runtime.archive.line import record_of
from services.runtime.archive.reading import Archive
from services.runtime.log import Partition
from services.runtime.log import Record as Posted
from services.runtime.store import Connection as Database
from services.runtime.suppression import digest_of, normal, things
from services.sync.core.state import Record
from services.sync.forget.person import Person, written_in

_KEY = "SELECT key FROM registry.suppression_key"
_ENTRY = """
SELECT digest FROM registry.suppression
 WHERE entry IN (SELECT s.entry FROM registry.suppression s JOIN registry.forgotten f ON f.id = s.entry
                  WHERE s.digest = ANY($1::bytea[]) AND f.lifted_at IS NULL)
"""


class Digests(msgspec.Struct, frozen=True, kw_only=True):
    """What stayed of a person who was forgotten."""

    key: bytes
    digests: frozenset[bytes]

    def has(self, *thing: str) -> bool:
        """Whether the thing is theirs; as `digest_of` takes it."""
        return digest_of(self.key, *thing) in self.digests


class _Contact(msgspec.Struct, frozen=True):
    state: Record


class _Link(msgspec.Struct, frozen=True):
    id: str


async def forgotten_as(database: Database, word: str, accounts: Collection[str]) -> Digests | None:
    """Return what stayed of whom the word names, if they were forgotten and the entry wasn't lifted."""
    key = await database.fetchval(_KEY)
    if not isinstance(key, bytes):
        return None
    word = word.strip()
    account, slash, contact_id = word.partition("/")
    named = [("address", normal(word)), ("link", word.lower()), *(("contact", each, word) for each in accounts)]
    if slash:
        named.append(("contact", account, contact_id))
    rows = await database.fetch(_ENTRY, [digest_of(key, *thing) for thing in named])
    return Digests(key=key, digests=frozenset(row["digest"] for row in rows)) if rows else None


def person_in(archive: Archive, left: Digests) -> Person:
    """Return what of them an archive holds. Raises `ArchiveError`."""
    found = _Found(left)
    for part in archive.manifest.parts:
        match part.stream.split("/"):
            case ["sync.contact"]:
                for line in archive.lines(part):
                    found.record(msgspec.json.decode(line, type=_Contact).state)
            case ["sync.link"]:
                for line in archive.lines(part):
                    found.thing("link", msgspec.json.decode(line, type=_Link).id)
            case ["log", topic, number]:
                for line in archive.lines(part):
                    found.message(record_of(Partition(topic, int(number)), line))
            case _:
                continue
    return found.person()


class _Found:
    """What was found of them so far."""

    def __init__(self, left: Digests) -> None:
        self._left = left
        self._things: set[tuple[str, ...]] = set()
        self._written: set[str] = set()

    def thing(self, *thing: str) -> bool:
        """Note a thing if it is theirs."""
        theirs = self._left.has(*thing)
        if theirs:
            self._things.add(thing)
        return theirs

    def record(self, record: Record) -> None:
        if self.thing("contact", record.account, record.contact_id):
            for address in record.addresses:
                self.thing("address", address)
            if record.contact is not None:
                self._written |= written_in(record.contact)

    def message(self, record: Posted) -> None:
        envelope = from_headers(record.headers, record.value)
        body = envelope if isinstance(envelope, Unreadable) else unseal(envelope)
        if isinstance(body, Unreadable):
            return
        theirs = [self.thing(*thing) for thing in things(body)]
        if isinstance(body, ContactChanged) and any(theirs):
            self._written |= {text for text in written_in(body.contact) if self._left.has("address", normal(text))}

    def person(self) -> Person:
        contacts = ((account, contact_id) for _, account, contact_id in self._of("contact"))
        return Person(
            contacts=frozenset(contacts),
            links=frozenset(link for _, link in self._of("link")),
            addresses=frozenset(address for _, address in self._of("address")),
            written=frozenset(self._written),
        )

    def _of(self, kind: str) -> Iterator[tuple[str, ...]]:
        return (thing for thing in self._things if thing[0] == kind)
