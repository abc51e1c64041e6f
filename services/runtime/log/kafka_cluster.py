"""What a Kafka cluster says about itself: its topics, their ids, offsets and settings."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import errors as kafka
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import CreateTopicsRequest, DescribeConfigsRequest
from aiokafka.protocol.offset import OffsetRequest

from services.runtime.log import LogUnavailableError, Partition
from services.runtime.log.errors import UnknownTopicError
from services.runtime.log.kafka_access import KafkaAccess
from services.runtime.log.kafka_errors import REFUSED, ours, raise_as_ours, refusal
from services.runtime.log.kafka_protocol import TopicsRequest

EARLIEST, LATEST = -2, -1
_RETRY_SECONDS = 0.25
_MOVE_SECONDS = 0.1
_MOVING = (kafka.NotLeaderForPartitionError, kafka.LeaderNotAvailableError, kafka.UnknownTopicOrPartitionError)
"""The last one too: a partition that a topic made anew doesn't have; the topic itself is asked for first."""
_TOPIC_RESOURCE = 2
_UNKNOWN_TOPIC = 3
_NONE_REPLICA = -1
_UNCOMMITTED = 0


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as its cluster describes it."""

    id: str
    leaders: Mapping[int, int]
    """Partition number to the broker that takes its messages; -1 while there is none."""
    in_sync: int
    """Copies that are up to date, in the partition that has the fewest."""
    replicas: int


class Cluster:
    """Questions to a cluster, over connections of their own: no publication waits behind them."""

    def __init__(self, hosts: Sequence[tuple[str, int]], access: KafkaAccess, *, timeout: float) -> None:
        self.where = ",".join(f"{host}:{port}" for host, port in hosts)
        self.options: dict[str, Any] = access.options()
        self.hosts = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in hosts]
        self._addresses = hosts
        self._timeout_ms = round(timeout * 1000)
        self._client = AIOKafkaClient(
            bootstrap_servers=self.hosts,
            client_id="contactsync-ask",
            request_timeout_ms=self._timeout_ms,
            **self.options,
        )
        self._known: dict[str, Topic] = {}

    @contextlib.asynccontextmanager
    async def reached(self, patience: float) -> AsyncIterator[Cluster]:
        """Be connected until the block ends.

        Raises `LogUnavailableError` when no broker answers for `patience` seconds, `LogRefusedError` at once.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        try:
            while True:
                try:
                    await self._knock()
                    await self._bootstrap()
                    break
                except LogUnavailableError:
                    if loop.time() >= deadline:
                        raise
                    await asyncio.sleep(_RETRY_SECONDS)
            yield self
        finally:
            await self._client.close()

    async def topics(self, names: Collection[str]) -> dict[str, Topic]:
        """Return those of the topics that there are, as a broker knows them now."""
        response = await self.ask(TopicsRequest(sorted(names)))
        found: dict[str, Topic] = {}
        for code, name, topic_id, _, partitions, *_ in response.topics:
            if code == _UNKNOWN_TOPIC:
                self._known.pop(name, None)
                continue
            with ours(self.where):
                _check(code, name)
            found[name] = Topic(
                id=topic_id,
                leaders={number: leader for _, number, leader, *_ in partitions},
                in_sync=min(len(in_sync) for _, _, _, _, _, in_sync, *_ in partitions),
                replicas=min(len(replicas) for _, _, _, _, replicas, *_ in partitions),
            )
        self._known.update(found)
        return found

    async def topic(self, name: str) -> Topic:
        """Return one topic, as a broker knows it now. Raises `UnknownTopicError`."""
        try:
            return (await self.topics([name]))[name]
        except KeyError:
            raise unknown(name) from None

    async def count(self, name: str) -> int:
        """Return how many partitions the topic has; asked once. Raises `UnknownTopicError`."""
        known = self._known.get(name)
        return len((known or await self.topic(name)).leaders)

    def forget(self, name: str) -> None:
        """Ask anew at the next need: the topic may have been made anew."""
        self._known.pop(name, None)

    async def bounds(self, name: str) -> dict[Partition, tuple[int, int]]:
        """Return each partition's first offset and the next one. Raises `UnknownTopicError`."""
        deadline = asyncio.get_running_loop().time() + self._timeout_ms / 1000
        while True:
            try:
                return await self._bounds(name, self._known.get(name) or await self.topic(name))
            except kafka.KafkaError as error:
                # A leader has moved or isn't in office yet, or the topic was made anew.
                self.forget(name)
                if asyncio.get_running_loop().time() > deadline or not isinstance(error, _MOVING):
                    raise_as_ours(self.where, error)
                await asyncio.sleep(_MOVE_SECONDS)
            except LogUnavailableError:
                self.forget(name)
                raise

    async def _bounds(self, name: str, topic: Topic) -> dict[Partition, tuple[int, int]]:
        first, end = await asyncio.gather(self._offsets(name, topic, EARLIEST), self._offsets(name, topic, LATEST))
        return {Partition(name, number): (first[number], end[number]) for number in sorted(topic.leaders)}

    async def _offsets(self, name: str, topic: Topic, which: int) -> dict[int, int]:
        led: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, leader in topic.leaders.items():
            if leader < 0:
                raise kafka.LeaderNotAvailableError(f"{name}, partition {number}")
            led[leader].append((number, which))
        asked = [
            self.ask(OffsetRequest(_NONE_REPLICA, _UNCOMMITTED, [(name, places)]), node) for node, places in led.items()
        ]
        offsets: dict[int, int] = {}
        for response in await asyncio.gather(*asked):
            for _, partitions in response.topics:
                for number, code, _, offset, *_ in partitions:
                    _check(code, name)
                    offsets[number] = offset
        return offsets

    async def settings(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return the settings that each of the topics lives by, defaults included."""
        request = DescribeConfigsRequest([(_TOPIC_RESOURCE, name, None) for name in sorted(names)])
        response = await self.ask(request)
        found: dict[str, dict[str, str]] = {}
        for code, _, _, name, entries in response.resources:
            with ours(self.where):
                _check(code, name)
            found[name] = {key: value for key, value, *_ in entries}
        return found

    async def create(self, name: str, partitions: int, replicas: int, settings: Mapping[str, str]) -> None:
        """Create a topic; another one's creation at the same moment is as good."""
        await self.topics([name])
        request = CreateTopicsRequest(
            [(name, partitions, replicas, [], list(settings.items()))], self._timeout_ms, False
        )
        response = await self.ask(request, await self._controller())
        for _, code, message in response.topic_errors:
            error = kafka.for_code(code)
            if error is not kafka.TopicAlreadyExistsError:
                with ours(self.where):
                    _check(code, message or name)

    async def brokers(self) -> int:
        """Return how many brokers are there now."""
        return len((await self.ask(TopicsRequest([]))).brokers)

    async def ask_coordinator(self, group: str, request: object) -> Any:
        """Send a request to the broker that the group's members report to, and return its answer. Raises as `ask`."""
        with ours(self.where):
            async with asyncio.timeout(self._timeout_ms / 1000):
                coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
        return await self.ask(request, coordinator)

    async def ask(self, request: object, node: int | None = None) -> Any:
        """Send a request to one broker, any by default, and return its answer.

        Raises `LogUnavailableError` or `LogRefusedError`.
        """
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                return await self._ask(request, node)
        except (kafka.KafkaError, OSError) as error:
            raise_as_ours(self.where, error)

    async def answers(self, nodes: Collection[int]) -> bool:
        """Whether each of the brokers answers by itself: what the others say of it may be old."""
        outcomes = await asyncio.gather(*(self.ask(TopicsRequest([]), node) for node in nodes), return_exceptions=True)
        return not any(isinstance(outcome, BaseException) for outcome in outcomes)

    async def _ask(self, request: object, node: int | None) -> Any:
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()] if node is None else [node]
        random.shuffle(nodes)
        for each in nodes:
            try:
                return await self._client.send(each, request)
            except (kafka.NodeNotReadyError, kafka.KafkaConnectionError) as error:
                last: kafka.KafkaError = error
        # aiokafka tells why only in its own log; and all brokers may have moved.
        await self._knock()
        await self._bootstrap()
        raise last

    async def _controller(self) -> int | None:
        answer = await self.ask(TopicsRequest([]))
        return answer.controller_id if answer.controller_id >= 0 else None

    async def _bootstrap(self) -> None:
        try:
            await self._client.bootstrap()
        except kafka.KafkaError as error:
            raise self._nobody(error) from error

    async def _knock(self) -> None:
        """Raise unless a broker lets us in."""
        last: BaseException | None = None
        for host, port in self._addresses:
            try:
                connection = await create_conn(
                    host, port, client_id="contactsync-ask", request_timeout_ms=self._timeout_ms, **self.options
                )
            except REFUSED as error:
                raise refusal(self.where, error) from error
            except (kafka.KafkaError, OSError) as error:
                last = error
            else:
                await connection.close()
                return
        raise self._nobody(last) from last

    def _nobody(self, error: BaseException | None) -> LogUnavailableError:
        return LogUnavailableError(
            f"No Kafka broker answers at {self.where} ({type(error).__name__}). Is CONTACTSYNC_LOG_URL right, is the "
            "cluster up, and does CONTACTSYNC_KAFKA_SECURITY say how it is to be spoken to?"
        )


def unknown(name: str) -> UnknownTopicError:
    """Return the sentence about a topic that isn't there."""
    return UnknownTopicError(
        f"The log has no topic {name!r}. `contactsync migrate` makes the topics: has it been run with this cluster, "
        "is an app missing from this installation, or is the name misspelt?"
    )


def _check(code: int, what: str) -> None:
    error = kafka.for_code(code)
    if error is not kafka.NoError:
        raise error(what)
