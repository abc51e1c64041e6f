"""Trying again, on demand, what an app refused or what couldn't be reconsidered (G2, P15)."""

from collections.abc import Mapping, Sequence

import msgspec

from services.contracts.app import Manifest
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.core import hand
from services.sync.hand.word import seeds, spoken

_REFUSED = """
SELECT id::text FROM sync.link
 WHERE refusals > 0 AND status <> 'ended' AND ($1::text IS NULL OR connection = $1) AND id <> ALL($2::uuid[])
 ORDER BY seq LIMIT 500
"""
_OF = """
SELECT id::text, refusals FROM sync.link
 WHERE status <> 'ended' AND connection = $1 AND (($2 = 'left' AND left_id = $3) OR ($2 = 'right' AND right_id = $3))
"""
_FORGIVE = "DELETE FROM sync.stuck WHERE $1::text[] IS NULL OR id = ANY($1) RETURNING kind, id"
_STUCK = "SELECT kind, id, error, at FROM sync.stuck ORDER BY at"
_LINK = "reconsider"
"""The sweeper's kind of cause that is a link's."""
_WAKE = "INSERT INTO sync.wake (link) SELECT id FROM sync.link WHERE id = ANY($1::uuid[])"


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried again."""

    refusals: int = 0
    """Refused values that were forgotten."""
    links: int = 0
    """The links that they belong to."""
    stuck: int = 0
    """Links and contacts whose reconsideration had failed."""


async def retry(
    store: Store, manifests: Mapping[str, Manifest], links: Sequence[str], contacts: Sequence[str] = ()
) -> Retried:
    """Forget what the apps refused to these links, and reconsider them; `contacts` by id, where that had failed."""
    stuck = await _forgive(store, [*links, *contacts])
    # What failed as a whole is the sweeper's to try: it fails alone there.
    left_alone = {id for _, id in stuck}
    counts = [await _one(store, manifests, link) for link in links if link not in left_alone]
    return Retried(refusals=sum(counts), links=sum(count > 0 for count in counts), stuck=len(stuck))


async def retry_all(store: Store, manifests: Mapping[str, Manifest], connection: str | None) -> Retried:
    """Forget all refusals, of one connection if it is named; without a name also what couldn't be reconsidered."""
    stuck = await _forgive(store, None) if connection is None else []
    failed = [id for kind, id in stuck if kind == _LINK]
    done: dict[str, int] = {}
    while rows := await store.fetch(_REFUSED, connection, [*done, *failed]):
        for row in rows:
            done[row["id"]] = await _one(store, manifests, row["id"])
    counts = list(done.values())
    return Retried(refusals=sum(counts), links=sum(count > 0 for count in counts), stuck=len(stuck))


async def waiting(database: Database, connection: str | None) -> int:
    """How many links have refused values, up to 500."""
    return len(await database.fetch(_REFUSED, connection, []))


async def stuck(database: Database) -> int:
    """How many links and contacts couldn't be reconsidered."""
    return len(await database.fetch(_STUCK))


async def links_of(database: Database, connection: str, side: str, contact_id: str) -> list[str]:
    """The links of a contact in a connection that haven't ended."""
    return [row["id"] for row in await database.fetch(_OF, connection, side, contact_id)]


async def _one(store: Store, manifests: Mapping[str, Manifest], link: str) -> int:
    return await spoken(store, manifests, seeds(links=(link,)), "retry", lambda state: hand.retry(state, link))


async def _forgive(store: Store, ids: Sequence[str] | None) -> list[tuple[str, str]]:
    """Let the sweeper try again what it left alone; return what that is, as (kind, id)."""

    async def work(database: Database) -> list[tuple[str, str]]:
        rows = await database.fetch(_FORGIVE, None if ids is None else list(ids))
        await database.execute(_WAKE, [row["id"] for row in rows if row["kind"] == _LINK])
        return [(row["kind"], row["id"]) for row in rows]

    return await store.retrying(work)
