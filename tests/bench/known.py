"""Many contacts that sync knows: one pair that it took in itself, and copies of its rows under other names."""

from __future__ import annotations

from services.runtime.store import Store

TOKEN = "7000000000"
"""Stands in the ids and addresses of the pair that is copied; the n-th copy has the number that is n more there."""
_CONTACTS = """
INSERT INTO sync.contact (account, contact_id, deleted, order_end, scan, looking, mark, state, object, merged_into,
                          updated_at)
SELECT account, replace(contact_id, $1::text, copy), deleted, order_end, scan, looking, mark,
       replace(state::text, $1::text, copy)::json, replace(object, $1::text, copy), merged_into, updated_at
  FROM sync.contact,
       LATERAL (SELECT ($1::text::bigint + n)::text AS copy FROM generate_series($2::int, $3::int) n) copies
 WHERE position($1::text IN contact_id) > 0
"""
_CONTACT_ADDRESSES = """
INSERT INTO sync.contact_address (address, account, contact_id)
SELECT replace(address, $1::text, copy), account, replace(contact_id, $1::text, copy)
  FROM sync.contact_address,
       LATERAL (SELECT ($1::text::bigint + n)::text AS copy FROM generate_series($2::int, $3::int) n) copies
 WHERE position($1::text IN contact_id) > 0
"""
_ADDRESSES = """
INSERT INTO sync.address (address)
SELECT replace(address, $1::text, copy)
  FROM sync.address,
       LATERAL (SELECT ($1::text::bigint + n)::text AS copy FROM generate_series($2::int, $3::int) n) copies
 WHERE position($1::text IN address) > 0
"""
# A link's id stands in its state, too.
_LINKS = """
INSERT INTO sync.link (id, connection, left_id, right_id, status, config_version, holds, refusals, unsettled, state,
                       updated_at)
SELECT md5(id::text || copy)::uuid, connection, replace(left_id, $1::text, copy), replace(right_id, $1::text, copy),
       status, config_version, holds, refusals, unsettled,
       replace(replace(state::text, $1::text, copy), id::text, md5(id::text || copy)::uuid::text)::json, updated_at
  FROM sync.link,
       LATERAL (SELECT ($1::text::bigint + n)::text AS copy FROM generate_series($2::int, $3::int) n) copies
 WHERE position($1::text IN left_id) > 0
"""
_TABLES = "sync.contact, sync.contact_address, sync.address, sync.link"
_SECONDS = 1800


async def multiply(store: Store, people: int, *, first: int = 1) -> None:
    """Copy the pair so that copies `first` to `people` exist; it has to be paired, settled and free of marks.

    Its contacts' ids and addresses hold `TOKEN`; those of copy n hold `named(n)` in its place. The ledger of the
    connectors learns of a link when it is first written.
    """
    for statement in (_CONTACTS, _CONTACT_ADDRESSES, _ADDRESSES, _LINKS):
        await store.pool.execute(statement, TOKEN, first, people, timeout=_SECONDS)
    await store.pool.execute(f"VACUUM ANALYZE {_TABLES}", timeout=_SECONDS)


def named(number: int) -> str:
    """What the ids and addresses of a copy hold in `TOKEN`'s place; 0 is the pair itself."""
    return str(int(TOKEN) + number)
