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
# What an app tells of a merge: a deleted contact, with the address that it had, and the one it went into.
_MERGED = """
INSERT INTO sync.contact (account, contact_id, deleted, order_end, scan, looking, mark, state, object, merged_into,
                          updated_at)
SELECT c.account, replace(c.contact_id, $1::text, copy) || 'm', true, c.order_end, c.scan, false, NULL,
       (replace(c.state::text, $1::text, copy)::jsonb
        || jsonb_build_object('contact_id', replace(c.contact_id, $1::text, copy) || 'm', 'deleted', true,
                              'merged_into', replace(c.contact_id, $1::text, copy)))::json,
       replace(c.object, $1::text, copy), replace(c.contact_id, $1::text, copy), c.updated_at
  FROM sync.contact c JOIN sync.link l ON l.left_id = c.contact_id,
       LATERAL (SELECT ($1::text::bigint + n)::text AS copy FROM generate_series($2::int, $3::int) n
                 WHERE n % $4::int = 0) copies
 WHERE position($1::text IN c.contact_id) > 0
"""
_MERGED_ADDRESSES = """
INSERT INTO sync.contact_address (address, account, contact_id)
SELECT replace(a.address, $1::text, copy), a.account, replace(a.contact_id, $1::text, copy) || 'm'
  FROM sync.contact_address a JOIN sync.link l ON l.left_id = a.contact_id,
       LATERAL (SELECT ($1::text::bigint + n)::text AS copy FROM generate_series($2::int, $3::int) n
                 WHERE n % $4::int = 0) copies
 WHERE position($1::text IN a.contact_id) > 0
"""
# A pair whose ids an app chose, given names that can be copied; its addresses hold `TOKEN` already.
_RENAMED = (
    """
UPDATE sync.contact SET contact_id = $2::text, state = replace(state::text, $1, $2)::json,
       object = replace(object, $1, $2)
 WHERE contact_id = $1::text
""",
    "UPDATE sync.contact_address SET contact_id = $2::text WHERE contact_id = $1::text",
    """
UPDATE sync.link SET left_id = replace(left_id, $1, $2), right_id = replace(right_id, $1, $2),
       state = replace(state::text, $1, $2)::json
 WHERE $1::text IN (left_id, right_id)
""",
)
MERGED_EACH = 20
"""Every so many copies have another contact of the left account that was merged into theirs."""
_TABLES = "sync.contact, sync.contact_address, sync.address, sync.link"
_SECONDS = 1800


async def multiply(store: Store, people: int, *, first: int = 1) -> None:
    """Copy the pair so that copies `first` to `people` exist; it has to be paired, settled and free of marks.

    Its contacts' ids and addresses hold `TOKEN`; those of copy n hold `named(n)` in its place. Into every
    `MERGED_EACH`th copy's left contact another one was merged. The ledger of the
    connectors learns of a link when it is first written.
    """
    # These first: they look for the pair's left contact, and not among all its copies.
    for statement in (_MERGED, _MERGED_ADDRESSES):
        await store.pool.execute(statement, TOKEN, first, people, MERGED_EACH, timeout=_SECONDS)
    for statement in (_CONTACTS, _CONTACT_ADDRESSES, _ADDRESSES, _LINKS):
        await store.pool.execute(statement, TOKEN, first, people, timeout=_SECONDS)
    await store.pool.execute(f"VACUUM ANALYZE {_TABLES}", timeout=_SECONDS)


async def rename(store: Store, left: str, right: str) -> None:
    """Give a settled pair of contacts ids that hold `TOKEN`, so that it can be copied. Its apps know nothing of it."""
    for side, contact_id in (("l", left), ("r", right)):
        for statement in _RENAMED:
            await store.pool.execute(statement, contact_id, f"{side}_{TOKEN}")


def named(number: int) -> str:
    """What the ids and addresses of a copy hold in `TOKEN`'s place; 0 is the pair itself."""
    return str(int(TOKEN) + number)
