"""What should be and isn't: every pair decided anew from what is last known, on a copy (P17)."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from services.contracts.app import Manifest
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.configs import read_configs
from services.sync.explain.rehearse import rehearse
from services.sync.explain.report import Planned

_LINKS = """
SELECT id::text, seq FROM sync.link
 WHERE seq > $1 AND status <> 'ended' AND connection = ANY($2::text[]) AND ($3::uuid[] IS NULL OR id = ANY($3))
 ORDER BY seq LIMIT $4
"""
_COUNT = """
SELECT count(*) FROM sync.link
 WHERE status <> 'ended' AND connection = ANY($1::text[]) AND ($2::uuid[] IS NULL OR id = ANY($2))
"""
_ACTIVE = """
SELECT count(*) FROM sync.link
 WHERE connection = ANY($1::text[]) AND status = 'active' AND left_id IS NOT NULL AND right_id IS NOT NULL
"""
_CHUNK = 50
"""Pairs in one transaction: what is decided about one is as old as the transaction."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The pairs that are meant."""

    connections: tuple[str, ...]
    links: tuple[str, ...] | None = None
    """None: all of the connections."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """What would be sent for a pair."""

    connection: str
    link: str
    left: str | None
    right: str | None
    reason: str
    commands: tuple[Planned, ...]


async def count(database: Database, chosen: Chosen) -> int:
    """Return how many pairs are meant."""
    found: int = await database.fetchval(_COUNT, list(chosen.connections), _ids(chosen))
    return found


async def active(database: Database, chosen: Chosen) -> int:
    """Return how many pairs of the connections are in the sync."""
    found: int = await database.fetchval(_ACTIVE, list(chosen.connections))
    return found


async def missing(
    store: Store, manifests: Mapping[str, Manifest], chosen: Chosen
) -> AsyncIterator[tuple[int, Sequence[Missing]]]:
    """Yield, some at a time, how many pairs were gone through and what is missing among them. `manifests` is by app."""
    seq = 0
    while True:
        async with store.transaction("repeatable_read", readonly=True) as database:
            rows = await database.fetch(_LINKS, seq, list(chosen.connections), _ids(chosen), _CHUNK)
            if not rows:
                return
            configs = await read_configs(database, manifests)
            found: list[Missing] = []
            for row in rows:
                tried = await rehearse(database, configs, row["id"])
                if tried is None or not tried.next.commands:
                    continue
                found.append(
                    Missing(
                        connection=tried.link.connection,
                        link=tried.link.id,
                        left=tried.link.left.contact_id,
                        right=tried.link.right.contact_id,
                        reason=tried.next.reason,
                        commands=tried.next.commands,
                    )
                )
        seq = rows[-1]["seq"]
        yield len(rows), found


def _ids(chosen: Chosen) -> list[str] | None:
    return None if chosen.links is None else list(chosen.links)
