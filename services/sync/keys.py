"""Which custom fields the contacts of an account have: what the check of a mapping compares a key with (D3)."""

from services.runtime.store import Connection as Database

MOST_CONTACTS = 200_000
"""Contacts that are read at most, some two seconds' worth: of a larger account a key may be overlooked."""
MOST_KEYS = 5_000
"""An account with more keys has ids for keys: it isn't said of any that it was never seen."""

_SCANNED = "SELECT scanned_at IS NOT NULL FROM sync.account WHERE account = $1"
# json_object_keys() fails for U+0000 anywhere in the text, so those few contacts aren't asked.
_KEYS = r"""
SELECT DISTINCT key
  FROM (SELECT CASE WHEN state::text LIKE '%\\u0000%' THEN NULL ELSE state -> 'contact' -> 'fields' END AS fields
          FROM sync.contact WHERE account = $1 AND NOT deleted LIMIT $3) AS known,
       json_object_keys(fields) AS key
 WHERE starts_with(key, $2) LIMIT $4
"""


async def seen_keys(database: Database, account: str, prefix: str) -> frozenset[str] | None:
    """Return the keys, without the prefix, of the account's live contacts; None while they aren't all known.

    `prefix`: that of the app's custom fields. It reads all contacts: a second for 100,000 of them.
    """
    if not await database.fetchval(_SCANNED, account):
        return None
    rows = await database.fetch(_KEYS, account, prefix, MOST_CONTACTS, MOST_KEYS + 1)
    if len(rows) > MOST_KEYS:
        return None
    return frozenset(str(row["key"]).removeprefix(prefix) for row in rows)
