"""Saving what a transaction made of its slice: records, links, reservations, outbox, journal, wakes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import zip_longest

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Command, Find, Look
from services.contracts.envelope import derived, headers, seal
from services.runtime.log import PARKED, commands_topic
from services.runtime.log import Record as LogRecord
from services.runtime.store import Connection as Database
from services.sync.core.identity import link_id
from services.sync.core.slice import NEW, ContactKey, Slice
from services.sync.core.state import Link
from services.sync.journal import Journalled, Taken, keep, moment

_CONTACTS = """
INSERT INTO sync.contact
       (account, contact_id, deleted, order_end, scan, looking, mark, state, object, merged_into, updated_at)
SELECT *, now() FROM unnest($1::text[], $2::text[], $3::bool[], $4::bigint[], $5::bigint[], $6::bool[], $7::text[],
                            $8::json[], $9::text[], $10::text[])
    ON CONFLICT (account, contact_id) DO UPDATE SET deleted = excluded.deleted, order_end = excluded.order_end,
       scan = excluded.scan, looking = excluded.looking, mark = excluded.mark, state = excluded.state,
       object = excluded.object, merged_into = excluded.merged_into,
       updated_at = excluded.updated_at
"""
_FORGET_ADDRESSES = """
DELETE FROM sync.contact_address a USING unnest($1::text[], $2::text[]) k (account, id)
 WHERE a.account = k.account AND a.contact_id = k.id
