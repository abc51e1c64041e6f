"""Contacts that stand back behind another one with their address: who is in whose way, and what ends it (C4, C5)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from services.contracts.contact import SIDES, Side
from services.runtime.registry import read
from services.runtime.store import Connection as Database
from services.runtime.store import Record as Row
from services.sync.core.state import Link

_DUPLICATES = """
SELECT d.connection, d.left_id, d.right_id, d.state, d.wait_since, d.updated_at,
       b.id::text AS by_link, b.left_id AS by_left, b.right_id AS by_right
  FROM sync.link d LEFT JOIN sync.link b ON b.id::text = d.wait_on AND b.status <> 'ended'
 WHERE d.status = 'duplicate' AND ($1::text IS NULL OR d.connection = $1) ORDER BY d.connection, d.seq
"""
_SHARED = """
SELECT one.address FROM sync.contact_address one
  JOIN sync.contact_address two ON two.address = one.address
 WHERE one.account = $1 AND one.contact_id = $2
   AND (two.account, two.contact_id) IN (SELECT * FROM unnest($3::text[], $4::text[])) ORDER BY 1 LIMIT 1
"""
Kind: TypeAlias = Literal["shares", "taken", "merged"]
"""It shares an address with a contact of its account; the contact it would be matched with is taken; its partner was
merged into another one."""

_links = msgspec.json.Decoder(Link)


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A contact by its names."""

    account: str
    contact_id: str


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that takes no part because another one has its address."""

    connection: str
    contact: Contact
    kind: Kind
    blocker: Contact | None
    """The contact in its way: of its own account, or the one it would be matched with. None: it is gone by now."""
    partner: Contact | None
    """Whom the blocker is linked with."""
    address: str
    """What they share; empty if they no longer do."""
    since: datetime
    ends: str
    """What ends it."""


async def duplicates(database: Database, connection: str | None = None) -> Sequence[Duplicate]:
    """Return all duplicates, of one connection if it is named."""
    pairs = {found.connection.name: found.connection for found in await read.connections(database)}
    found = []
    for row in await database.fetch(_DUPLICATES, connection):
        pair = pairs.get(row["connection"])
        if pair is not None:
            found.append(await _told(database, row, {"left": pair.left, "right": pair.right}))
    return found


async def _told(database: Database, row: Row, accounts: Mapping[Side, str]) -> Duplicate:
    link = _links.decode(row["state"])
    side: Side = "left" if row["left_id"] is not None else "right"
    contact = Contact(account=accounts[side], contact_id=link.half(side).contact_id or "")
    by = {on: row[f"by_{on}"] for on in SIDES}
    blockers = {on: Contact(account=accounts[on], contact_id=id) for on, id in by.items() if id is not None}
    rival = blockers.get(side)
    address = await _shared(database, contact, [rival] if rival else [])
    blocker = rival
    kind: Kind = "shares"
    if link.merged is not None:
        kind = "merged"
    elif not address:
        other: Side = "right" if side == "left" else "left"
        address = await _shared(database, contact, list(blockers.values()))
        blocker, kind = blockers.get(other) or rival, "taken"
    partner = next((each for each in blockers.values() if each != blocker), None)
    return Duplicate(
        connection=row["connection"],
        contact=contact,
        kind=kind,
        blocker=blocker,
        partner=partner,
        address=address,
        since=row["wait_since"] or row["updated_at"],
        ends=_ends(kind, contact, blocker, accounts),
    )


async def _shared(database: Database, contact: Contact, others: Sequence[Contact]) -> str:
    ids = [each.account for each in others], [each.contact_id for each in others]
    return await database.fetchval(_SHARED, contact.account, contact.contact_id, *ids) or ""


def _ends(kind: Kind, contact: Contact, blocker: Contact | None, accounts: Mapping[Side, str]) -> str:
    if blocker is None:
        return "it is reconsidered now: what was in its way has gone"
    if kind == "merged":
        return f"it takes part again when its address changes, or {blocker.contact_id} is unlinked or deleted"
    way = f"delete {blocker.contact_id} or change one's address"
    if kind == "taken":
        pair = (contact, blocker) if contact.account == accounts["left"] else (blocker, contact)
        way += f"; or `contactsync link {pair[0].contact_id} {pair[1].contact_id}`"
    return way
