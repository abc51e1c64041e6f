"""Locking and loading a slice, in the order that every transaction of sync keeps (P0)."""

from datetime import datetime

import msgspec

from services.runtime.store import Connection as Database
from services.runtime.store import Record as Row
from services.sync.closure import Keys
from services.sync.configs import Configs
from services.sync.core.brake import WINDOW, lock_of
from services.sync.core.slice import Slice
from services.sync.core.state import Link, Record, Window

_SCANNED = "SELECT account, scanned_at FROM sync.account WHERE account = ANY($1::text[]) ORDER BY account FOR SHARE"
_NEW_ACCOUNTS = """
INSERT INTO sync.account (account) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING
"""
_NEW_ADDRESSES = "INSERT INTO sync.address SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
_LOCK_ADDRESSES = "SELECT FROM sync.address WHERE address = ANY($1::text[]) ORDER BY address FOR UPDATE"
_LOCK_LINKS = "SELECT id::text, seq, state FROM sync.link WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_LOCK_CONTACTS = """
SELECT c.account, c.contact_id, c.state, c.object FROM sync.contact c
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON c.account = k.account AND c.contact_id = k.id
 ORDER BY c.account, c.contact_id FOR UPDATE OF c
"""
_RESERVATIONS = """
SELECT account, address, link::text FROM sync.reservation
 WHERE address = ANY($1::text[]) OR link = ANY($2::uuid[])
"""
_WINDOWS = """
SELECT connection, opened, active, count, said FROM sync.deletion_window
 WHERE connection = ANY($1::text[]) AND (opened > $2 OR opened = ANY($3::bigint[]))
"""
_ACTIVE = """
SELECT connection, count(*) AS count FROM sync.link
 WHERE connection = ANY($1::text[]) AND status = 'active' GROUP BY connection
"""
_NOW = "SELECT clock_timestamp()"

_links = msgspec.json.Decoder(Link)
_records = msgspec.json.Decoder(Record)


def micros(at: datetime) -> int:
    """Return a moment as microseconds since 1970."""
    return round(at.timestamp() * 1_000_000)


async def present(database: Database) -> int:
    """Return the moment on the database's clock, in microseconds since 1970."""
    return micros(await database.fetchval(_NOW))


async def scanned_accounts(database: Database, accounts: list[str]) -> frozenset[str]:
    """Return the accounts whose first scan has passed; nobody can end one until this transaction is over."""
    rows = await database.fetch(_SCANNED, accounts)
    if len(rows) < len(accounts):
        await database.execute(_NEW_ACCOUNTS, sorted(accounts))
        rows = await database.fetch(_SCANNED, accounts)
    return frozenset(row["account"] for row in rows if row["scanned_at"] is not None)


async def lock(database: Database, keys: Keys) -> tuple[list[Row], list[Row]]:
    """Insert or lock the address rows, then the links, then the contacts, each sorted. Returns links and contacts."""
    found = sorted(keys.addresses)
    await database.execute(_NEW_ADDRESSES, found)
    await database.execute(_LOCK_ADDRESSES, found)
    links = await database.fetch(_LOCK_LINKS, sorted(keys.links))
    contacts = sorted(keys.contacts)
    records = await database.fetch(_LOCK_CONTACTS, [key[0] for key in contacts], [key[1] for key in contacts])
    return links, records


async def load(
    database: Database, keys: Keys, configs: Configs, links: list[Row], records: list[Row], scanned: frozenset[str]
) -> Slice:
    """Build the slice from locked rows."""
    state = Slice(
        now=await present(database),
        incarnation=configs.incarnation,
        configs=dict(configs.connections),
        manifests=configs.manifests,
        scanned=scanned,
        catching_up=configs.catching_up,
    )
    for row in records:
        key = (row["account"], row["contact_id"])
        state.records[key] = _records.decode(row["state"])
        state.objects[key] = msgspec.Raw(row["object"].encode())
    for row in links:
        state.load_link(msgspec.structs.replace(_links.decode(row["state"]), seq=row["seq"]))
    await _windows(database, keys, state)
    reserved = await database.fetch(_RESERVATIONS, list(keys.addresses), list(keys.links))
    state.reservations = {(row["account"], row["address"]): row["link"] for row in reserved}
    return state


async def _windows(database: Database, keys: Keys, state: Slice) -> None:
    """Load the windows of deletions whose lock is held: those that may be open, and those that links count in."""
    names = [name for name in state.configs if lock_of(name) in keys.addresses]
    if not names:
        return
    state.windows = {name: {} for name in names}
    counted = [link.counted for link in state.links.values() if link.counted is not None]
    for row in await database.fetch(_WINDOWS, names, state.now - WINDOW, counted):
        state.windows[row["connection"]][row["opened"]] = Window(
            connection=row["connection"],
            opened=row["opened"],
            active=row["active"],
            count=row["count"],
            said=row["said"],
        )
    state.active = {row["connection"]: row["count"] for row in await database.fetch(_ACTIVE, names)}