"""
_ADDRESSES = """
INSERT INTO sync.contact_address (address, account, contact_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""
_LINKS = """
INSERT INTO sync.link (id, connection, left_id, right_id, status, alias_of, wait_reason, wait_on, wait_since,
                       reconsider_at, config_version, holds, refusals, unsettled, unsettled_since, state, updated_at)
SELECT *, now() FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                            $8::text[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::int[], $13::int[],
                            $14::int[], $15::timestamptz[], $16::json[])
    ON CONFLICT (id) DO UPDATE SET left_id = excluded.left_id, right_id = excluded.right_id,
       status = excluded.status, alias_of = excluded.alias_of, wait_reason = excluded.wait_reason,
       wait_on = excluded.wait_on, wait_since = excluded.wait_since, reconsider_at = excluded.reconsider_at,
       config_version = excluded.config_version, holds = excluded.holds, refusals = excluded.refusals,
       unsettled = excluded.unsettled, unsettled_since = excluded.unsettled_since,
       state = excluded.state, updated_at = excluded.updated_at
RETURNING id::text, seq
"""
_UNRESERVE = """
DELETE FROM sync.reservation r USING unnest($1::text[], $2::text[]) k (account, address)
 WHERE r.account = k.account AND r.address = k.address
"""
_RESERVE = """
INSERT INTO sync.reservation (account, address, link) SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[])
    ON CONFLICT (account, address) DO UPDATE SET link = excluded.link
"""
_COUNTED = """
INSERT INTO sync.deletion_window (connection, opened, active, count)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
    ON CONFLICT (connection, opened) DO UPDATE SET count = excluded.count
"""
_OUTBOX = """
INSERT INTO sync.outbox (topic, key, headers, value, at)
SELECT *, now() FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bytea[])
"""
_WAKE = """
INSERT INTO sync.wake (link) SELECT id FROM sync.link
 WHERE wait_reason IN ('address', 'duplicate', 'receipt', 'look', 'deletions') AND wait_on = ANY($1::text[])
"""
_PARK = """
INSERT INTO sync.parked (topic, partition, position, reason, headers, value, key, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now()) ON CONFLICT DO NOTHING
"""


async def save(
    database: Database,
    before: dict[ContactKey, str],
    state: Slice,
    journal: list[Journalled],
    taken: Taken,
    traces: Sequence[str | None] = (),
) -> None:
    """Write everything that changed.

    `before` holds the reservations as they were loaded, `taken` what was folded, `traces` the commands' traceparents.
    """
    await _save_contacts(database, state)
    ended = [state.links[link] for link in state.dirty_links if state.links[link].status == "ended"]
    going = [state.links[link] for link in state.dirty_links if state.links[link].status != "ended"]
    seqs: dict[str, int] = {}
    # Ended links first: they give up the contacts that others take over (the unique indexes check row by row).
    for links in (ended, going):
        if links:
            seqs |= await _save_links(database, sorted(links, key=lambda link: link.seq or 0))
    await _save_windows(database, state)
    await _save_reservations(database, before, state)
    await _save_outbox(database, state, traces)
    await keep(database, before, state, journal, taken, seqs)
    if state.freed:
        await database.execute(_WAKE, list(state.freed))


async def _save_contacts(database: Database, state: Slice) -> None:
    keys = sorted(state.dirty_records)
    if not keys:
        return
    records = [state.records[key] for key in keys]
    await database.execute(
        _CONTACTS,
        [record.account for record in records],
        [record.contact_id for record in records],
        [record.deleted for record in records],
        [record.order.end for record in records],
        [record.scan for record in records],
        [record.looking is not None for record in records],
        [link_id(record.contact.mark) if record.contact else None for record in records],
        [msgspec.json.encode(record).decode() for record in records],
        [bytes(state.object(record)).decode() for record in records],
        [record.merged_into for record in records],
    )
    moved = sorted(state.readdressed)
    if not moved:
        return
    await database.execute(_FORGET_ADDRESSES, [key[0] for key in moved], [key[1] for key in moved])
    rows = [(address, record) for record in map(state.records.__getitem__, moved) for address in record.addresses]
    await database.execute(
        _ADDRESSES,
        [address for address, _ in rows],
        [record.account for _, record in rows],
        [record.contact_id for _, record in rows],
    )


async def _save_links(database: Database, links: Iterable[Link]) -> dict[str, int]:
    """Save links; return the places that new ones were given in the order of first sight."""
    links = list(links)
    fresh = {link.id for link in links if link.seq is None or link.seq >= NEW}
    rows = await database.fetch(
        _LINKS,
        [link.id for link in links],
        [link.connection for link in links],
        [link.left.contact_id for link in links],
        [link.right.contact_id for link in links],
        [link.status for link in links],
        [link.alias_of for link in links],
        [link.wait.reason if link.wait else None for link in links],
        [link.wait.on if link.wait else None for link in links],
        [moment(link.wait.since) if link.wait else None for link in links],
        [moment(link.reconsider_at) for link in links],
        [link.config_version for link in links],
        [_held(link) for link in links],
        [len(link.left.refused) + len(link.right.refused) for link in links],
        [sum(half.pending is not None for half in (link.left, link.right)) for link in links],
        [
            moment(min((half.pending.sent for half in (link.left, link.right) if half.pending), default=None))
            for link in links
        ],
        [msgspec.json.encode(replace(link, seq=None)).decode() for link in links],
    )
    return {row["id"]: row["seq"] for row in rows if row["id"] in fresh}


def _held(link: Link) -> int:
    """How much of it waits for a person: values, and sides that were written too often."""
    halves = (link.left, link.right)
    values = sum(not hold.approved for half in halves for hold in half.held.values())
    return values + sum(half.stopped is not None for half in halves)


async def _save_windows(database: Database, state: Slice) -> None:
    windows = [state.windows[name][opened] for name, opened in sorted(state.dirty_windows)]
    if windows:
        await database.execute(
            _COUNTED,
            [window.connection for window in windows],
            [window.opened for window in windows],
            [window.active for window in windows],
            [window.count for window in windows],
        )


async def _save_reservations(database: Database, before: dict[ContactKey, str], state: Slice) -> None:
    gone = sorted(key for key in before if key not in state.reservations)
    new = sorted(key for key, link in state.reservations.items() if before.get(key) != link)
    if gone:
        await database.execute(_UNRESERVE, [key[0] for key in gone], [key[1] for key in gone])
    if new:
        holders = [state.reservations[key] for key in new]
        await database.execute(_RESERVE, [key[0] for key in new], [key[1] for key in new], holders)


async def _save_outbox(database: Database, state: Slice, traces: Sequence[str | None]) -> None:
    if not state.commands:
        return
    at = moment(state.now) or datetime.fromtimestamp(0, UTC)
    rows = [
        (command, app, seal(command, time=at, source="sync", traceparent=trace, **_address(command)))
        for (command, app), trace in zip_longest(state.commands, traces)
    ]
    await database.execute(
        _OUTBOX,
        [commands_topic(app) for _, app, _ in rows],
        [account_of(command).encode() for command, _, _ in rows],
        [encode_headers(headers(envelope)) for _, _, envelope in rows],
        [envelope.data for _, _, envelope in rows],
    )


def account_of(command: Command) -> str:
    """Return the account that the command goes to."""
    return command.account if isinstance(command, Look | Find) else command.aim.account


def _address(command: Command) -> dict[str, str]:
    match command:
        case Look(account=account, contact_id=contact_id, look=look):
            return {"id": derived("look", account, contact_id, look.number, look.attempt), "subject": contact_id}
        case Find(account=account, address=address, link=link, number=number):
            return {"id": derived("find", account, address, link, number), "subject": link}
        case _:
            aim = command.aim
            version = f"{aim.version.incarnation}.{aim.version.n}"
            return {"id": derived("write", aim.link, aim.side, version), "subject": aim.link}


def encode_headers(rows: Iterable[tuple[str, bytes]]) -> str:
    """Return message headers as JSON; their values are text."""
    return msgspec.json.encode([[name, value.decode("utf-8", "replace")] for name, value in rows]).decode()


def decode_headers(text: str) -> tuple[tuple[str, bytes], ...]:
    """Return message headers from JSON."""
    return tuple((name, value.encode()) for name, value in msgspec.json.decode(text, type=list[tuple[str, str]]))


async def park(database: Database, record: LogRecord, reason: str) -> None:
    """Set a message aside with the reason, in the table and in the topic for it."""
    rows = encode_headers(record.headers)
    place = record.partition
    at = place.topic, place.number, record.offset
    await database.execute(_PARK, *at, reason, rows, record.value, record.key)
    await database.execute(_OUTBOX, [PARKED], [record.key], [rows], [record.value])
