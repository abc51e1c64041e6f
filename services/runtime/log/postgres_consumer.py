"""One member of a consumer group of the embedded log."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
import msgspec
import structlog

from services.contracts.envelope import Headers
from services.runtime.log import Listener, Partition, Record
from services.runtime.log.doorbell import Doorbell
from services.runtime.log.errors import OffsetOutOfRangeError, is_passing
from services.runtime.log.membership import Membership
from services.runtime.store import Store

T = TypeVar("T")

_FETCH = """
SELECT w.topic, w.number, w.position, p.first_offset, p.next_offset,
    r."offset", r.key, r.headers, r.value, r.at
FROM unnest($1::text[], $2::int[], $3::bigint[]) AS w (topic, number, position)
LEFT JOIN log.partition AS p ON p.topic = w.topic AND p.number = w.number
LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT n.*, sum(octet_length(n.value)) OVER (ORDER BY n."offset") - octet_length(n.value) AS before
        FROM (
            SELECT "offset", key, headers, value, at FROM log.record
            WHERE topic = w.topic AND partition = w.number AND "offset" >= w.position
            ORDER BY "offset" LIMIT $4
        ) AS n
    ) AS b WHERE before < $5
) AS r ON true
ORDER BY w.topic, w.number, r."offset"
"""
_COMMIT = """
INSERT INTO log.committed AS c (grp, topic, partition, next_offset)
SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[])
ON CONFLICT (grp, topic, partition) DO UPDATE SET next_offset = excluded.next_offset, at = now()
"""
_FETCH_BYTES = 8 << 20
"""Values of one partition that one fetch may bring, before the last record."""
_POLL_SECONDS = 1.0
"""What a lost notification costs at most."""
_decode_headers = msgspec.msgpack.Decoder(type=Headers).decode


class PostgresConsumer:
    """`Consumer` over the embedded log. Its listener is called from a task of its own."""

    def __init__(
        self,
        store: Store,
        bell: Doorbell,
        membership: Membership,
        listener: Listener,
        *,
        group: str,
        beat: float,
    ) -> None:
        self._store = store
        self._bell = bell
        self._membership = membership
        self._listener = listener
        self._group = group
        self._beat_seconds = beat
        self._held: frozenset[Partition] = frozenset()
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._wake = asyncio.Event()
        self._failure: BaseException | None = None

    @contextlib.asynccontextmanager
    async def reading(self, topics: Sequence[str]) -> AsyncIterator[PostgresConsumer]:
        """Be a member until the block ends; then drain, and leave the partitions to others."""
        await self._membership.join()
        with self._bell.hear(*(f"topic:{topic}" for topic in topics)) as self._wake:
            task = asyncio.create_task(self._balance(), name=f"log-balance-{self._group}")
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait({task})
                await self._leave()

    async def fetch(self, *, max_records: int, timeout: float) -> Mapping[Partition, Sequence[Record]]:
        """As the port says. Raises `OffsetOutOfRangeError`, `FencedError`, or what the listener raised."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            if self._failure is not None:
                raise self._failure
            self._wake.clear()
            wanted = {place: at for place, at in self._positions.items() if place not in self._paused}
            if wanted and (found := await self._read(wanted, max_records)):
                return found
            if (left := deadline - loop.time()) <= 0:
                return {}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, _POLL_SECONDS)):
                    await self._wake.wait()

    async def _read(self, wanted: Mapping[Partition, int], limit: int) -> dict[Partition, list[Record]]:
        columns = [p.topic for p in wanted], [p.number for p in wanted], list(wanted.values())
        found: defaultdict[Partition, list[Record]] = defaultdict(list)
        for row in await self._store.fetch(_FETCH, *columns, limit, _FETCH_BYTES):
            place = Partition(row["topic"], row["number"])
            # Sought elsewhere, paused or revoked while the query ran.
            if self._positions.get(place) != row["position"] or place in self._paused:
                continue
            _check_range(place, row)
            if row["offset"] is not None:
                found[place].append(
                    Record(
                        partition=place,
                        offset=row["offset"],
                        key=row["key"],
                        headers=_decode_headers(row["headers"]),
                        value=row["value"],
                        time=row["at"],
                    )
                )
        for place, records in found.items():
            self._positions[place] = records[-1].offset + 1
        return dict(found)

    def pause(self, partition: Partition) -> None:
        """As the port says."""
        self._paused.add(partition)

    def resume(self, partition: Partition) -> None:
        """As the port says."""
        self._paused.discard(partition)
        self._wake.set()

    def seek(self, partition: Partition, offset: int) -> None:
        """As the port says. A partition that isn't owned (any more) is left alone."""
        if partition in self._positions:
            self._positions[partition] = offset
            self._wake.set()

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """As the port says."""
        places = sorted(offsets)
        async with self._store.transaction() as connection:
            # A lost figure is given again with the next commit: not worth a flush of the disk.
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                _COMMIT,
                self._group,
                [place.topic for place in places],
                [place.number for place in places],
                [offsets[place] for place in places],
            )

    async def _balance(self) -> None:
        try:
            with self._bell.hear(f"group:{self._group}") as rung:
                while True:
                    rung.clear()
                    try:
                        await self._turn()
                    except Exception as error:
                        if not is_passing(error):
                            raise
                        structlog.get_logger().warning("log_group_away", group=self._group, error=type(error).__name__)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._beat_seconds):
                            await rung.wait()
        except Exception as error:  # noqa: BLE001 - fetch raises it
            self._failure = error
            self._wake.set()

    async def _turn(self) -> None:
        deal = await self._membership.deal(self._held)
        if deal is None:
            structlog.get_logger().warning("log_lease_ended", group=self._group)
            await self._stop(self._held)
            await self._membership.join()
            deal = await self._membership.deal(self._held)
            if deal is None:
                return
        if gone := deal.due | deal.lost:
            await self._stop(gone)
        if deal.due:
            await self._membership.release(deal.due)
        if deal.taken:
            # Held from here on: if the listener is cut short, what it has begun is revoked.
            self._held |= deal.taken
            self._positions.update(await self._alive(self._listener.assigned(deal.taken)))
            structlog.get_logger().info("partitions_assigned", group=self._group, partitions=len(deal.taken))
            self._wake.set()

    async def _stop(self, places: frozenset[Partition]) -> None:
        for place in places:
            self._positions.pop(place, None)
            self._paused.discard(place)
        await self._alive(self._listener.revoked(places))
        self._held -= places

    async def _alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the listener's `work`, prolonging the lease meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._beat_seconds))[0]:
                try:
                    await self._membership.beat()
                except Exception as error:
                    if not is_passing(error):
                        raise
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _leave(self) -> None:
        if self._held:
            await self._stop(self._held)
        try:
            await self._membership.leave()
        except Exception as error:
            if not is_passing(error):
                raise
            # The lease ends by itself.
            structlog.get_logger().warning("log_group_not_left", group=self._group, error=type(error).__name__)


def _check_range(place: Partition, row: asyncpg.Record) -> None:
    position, first, end = row["position"], row["first_offset"], row["next_offset"]
    if end is None:
        raise OffsetOutOfRangeError(
            f"{place.topic} has no partition {place.number} any more: was the topic made anew? Stop, and see "
            "`contactsync log adopt`."
        )
    if position < first:
        raise OffsetOutOfRangeError(
            f"{place.topic}, partition {place.number}: the next offset to read is {position}, but retention has "
            f"left only {first} and later; {first - position} messages were never read. Lengthen the retention, and "
            "repair with `contactsync replay` before you go on."
        )
    if position > end:
        raise OffsetOutOfRangeError(
            f"{place.topic}, partition {place.number}: the next offset to read is {position}, but the log ends "
            f"at {end}: it is older than the progress made with it, as after a restored copy. See `contactsync log "
            "adopt`."
        )
