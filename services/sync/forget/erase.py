"""Erasing a person from the store and the embedded log, in one transaction with the entry that keeps them away."""

from __future__ import annotations

import os
import re
from collections.abc import Set as AbstractSet
from typing import LiteralString
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from services.contracts.envelope import Headers, Unreadable, event_key, from_headers, unseal
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Connection as Database
from services.runtime.store import Record as Stored
from services.runtime.suppression import blanked, digest_of, normal, things
from services.sync.closure import Keys
from services.sync.core.state import Link, Record, moved_to
from services.sync.forget.person import Person
from services.sync.journal import keep_given
from services.sync.load import lock, present
from services.sync.replay.inputs import Body, Due, Given, Item, Known, Linked, Reserved, Retired, Row, Sight, bodies

_KEY = """
INSERT INTO registry.suppression_key (key, version) VALUES ($1, $2)
ON CONFLICT (one) DO UPDATE SET version = excluded.version RETURNING key
"""
_ENTRY = "INSERT INTO registry.forgotten (id, asked_by, contacts) VALUES ($1::uuid, $2, $3)"
_DIGEST = "INSERT INTO registry.suppression SELECT $1::uuid, unnest($2::bytea[])"
_BY_LINK: tuple[LiteralString, ...] = (
    "DELETE FROM sync.reservation WHERE link = ANY($1::uuid[])",
    "DELETE FROM sync.wake WHERE link = ANY($1::uuid[])",
    "DELETE FROM connectors.ledger WHERE link = ANY($1::uuid[])",
    "UPDATE sync.journal SET detail = NULL, reason = 'forgotten' WHERE link = ANY($1::uuid[])",
    "DELETE FROM sync.link WHERE id = ANY($1::uuid[])",
)
_BY_CONTACT: tuple[LiteralString, ...] = (
    (
        "DELETE FROM sync.contact_address t USING unnest($1::text[], $2::text[]) k (a, i) "
        "WHERE t.account = k.a AND t.contact_id = k.i"
    ),
    (
        "DELETE FROM sync.suspect t USING unnest($1::text[], $2::text[]) k (a, i) "
        "WHERE t.account = k.a AND t.contact_id = k.i"
    ),
    (
        "DELETE FROM connectors.read t USING unnest($1::text[], $2::text[]) k (a, i) "
        "WHERE t.account = k.a AND t.subject = k.i"
    ),
    "DELETE FROM sync.stuck t USING unnest($1::text[], $2::text[]) k (a, i) WHERE strpos(t.id, k.i) > 0",
    (
        "DELETE FROM sync.contact t USING unnest($1::text[], $2::text[]) k (a, i) "
        "WHERE t.account = k.a AND t.contact_id = k.i"
    ),
)
_BY_ADDRESS: tuple[LiteralString, ...] = (
    "DELETE FROM connectors.read WHERE subject = ANY($1::text[])",
    "DELETE FROM sync.reservation WHERE address = ANY($1::text[])",
    "DELETE FROM sync.address WHERE address = ANY($1::text[])",
)
_MENTIONED = "(key = ANY($1::bytea[]) OR EXISTS (SELECT FROM unnest($2::bytea[]) n WHERE position(n IN value) > 0))"
_MESSAGES: tuple[LiteralString, ...] = (
    "DELETE FROM sync.outbox WHERE " + _MENTIONED,  # noqa: S608 - statements of ours
    "DELETE FROM sync.parked WHERE " + _MENTIONED,  # noqa: S608 - statements of ours
    "DELETE FROM connectors.parked WHERE " + _MENTIONED,  # noqa: S608 - statements of ours
    "DELETE FROM connectors.report WHERE " + _MENTIONED,  # noqa: S608 - statements of ours
)
_RECORDS = 'SELECT topic, partition, "offset", key, headers, value FROM log.record WHERE ' + _MENTIONED + " FOR UPDATE"  # noqa: S608 - likewise
_BLANK = """
UPDATE log.record SET key = ''::bytea, headers = $4, value = ''::bytea
 WHERE topic = $1 AND partition = $2 AND "offset" = $3
"""
_INPUTS = """
SELECT day, number, body FROM sync.input
 WHERE strpos(body::text, '"type":"given"') > 0
    OR EXISTS (SELECT FROM unnest($1::text[]) n WHERE strpos(body::text, n) > 0) FOR UPDATE
"""
_UNDECIDED = "UPDATE sync.journal SET detail = NULL, reason = 'forgotten' WHERE link IS NULL AND tx = ANY($1::bigint[])"
_REWRITE = "UPDATE sync.input SET body = $3 WHERE day = $1 AND number = $2"

