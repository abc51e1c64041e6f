"""The production adapter of the `Log` port: Apache Kafka 3.1 or later, through aiokafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from services.runtime.log import Consumer, Listener, LogUnavailableError, Message, Partition, Record
from services.runtime.log.errors import LogRefusedError
from services.runtime.log.kafka_access import KafkaAccess
from services.runtime.log.kafka_cluster import Cluster, unknown
from services.runtime.log.kafka_consumer import KafkaConsumer
from services.runtime.log.kafka_group import Deal, Group, Membership
from services.runtime.log.kafka_logging import calm
from services.runtime.log.kafka_producer import Producer, Sending
from services.runtime.log.kafka_read import read
from services.runtime.log.kafka_sameness import Sameness
from services.runtime.log.kafka_topics import MAX_MESSAGE_BYTES, RETENTION, Topics
from services.runtime.log.partitioner import partition_of

_BATCH_BYTES = 1_000_000
"""aiokafka's own 16 KiB lets concurrent publishers of one partition starve."""
_ASK_SECONDS = 5.0
_READY_SECONDS = 2.0
_READ_SECONDS = 30.0
_FETCH_WAIT_MS = 50
"""aiokafka has one request under way per broker: a partition that wasn't in it waits this long at most."""
_CONSUMER_REQUEST_MS = 40_000
"""Longer than any member takes to drain: a member that joins is answered once all others have."""
_BEAT_MS = 3_000
_REBALANCE_MS = 60_000


