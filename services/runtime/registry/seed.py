"""Credentials from the file: they only seed. What is stored wins, until the file's own value changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.runtime.secrets import Vault, purpose
from services.runtime.store import Connection as Database

_STORED = """
SELECT account, field, key_id, seed_digest FROM registry.credential WHERE account = ANY($1) FOR UPDATE
"""
_PUT = """
INSERT INTO registry.credential (account, field, sealed, key_id, seed_digest, updated_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account, field) DO UPDATE SET sealed = $3, key_id = $4, seed_digest = $5, updated_at = $6
"""
_NOTE = "UPDATE registry.credential SET seed_digest = $3 WHERE account = $1 AND field = $2"
_DROP = "DELETE FROM registry.credential WHERE account = $1 AND field = $2"
_DIGEST_BYTES = 32
_AUTHORISED = b"\x01"
"""Behind the digest of the file's value: what is stored is another one, got by `contactsync authorize`."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """What became of the file's credentials, each as `account.key`."""

    stored: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    """The file's value is another one than when it was last applied."""
    resealed: tuple[str, ...] = ()
    """What was stored was sealed with another key, and can't be opened with this one."""
    kept: tuple[str, ...] = ()
    """Stored by other means before the file had one: that one stays."""
    removed: tuple[str, ...] = ()
    """Came from the file, which no longer has it."""

    def __bool__(self) -> bool:
        return bool(self.stored or self.replaced or self.resealed or self.removed)


def authorised(digest: bytes | None) -> bytes | None:
    """Return the seed digest for a value that doesn't come from the file; `digest`: the one stored so far."""
    return None if digest is None else digest[:_DIGEST_BYTES] + _AUTHORISED


async def seed(
    database: Database, vault: Vault, credentials: Mapping[str, Mapping[str, tuple[str, ...]]], now: datetime
) -> Seeds:
    """Seal what the file brings anew, in the caller's transaction.

    A sealed value is a JSON array of texts under `secrets.purpose(account, field)`. `updated_at` moves only when
    the value does: an account whose credentials were refused is tried again by it.
    """
    rows = await database.fetch(_STORED, list(credentials))
    before = {(row["account"], row["field"]): row for row in rows}
    stored: list[str] = []
    replaced: list[str] = []
    resealed: list[str] = []
    kept: list[str] = []
    removed: list[str] = []
    for account, values in sorted(credentials.items()):
        for key, value in sorted(values.items()):
            place = purpose(account, key)
            plain = msgspec.json.encode(value)
            row = before.pop((account, key), None)
            # A digest made with a key that isn't there says nothing, and what that key sealed can't be opened.
            digest = vault.digests(plain, place).get(row["key_id"]) if row else None
            if row and digest is not None:
                if row["seed_digest"] is None:
                    await database.execute(_NOTE, account, key, authorised(digest))
                    kept.append(f"{account}.{key}")
                    continue
                if row["seed_digest"][:_DIGEST_BYTES] == digest:
                    continue
            sealed = vault.seal(plain, place)
            await database.execute(_PUT, account, key, sealed, vault.key_id, vault.digest(plain, place), now)
            anew = stored if not row else resealed if digest is None else replaced
            anew.append(f"{account}.{key}")
    for (account, key), row in sorted(before.items()):
        if row["seed_digest"] is None:
            continue
        if row["seed_digest"].endswith(_AUTHORISED) and len(row["seed_digest"]) > _DIGEST_BYTES:
            await database.execute(_NOTE, account, key, None)
            continue
        await database.execute(_DROP, account, key)
        removed.append(f"{account}.{key}")
    return Seeds(tuple(stored), tuple(replaced), tuple(resealed), tuple(kept), tuple(removed))
