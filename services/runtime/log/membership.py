"""Who reads what in the embedded log: members share partitions by leases on the database's clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from services.runtime.log import FencedError, Partition
from services.runtime.store import Connection, Store

_GROUP = "INSERT INTO log.consumer_group (name) VALUES ($1) ON CONFLICT DO NOTHING"
_SESSION = "UPDATE log.consumer_group SET sessions = sessions + 1 WHERE name = $1 RETURNING sessions"
_JOIN = """
INSERT INTO log.member (grp, name, session, topics, lease_until)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5)
ON CONFLICT (grp, name) DO UPDATE
SET session = excluded.session, topics = excluded.topics, lease_until = excluded.lease_until
"""
_PLACES = """
INSERT INTO log.assignment (grp, topic, partition)
SELECT $1, topic, number FROM log.partition WHERE topic = ANY ($2) ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT 1 FROM log.consumer_group WHERE name = $1 FOR UPDATE"
_BEAT = """
UPDATE log.member SET lease_until = clock_timestamp() + $4
WHERE grp = $1 AND name = $2 AND session = $3 RETURNING true
"""
_OTHER = "SELECT true FROM log.member WHERE grp = $1 AND name = $2"
_EXPIRE = "DELETE FROM log.member WHERE grp = $1 AND lease_until < clock_timestamp()"
_FREE = """
UPDATE log.assignment AS a SET owner = NULL WHERE a.grp = $1 AND a.owner IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM log.member AS m WHERE m.grp = a.grp AND m.name = a.owner)
"""
_MEMBERS = "SELECT name, topics FROM log.member WHERE grp = $1"
_OWNERS = "SELECT topic, partition, owner FROM log.assignment WHERE grp = $1 AND topic = ANY ($2)"
_TAKE = """
UPDATE log.assignment SET owner = $2, generation = generation + 1
WHERE grp = $1 AND (topic, partition) IN (SELECT * FROM unnest($3::text[], $4::int[]))
"""
_RELEASE = """
UPDATE log.assignment SET owner = NULL
WHERE grp = $1 AND owner = $2 AND (topic, partition) IN (SELECT * FROM unnest($3::text[], $4::int[]))
"""
_LEAVE = "DELETE FROM log.member WHERE grp = $1 AND name = $2 AND session = $3 RETURNING true"
_RING = "SELECT pg_notify('contactsync_log', 'group:' || $1)"


class Deal(NamedTuple):
    """What changes for one member."""

    taken: frozenset[Partition]
    """Free before, and this member's from now on."""
    due: frozenset[Partition]
    """Still this member's, and to be released to another as soon as it has finished with them."""
    lost: frozenset[Partition]
    """Another's already."""


def dealt(
    subscriptions: Mapping[str, Collection[str]], places: Collection[Partition], member: str
) -> frozenset[Partition]:
    """Return the member's share of `places`.

    Each topic's partitions go in turn to its subscribers in the order of their names: all find the same.
    """
    mine: set[Partition] = set()
    for place in places:
        names = sorted(name for name, topics in subscriptions.items() if place.topic in topics)
        if names and names[place.number % len(names)] == member:
            mine.add(place)
    return frozenset(mine)


class Membership:
    """One member's part in its group. Each method is one transaction, or several that may be repeated."""

    def __init__(self, store: Store, group: str, member: str, topics: Sequence[str], lease: timedelta) -> None:
        self._store = store
        self._group = group
        self._member = member
        self._topics = list(topics)
        self._lease = lease
        self._session = 0

    async def join(self) -> None:
        """Become a member, in place of an earlier process of the same name."""

        async def work(connection: Connection) -> int:
            await connection.execute(_GROUP, self._group)
            session: int = await connection.fetchval(_SESSION, self._group)
            await connection.execute(_JOIN, self._group, self._member, session, self._topics, self._lease)
            await connection.execute(_PLACES, self._group, self._topics)
            await connection.execute(_RING, self._group)
            return session

        self._session = await self._store.retrying(work, repeatable=True)

    async def beat(self) -> bool:
        """Prolong the lease; whether there still was one."""
        return bool(await self._store.fetchval(_BEAT, self._group, self._member, self._session, self._lease))

    async def deal(self, held: frozenset[Partition]) -> Deal | None:
        """Prolong the lease and settle what this member, which reads `held`, has to take and to give.

        None when its lease had ended: everything is lost, and it has to join again. Raises `FencedError` when
        another process has joined under its name.
        """
        async with self._store.transaction() as connection:
            await connection.fetchval(_LOCK, self._group)
            if not await connection.fetchval(_BEAT, self._group, self._member, self._session, self._lease):
                if await connection.fetchval(_OTHER, self._group, self._member):
                    raise FencedError(
                        f"Another process has joined the group {self._group} as {self._member!r}. Give each "
                        "process a name of its own, or stop one of them."
                    )
                return None
            await connection.execute(_EXPIRE, self._group)
            await connection.execute(_FREE, self._group)
            subscriptions = {row["name"]: row["topics"] for row in await connection.fetch(_MEMBERS, self._group)}
            owners: dict[Partition, str | None] = {
                Partition(row["topic"], row["partition"]): row["owner"]
                for row in await connection.fetch(_OWNERS, self._group, self._topics)
            }
            share = dealt(subscriptions, owners, self._member)
            taken = frozenset(place for place in share - held if owners[place] is None or owners[place] == self._member)
            await connection.execute(_TAKE, self._group, self._member, *_columns(taken))
            mine = frozenset(place for place, owner in owners.items() if owner == self._member)
            # A name's earlier process may have left places behind that aren't in our share.
            idle = mine - share - held
            await self._give(connection, idle)
        return Deal(taken=taken, due=(held & mine) - share, lost=held - mine)

    async def release(self, places: Collection[Partition]) -> None:
        """Leave `places` to others."""

        async def work(connection: Connection) -> None:
            await connection.fetchval(_LOCK, self._group)
            if await connection.fetchval(_BEAT, self._group, self._member, self._session, self._lease):
                await self._give(connection, places)

        await self._store.retrying(work, repeatable=True)

    async def leave(self) -> None:
        """End the membership; its partitions are free at once."""

        async def work(connection: Connection) -> None:
            await connection.fetchval(_LOCK, self._group)
            if await connection.fetchval(_LEAVE, self._group, self._member, self._session):
                await connection.execute(_FREE, self._group)
                await connection.execute(_RING, self._group)

        await self._store.retrying(work, repeatable=True, attempts=2)

    async def _give(self, connection: Connection, places: Collection[Partition]) -> None:
        if places:
            await connection.execute(_RELEASE, self._group, self._member, *_columns(places))
            await connection.execute(_RING, self._group)


def _columns(places: Collection[Partition]) -> tuple[list[str], list[int]]:
    return [place.topic for place in places], [place.number for place in places]