_STATES = "SELECT state FROM sync.link WHERE id = ANY($1::uuid[])"
_FORMER = """
DELETE FROM sync.address a
 WHERE address = ANY($1::text[]) AND NOT EXISTS (SELECT FROM sync.contact_address c WHERE c.address = a.address)
RETURNING address
"""
_KNOWN = """
SELECT c.account, c.contact_id FROM sync.contact c
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON c.account = k.account AND c.contact_id = k.id
"""
_LINKED = "SELECT id::text FROM sync.link WHERE id::text = ANY($1::text[])"
_NUMBERED = "UPDATE registry.forgotten SET number = currval('sync.input_number') WHERE id = $1::uuid"
_LINKS_NAMING = """
SELECT id::text, seq, state FROM sync.link
 WHERE EXISTS (SELECT FROM unnest($1::text[]) n WHERE strpos(state::text, n) > 0) ORDER BY id FOR UPDATE
"""
_RECORDS_NAMING = """
SELECT account, contact_id, state, object FROM sync.contact
 WHERE state->'apart' IS NOT NULL AND EXISTS (SELECT FROM unnest($1::text[]) n WHERE strpos(state::text, n) > 0)
 ORDER BY 1, 2 FOR UPDATE
"""
_LINK = "UPDATE sync.link SET state = $2 WHERE id = $1::uuid"
_RECORD = "UPDATE sync.contact SET state = $3 WHERE account = $1 AND contact_id = $2"

_ADDRESSES = re.compile(r'"([^"\s]+@[^"\s]+)"')

_headers = msgspec.msgpack.Decoder(Headers).decode


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: numbers and the entry's id, no data."""

    entry: str
    contacts: int
    links: int
    messages: int


async def erase(database: Database, who: Person, asked_by: str) -> Erased:
    """Erase the person and make the entry. The caller's transaction (`alone`) holds all of it or none of it."""
    contacts, links = sorted(who.contacts), sorted(who.links)
    names = {f"contact:{account}:{contact_id}" for account, contact_id in contacts}
    await lock(database, Keys(addresses=set(who.addresses) | names, links=set(links), contacts=set(contacts)))
    former = {each for row in await database.fetch(_STATES, links) for each in _addresses_in(row["state"])}
    for statement in _BY_LINK:
        await database.execute(statement, links)
    for statement in _BY_CONTACT:
        await database.execute(statement, [key[0] for key in contacts], [key[1] for key in contacts])
    for statement in _BY_ADDRESS:
        await database.execute(statement, sorted(who.addresses | names))
    messages, said = await _messages(database, who)
    await _inputs(database, who)
    # Addresses that they had before, unless somebody else has them now.
    gone = {row["address"] for row in await database.fetch(_FORMER, sorted((former | said) - who.addresses))}
    entry = await _suppress(database, who, who.addresses | gone, asked_by)
    given = Given(rows=await _mentions(database, who), forgotten=tuple(contacts), ended=tuple(links))
    await keep_given(database, await present(database), given)
    await database.execute(_NUMBERED, entry)
    return Erased(entry=entry, contacts=len(contacts), links=len(links), messages=messages)


def _addresses_in(state: str) -> set[str]:
    return {normal(text) for text in _ADDRESSES.findall(state)}


async def _suppress(database: Database, who: Person, addresses: AbstractSet[str], asked_by: str) -> str:
    entry = str(uuid4())
    key: bytes = await database.fetchval(_KEY, os.urandom(32), int.from_bytes(os.urandom(7)))
    await database.execute(_ENTRY, entry, asked_by, len(who.contacts))
    things = [("contact", *contact) for contact in who.contacts]
    digests = {digest_of(key, *thing) for thing in things}
    digests |= {digest_of(key, "address", address) for address in addresses}
    digests |= {digest_of(key, "link", link) for link in who.links}
    await database.execute(_DIGEST, entry, sorted(digests))
    return entry


async def _mentions(database: Database, who: Person) -> tuple[Row, ...]:
    """Take the person's addresses out of other people's links and records, and return these as they are then."""
    rows: list[Row] = []
    for row in await database.fetch(_LINKS_NAMING, sorted(who.addresses)):
        link = msgspec.json.decode(row["state"], type=Link)
        left = _link_without(link, who)
        if left != link:
            await database.execute(_LINK, row["id"], msgspec.json.encode(left).decode())
            rows.append(Linked(link=replace(left, seq=row["seq"])))
    texts = sorted(who.addresses | {contact_id for _, contact_id in who.contacts})
    for row in await database.fetch(_RECORDS_NAMING, texts):
        record = msgspec.json.decode(row["state"], type=Record)
        kept = [each for each in record.apart if (each.account, each.contact_id) not in who.contacts]
        apart = tuple(
            each if each.rests is None else replace(each, rests=tuple(a for a in each.rests if a not in who.addresses))
            for each in kept
        )
        if apart != record.apart:
            record = replace(record, apart=apart)
            await database.execute(_RECORD, row["account"], row["contact_id"], msgspec.json.encode(record).decode())
            rows.append(Known(record=record, object=row["object"]))
    return tuple(rows)