class KafkaLog:
    """`Log` over a Kafka cluster."""

    def __init__(
        self, cluster: Cluster, producer: Producer, topics: Topics, *, static: bool, session: timedelta
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._topics = topics
        self._static = static
        self._session = session
        self._in_sync: dict[str, int] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(  # noqa: PLR0913 - each is a choice that its caller makes by name
        cls,
        hosts: Sequence[tuple[str, int]],
        access: KafkaAccess | None = None,
        *,
        static: bool = False,
        session: timedelta = timedelta(seconds=45),
        retention: timedelta = RETENTION,
        patience: float = 30,
        max_messages: int = 50_000,
        max_bytes: int = 64 << 20,
        timeout: float = 10,
    ) -> AsyncIterator[KafkaLog]:
        """Open the log on the cluster that the brokers at `hosts` belong to.

        `static`: members keep their partitions when they restart under the same name within a `session`, and one
        that joins under a name in use displaces the other; otherwise a member that leaves gives its partitions up
        at once. `retention`: the least time that topics keep records. `patience`: seconds to wait for a broker that
        answers. `max_messages` and `max_bytes` may wait for their acknowledgements in this process; publications
        beyond that are refused. `timeout`: seconds that one publication or question may take; the latter at most 5 s.

        Raises `LogUnavailableError` when no broker answers, `LogRefusedError`, `KafkaAccessError`.
        """
        calm()
        cluster = Cluster(hosts, access or KafkaAccess(), timeout=min(timeout, _ASK_SECONDS))
        make = partial(
            AIOKafkaProducer,
            bootstrap_servers=cluster.hosts,
            client_id="contactsync-publish",
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_MESSAGE_BYTES,
            linger_ms=0,
            compression_type="lz4",
            request_timeout_ms=round(timeout * 1000),
            **cluster.options,
        )
        async with cluster.reached(patience):
            producer = Producer(make, cluster.where, max_messages=max_messages, max_bytes=max_bytes, timeout=timeout)
            try:
                yield cls(cluster, producer, Topics(cluster, retention=retention), static=static, session=session)
            finally:
                await producer.close()

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the topics (name to number of partitions) that aren't there yet, and check all of them.

        Raises `PartitionCountError` or `TopicSettingsError` for a topic that differs.
        """
        self._in_sync |= await self._topics.create(topics)

    async def check_topics(self, topics: Mapping[str, int]) -> None:
        """Raise unless all topics are there as they have to be: `UnknownTopicError` beside `create_topics`' own."""
        self._in_sync |= await self._topics.check(topics)

    async def retention(self, names: Collection[str]) -> dict[str, timedelta | None]:
        """Return how long the brokers keep each topic's records, by its own setting; None for ever."""
        settings = await self._cluster.settings(names)
        ages = {name: int(each["retention.ms"]) for name, each in settings.items()}
        return {name: None if age < 0 else timedelta(milliseconds=age) for name, age in ages.items()}

    async def expire(self, retention: Mapping[str, timedelta]) -> int:
        """Delete nothing: the brokers do that by the topics' own settings."""
        return 0

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """As the port says. Raises `UnknownTopicError`, `MessageTooLargeError`, `LogRefusedError`."""
        if not messages:
            return
        count = await self._cluster.count(topic)
        await self._put(topic, [Sending(topic, partition_of(message.key, count), message) for message in messages])

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        """As the port says, and as `publish`. Part of the partitions may have it when it fails."""
        count = await self._cluster.count(topic)
        await self._put(topic, [Sending(topic, number, message) for number in range(count)])

    async def append(self, place: Partition, messages: Sequence[Message]) -> None:
        """Publish the messages to this partition, whatever their keys say. Raises as `publish`."""
        if messages:
            await self._put(place.topic, [Sending(*place, message) for message in messages])

    def read(self, place: Partition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of [start, end), which lie within the partition's bounds, in order, some at a time."""
        make = partial(
            AIOKafkaConsumer,
            bootstrap_servers=self._cluster.hosts,
            client_id="contactsync-read",
            enable_auto_commit=False,
            auto_offset_reset="none",
            **self._cluster.options,
        )
        return read(make, self._cluster.where, place, start, end, patience=_READ_SECONDS)

    async def partitions(self, topic: str) -> int:
        """As the port says. Raises `UnknownTopicError`."""
        return await self._cluster.count(topic)

    async def bounds(self, topic: str) -> Mapping[Partition, tuple[int, int]]:
        """As the port says. Raises `UnknownTopicError`."""
        return await self._cluster.bounds(topic)

    async def topic_id(self, topic: str) -> str:
        """Return Kafka's own id of the topic, asked anew each time. Raises `UnknownTopicError`."""
        return (await self._cluster.topic(topic)).id

    async def ready(self) -> bool:
        """Whether every topic that was checked has leaders that answer, and copies enough; known within 2 s."""
        if self._producer.full:
            return False
        try:
            async with asyncio.timeout(_READY_SECONDS):
                there = await self._cluster.topics(self._in_sync)
                leaders = {leader for topic in there.values() for leader in topic.leaders.values()}
                return (
                    min(leaders, default=0) >= 0
                    and all(name in there and there[name].in_sync >= least for name, least in self._in_sync.items())
                    and await self._cluster.answers(leaders)
                )
        except (LogUnavailableError, LogRefusedError, TimeoutError):
            return False

    @contextlib.asynccontextmanager
    async def consumer(
        self, group: str, topics: Sequence[str], member: str, listener: Listener
    ) -> AsyncIterator[Consumer]:
        """As the port says. Raises `UnknownTopicError`."""
        there = await self._cluster.topics(topics)
        for name in topics:
            if name not in there:
                raise unknown(name)
        session_ms = self._session // timedelta(milliseconds=1)
        beat_ms = min(session_ms // 15, _BEAT_MS)
        make = partial(
            AIOKafkaConsumer,
            bootstrap_servers=self._cluster.hosts,
            client_id=f"contactsync-{member}",
            group_id=group,
            group_instance_id=member if self._static else None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            # Sticky gains nothing where every rebalance revokes everything, and sees one topic's worth less evenly.
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=beat_ms,
            rebalance_timeout_ms=_REBALANCE_MS,
            request_timeout_ms=_CONSUMER_REQUEST_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            **self._cluster.options,
        )
        members = Group(self._cluster, group)
        consumer = KafkaConsumer(
            self._cluster.where,
            listener,
            topics=Sameness(self._cluster, {name: topic.id for name, topic in there.items()}),
            membership=Membership(members, member if self._static else None),
            deal=Deal(members, session=session_ms / 1000, beat=beat_ms / 1000),
        )
        async with consumer.reading(make):
            yield consumer

    async def _put(self, topic: str, sendings: Sequence[Sending]) -> None:
        try:
            await self._producer.put(sendings)
        except LogUnavailableError:
            # The topic may have been made anew.
            self._cluster.forget(topic)
            raise
