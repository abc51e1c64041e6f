"""Erasing a person from the store and the embedded log, in one transaction with the entry that keeps them away."""

from __future__ import annotations

import os
from typing import LiteralString
from uuid import uuid4

import msgspec

from services.contracts.envelope import Headers, event_key
from services.runtime.store import Connection as Database
from services.runtime.suppression import ERASED, digest_of
from services.sync.closure import Keys
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
_RECORDS = 'SELECT topic, partition, "offset", headers FROM log.record WHERE ' + _MENTIONED + " FOR UPDATE"  # noqa: S608 - likewise
_BLANK = """
UPDATE log.record SET key = ''::bytea, headers = $4, value = ''::bytea
 WHERE topic = $1 AND partition = $2 AND "offset" = $3
"""
_INPUTS = """
SELECT day, number, body FROM sync.input
 WHERE strpos(body::text, '"type":"given"') > 0
    OR EXISTS (SELECT FROM unnest($1::text[]) n WHERE strpos(body::text, n) > 0) FOR UPDATE
"""
_REWRITE = "UPDATE sync.input SET body = $3 WHERE day = $1 AND number = $2"

_headers = msgspec.msgpack.Decoder(Headers).decode
_KEPT = ("ce_specversion", "ce_id", "ce_v", "ce_time", "content-type")


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: numbers and the entry's id, no data."""

    entry: str
    contacts: int
    links: int
    messages: int


async def erase(database: Database, who: Person, asked_by: str) -> Erased:
    """Erase the person and make the entry. The caller's transaction holds all of it or none of it."""
    contacts, links = sorted(who.contacts), sorted(who.links)
    names = {f"contact:{account}:{contact_id}" for account, contact_id in contacts}
    await lock(database, Keys(addresses=set(who.addresses) | names, links=set(links), contacts=set(contacts)))
    entry = await _suppress(database, who, asked_by)
    for statement in _BY_LINK:
        await database.execute(statement, links)
    for statement in _BY_CONTACT:
        await database.execute(statement, [key[0] for key in contacts], [key[1] for key in contacts])
    for statement in _BY_ADDRESS:
        await database.execute(statement, sorted(who.addresses | names))
    messages = await _messages(database, who)
    await _inputs(database, who)
    await keep_given(database, await present(database), Given(forgotten=tuple(contacts), ended=tuple(links)))
    return Erased(entry=entry, contacts=len(contacts), links=len(links), messages=messages)


async def _suppress(database: Database, who: Person, asked_by: str) -> str:
    entry = str(uuid4())
    key: bytes = await database.fetchval(_KEY, os.urandom(32), int.from_bytes(os.urandom(7)))
    await database.execute(_ENTRY, entry, asked_by, len(who.contacts))
    things = [("contact", *contact) for contact in who.contacts]
    digests = {digest_of(key, *thing) for thing in things}
    digests |= {digest_of(key, "address", address) for address in who.addresses}
    digests |= {digest_of(key, "link", link) for link in who.links}
    await database.execute(_DIGEST, entry, sorted(digests))
    return entry


def keys(who: Person) -> list[bytes]:
    """Return the keys of messages about the person."""
    return [event_key(*contact) for contact in sorted(who.contacts)] + [link.encode() for link in sorted(who.links)]


def needles(who: Person) -> list[bytes]:
    """Return what a message's body holds if it is about the person: a link's id, or an address as a text of its own."""
    texts = sorted(who.links) + sorted(who.addresses | who.written)
    return [msgspec.json.encode(text) for text in texts]


async def _messages(database: Database, who: Person) -> int:
    places, texts = keys(who), needles(who)
    for statement in _MESSAGES:
        await database.execute(statement, places, texts)
    rows = await database.fetch(_RECORDS, places, texts)
    for row in rows:
        blank = msgspec.msgpack.encode(blanked(_headers(row["headers"])))
        await database.execute(_BLANK, row["topic"], row["partition"], row["offset"], blank)
    return len(rows)


def blanked(headers: Headers) -> Headers:
    """Return the headers of a message whose content is erased: its id and time, and nothing about whom it was."""
    kept = tuple((name, value) for name, value in headers if name in _KEPT)
    return (*kept, ("ce_type", ERASED.encode()), ("ce_source", b"forget"), ("ce_subject", b""))


async def _inputs(database: Database, who: Person) -> None:
    ids = sorted(who.links | {contact_id for _, contact_id in who.contacts})
    for row in await database.fetch(_INPUTS, ids):
        body = bodies.decode(row["body"])
        without = body_without(body, who)
        if without != body:
            await database.execute(_REWRITE, row["day"], row["number"], msgspec.json.encode(without).decode())


def body_without(body: Body, who: Person) -> Body:
    """Return an input's body without what it holds of the person."""
    items = tuple(_item_without(item, who) for item in body.items if not _about(item, who))
    return msgspec.structs.replace(body, items=items)


def _item_without(item: Item, who: Person) -> Item:
    if not isinstance(item, Given):
        return item
    rows = tuple(row for row in item.rows if not _theirs(row, who))
    released = tuple(place for place in item.released if place[1] not in who.addresses)
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
        case Reserved(link=link_id, address=address):
            return link_id in who.links or address in who.addresses
        case _:
            return False