def _link_without(link: Link, who: Person) -> Link:
    if link.status == "ended":  # its values are of no use any more
        left, right = (moved_to(half, half.contact_id) if half.contact_id else half for half in (link.left, link.right))
        link = replace(link, left=left, right=right, base={}, finding=None)
    if link.merged is None:
        return link
    addresses = tuple(address for address in link.merged.addresses if address not in who.addresses)
    return replace(link, merged=replace(link.merged, addresses=addresses))


def keys(who: Person) -> list[bytes]:
    """Return the keys of messages about the person."""
    return [event_key(*contact) for contact in sorted(who.contacts)] + [link.encode() for link in sorted(who.links)]


def needles(who: Person) -> list[bytes]:
    """Return what a message's body holds if it is about the person: a link's id, or an address as a text of its own."""
    texts = sorted(who.links) + sorted(who.addresses | who.written)
    return [msgspec.json.encode(text) for text in texts]


async def _messages(database: Database, who: Person) -> tuple[int, set[str]]:
    """Erase messages; return how many of the log's it was, and the addresses that their own had."""
    places, texts = keys(who), needles(who)
    for statement in _MESSAGES:
        await database.execute(statement, places, texts)
    found = [_Logged(row) for row in await database.fetch(_RECORDS, places, texts)]
    own = {("contact", *contact) for contact in who.contacts} | {("link", link) for link in who.links}
    about = {thing for each in found if each.topic in (EVENTS, RECEIPTS) for thing in each.about} - own
    others = await _others(database, about)
    rows = [each for each in found if each.key in places or not each.about & others]
    for each in rows:
        await database.execute(_BLANK, *each.place, msgspec.msgpack.encode(blanked(each.headers)))
    return len(rows), {address for each in rows if each.key in places for address in each.addresses}


class _Logged:
    """A message of the log, and what it is about."""

    def __init__(self, row: Stored) -> None:
        self.topic: str = row["topic"]
        self.place = self.topic, row["partition"], row["offset"]
        self.key: bytes = row["key"]
        self.headers = _headers(row["headers"])
        envelope = from_headers(self.headers, row["value"])
        body = envelope if isinstance(envelope, Unreadable) else unseal(envelope)
        named = frozenset() if isinstance(body, Unreadable) else frozenset(things(body))
        self.about = frozenset(thing for thing in named if thing[0] != "address")
        self.addresses = frozenset(thing[1] for thing in named if thing[0] == "address")


async def _others(database: Database, about: set[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Return those that sync knows: other people's, who had the address once. What was said of them stays."""
    contacts = [thing[1:] for thing in about if thing[0] == "contact"]
    rows = await database.fetch(_KNOWN, [each[0] for each in contacts], [each[1] for each in contacts])
    links = await database.fetch(_LINKED, [thing[1] for thing in about if thing[0] == "link"])
    return {("contact", row[0], row[1]) for row in rows} | {("link", row[0]) for row in links}


async def _inputs(database: Database, who: Person) -> None:
    ids = sorted(who.links | {contact_id for _, contact_id in who.contacts})
    partial: list[int] = []
    for row in await database.fetch(_INPUTS, ids):
        body = bodies.decode(row["body"])
        without = body_without(body, who)
        if without != body:
            await database.execute(_REWRITE, row["day"], row["number"], msgspec.json.encode(without).decode())
            partial.append(row["number"])
    await database.execute(_UNDECIDED, partial)


def body_without(body: Body, who: Person) -> Body:
    """Return an input's body without what it holds of the person."""
    items = tuple(_item_without(item, who) for item in body.items if not _about(item, who))
    return msgspec.structs.replace(body, items=items)


def _item_without(item: Item, who: Person) -> Item:
    if not isinstance(item, Given):
        return item
    rows = tuple(row for row in item.rows if not _theirs(row, who))
    # Somebody else had the address then: what is left says so anyway, and can't be decided again without.
    left = msgspec.json.encode(rows)
    released = tuple(
        place for place in item.released if place[1] not in who.addresses or msgspec.json.encode(place[1]) in left
    )
    return msgspec.structs.replace(item, rows=rows, released=released)


def _about(item: Item, who: Person) -> bool:
    """Whether nothing but the person was taken in by it: without them it can't be decided again."""
    match item:
        case Due(link=link) | Retired(link=link):
            return link in who.links
        case Sight(account=account, contact_id=contact_id):
            return (account, contact_id) in who.contacts
        case _:
            return False


def _theirs(row: Row, who: Person) -> bool:
    match row:
        case Known(record=record):
            return (record.account, record.contact_id) in who.contacts
        case Linked(link=link):
            return link.id in who.links
        case Reserved(link=link_id):
            return link_id in who.links
        case _:
            return False
