"""The `Log` port: durable, partitioned, replayable transport. Adapters pass one suite (`tests/log_suite.py`)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec

from services.contracts.envelope import Headers

EVENTS = "contacts.events"
RECEIPTS = "contacts.receipts"
PARKED = "contacts.parked"


def commands_topic(app: str) -> str:
    """Return the topic that carries the commands to the accounts of `app`."""
    return f"contacts.commands.{app}"


class LogUnavailableError(Exception):
    """The log did not confirm a publication: it may be there or not. Publishing again is safe (ids collapse)."""


class FencedError(Exception):
    """Another member owns the partition by now: what this one was about to commit must not count."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is published. Messages with the same key go to the same partition, in order."""

    key: bytes
    headers: Headers
    value: bytes


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is read."""

    partition: Partition
    offset: int
    key: bytes
    headers: Headers
    value: bytes
    time: datetime
    """When the log took it."""


class Listener(Protocol):
    """Who is told about the partitions a consumer owns."""

    async def assigned(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        """Return the offset to start at, for each partition newly owned."""
        ...

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Finish what is under way on these partitions; they go to another member when this returns."""
        ...


class Consumer(Protocol):
    """One member of a consumer group."""

    async def fetch(self, *, max_records: int, timeout: float) -> Mapping[Partition, Sequence[Record]]:
        """Return records of owned, unpaused partitions, at most `max_records` each, waiting up to `timeout` seconds."""
        ...

    def pause(self, partition: Partition) -> None:
        """Fetch nothing of the partition until `resume`."""
        ...

    def resume(self, partition: Partition) -> None:
        """Fetch from the partition again."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read the partition from `offset` on."""
        ...

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell the log how far the group is; for lag figures only, the owner's progress row is the truth."""
        ...


class Log(Protocol):
    """The log."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """Return when all messages are durable; raise `LogUnavailableError` if that can't be confirmed."""
        ...

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        """Publish the message to every partition of the topic."""
        ...

    async def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has."""
        ...

    async def bounds(self, topic: str) -> Mapping[Partition, tuple[int, int]]:
        """Return each partition's first offset still there and the offset its next record will get."""
        ...

    async def topic_id(self, topic: str) -> str:
        """Return the log's own id of the topic: a recreated topic has another."""
        ...

    async def ready(self) -> bool:
        """Return whether a publication would be confirmed now."""
        ...

    def consumer(
        self, group: str, topics: Sequence[str], member: str, listener: Listener
    ) -> AbstractAsyncContextManager[Consumer]:
        """Join a consumer group as `member` (a lasting name)."""
        ...
