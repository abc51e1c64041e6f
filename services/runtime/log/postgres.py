"""The embedded adapter of the `Log` port: one PostgreSQL, for one machine or a few processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import asyncpg
import msgspec

from services.runtime.log import Consumer, Listener, LogUnavailableError, Message, Partition, Record
from services.runtime.log.doorbell import Doorbell
from services.runtime.log.errors import PartitionCountError, UnknownTopicError, is_passing
from services.runtime.log.membership import Membership
from services.runtime.log.partitioner import partition_of
from services.runtime.log.postgres_consumer import PostgresConsumer
from services.runtime.log.postgres_read import read
from services.runtime.log.writer import Row, Writer
from services.runtime.store import Connection, Store

_TOPICS = "SELECT name, partitions FROM log.topic"
_CREATE = """
WITH made AS (
    INSERT INTO log.topic (name, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING name, partitions
)
INSERT INTO log.partition (topic, number) SELECT name, generate_series(0, partitions - 1) FROM made
"""
_BOUNDS = "SELECT number, first_offset, next_offset FROM log.partition WHERE topic = $1 ORDER BY number"
_WRITABLE = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
_EXPIRE = "SELECT log.expire($1, $2, clock_timestamp() - $3::interval, $4)"
_CONNECTIONS = 4
_encode_headers = msgspec.msgpack.Encoder().encode


class PostgresLog:
    """`Log` over PostgreSQL, in the schema `log`."""

    def __init__(self, store: Store, bell: Doorbell, writer: Writer, *, lease: timedelta) -> None:
        self._store = store
        self._bell = bell
        self._writer = writer
        self._lease = lease
        self._counts: dict[str, int] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        store: Store,
        *,
        lease: timedelta = timedelta(seconds=15),
        max_messages: int = 50_000,
        max_bytes: int = 64 << 20,
        timeout: float = 10,
    ) -> AsyncIterator[PostgresLog]:
        """Open the log in `store`'s database.

        `lease`: how long a member may be silent before its partitions go to others. `max_messages` and
        `max_bytes` may wait to be written in this process; publications beyond that are refused. `timeout`:
        seconds that one commit may take.
        """
        async with (
            # Connections of its own: leases are prolonged and records fetched while handlers hold all of the store's.
            Store.open(store.dsn, max_size=_CONNECTIONS, name="contactsync-log", plan_once=True) as own,
            Doorbell.open(store.dsn) as bell,
        ):
            writer = Writer(store.dsn, bell, max_messages=max_messages, max_bytes=max_bytes, timeout=timeout)
            async with writer.running():
                yield cls(own, bell, writer, lease=lease)

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the topics (name to number of partitions) that aren't there yet.

        Raises `PartitionCountError` when one is there with another number.
        """

        async def work(connection: Connection) -> None:
            for name, partitions in sorted(topics.items()):
                await connection.execute(_CREATE, name, partitions)

        await self._store.retrying(work, repeatable=True)
        await self.check_topics(topics)

    async def check_topics(self, topics: Mapping[str, int]) -> None:
        """Raise `UnknownTopicError` or `PartitionCountError` unless the topics are there with these partitions."""
        await self._look()
        for name, partitions in topics.items():
            if await self._count(name) != partitions:
                raise PartitionCountError(
                    f"The topic {name} has {self._counts[name]} partitions, the settings say {partitions}. Their "
                    "number can't be changed, because keys would change places: set it to "
                    f"{self._counts[name]} again."
                )

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """As the port says; all messages of one call in one transaction. Raises `UnknownTopicError`."""
        if not messages:
            return
        count = await self._count(topic)
        await self._put([_row(topic, partition_of(message.key, count), message) for message in messages])

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        """As the port says, in one transaction. Raises `UnknownTopicError`."""
        await self._put([_row(topic, number, message) for number in range(await self._count(topic))])

    async def append(self, place: Partition, messages: Sequence[Message]) -> None:
        """Publish the messages to this partition, whatever their keys say. Raises as `publish`."""
        if messages:
            await self._put([_row(place.topic, place.number, message) for message in messages])

    def read(self, place: Partition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of [start, end) that retention has left, in order, some at a time."""
        return read(self._store, place, start, end)

    async def partitions(self, topic: str) -> int:
        """As the port says. Raises `UnknownTopicError`."""
        return await self._count(topic)

    async def bounds(self, topic: str) -> Mapping[Partition, tuple[int, int]]:
        """As the port says. Raises `UnknownTopicError`."""
        rows = await self._store.fetch(_BOUNDS, topic)
        if not rows:
            raise _unknown(topic)
        return {Partition(topic, row["number"]): (row["first_offset"], row["next_offset"]) for row in rows}

    async def topic_id(self, topic: str) -> str:
        """As the port says. Raises `UnknownTopicError`."""
        found = await self._store.fetchval("SELECT id FROM log.topic WHERE name = $1", topic)
        if found is None:
            raise _unknown(topic)
        return str(found)

    async def ready(self) -> bool:
        """As the port says; answers within 2 s."""
        if self._writer.full:
            return False
        try:
            async with asyncio.timeout(2):
                return bool(await self._store.fetchval(_WRITABLE))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return False

    @contextlib.asynccontextmanager
    async def consumer(
        self, group: str, topics: Sequence[str], member: str, listener: Listener
    ) -> AsyncIterator[Consumer]:
        """As the port says. Raises `UnknownTopicError`."""
        for topic in topics:
            await self._count(topic)
        membership = Membership(self._store, group, member, topics, self._lease)
        beat = self._lease.total_seconds() / 5
        consumer = PostgresConsumer(self._store, self._bell, membership, listener, group=group, beat=beat)
        async with consumer.reading(topics):
            yield consumer

    async def expire(self, retention: Mapping[str, timedelta], *, chunk: int = 5_000) -> int:
        """Delete records older than their topic's retention, oldest first, in chunks; how many it was.

        The first offset moves with them: whoever hasn't read them by then is told so, not carried past them.
        """
        removed = 0
        for topic, age in sorted(retention.items()):
            for place in sorted(await self.bounds(topic)):
                while gone := await self._store.fetchval(_EXPIRE, topic, place.number, age, chunk):
                    removed += gone
        return removed

    async def _put(self, rows: Sequence[Row]) -> None:
        try:
            await self._writer.put(rows)
        except LogUnavailableError:
            # The topic may have been made anew.
            self._counts.pop(rows[0].topic, None)
            raise

    async def _count(self, topic: str) -> int:
        if topic not in self._counts:
            try:
                await self._look()
            except Exception as error:
                if not is_passing(error):
                    raise
                raise LogUnavailableError("The log's database doesn't answer; publish again.") from error
        try:
            return self._counts[topic]
        except KeyError:
            raise _unknown(topic) from None

    async def _look(self) -> None:
        self._counts = {row["name"]: row["partitions"] for row in await self._store.fetch(_TOPICS)}


def _row(topic: str, number: int, message: Message) -> Row:
    return Row(topic, number, message.key, _encode_headers(message.headers), message.value)


def _unknown(topic: str) -> UnknownTopicError:
    return UnknownTopicError(
        f"The log has no topic {topic!r}. Topics are made by `contactsync migrate` and at the start: is an app "
        "missing from this installation, or is the name misspelt?"
    )
