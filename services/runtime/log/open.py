"""Which log: the scheme of its address says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

from services.runtime.log import Log, Message, Partition, Record
from services.runtime.log.kafka_access import KafkaAccess, addresses
from services.runtime.log.postgres import PostgresLog
from services.runtime.settings import Settings
from services.runtime.store import Store


class LogUrlError(ValueError):
    """The log's address isn't one we know."""


class ManagedLog(Log, Protocol):
    """A log together with what only its installation does."""

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the topics (name to number of partitions) that aren't there; one that differs is an error."""
        ...

    async def check_topics(self, topics: Mapping[str, int]) -> None:
        """Raise unless all topics are there as they have to be; create nothing."""
        ...

    async def append(self, place: Partition, messages: Sequence[Message]) -> None:
        """Publish the messages to this partition, whatever their keys say; for messages that were in it before."""
        ...

    def read(self, place: Partition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of [start, end), both within the bounds, in order and some at a time, for no group."""
        ...

    async def expire(self, retention: Mapping[str, timedelta]) -> int:
        """Delete records older than their topic's age; return how many."""
        ...


@contextlib.asynccontextmanager
async def open_log(
    url: str,
    store: Store,
    *,
    kafka: KafkaAccess | None = None,
    static: bool = False,
    session: timedelta = timedelta(seconds=45),
    patience: float = 30,
) -> AsyncIterator[ManagedLog]:
    """Open the log at `url` (CONTACTSYNC_LOG_URL): `postgres:` is the one in `store`'s own database.

    `kafka`: how a Kafka cluster is to be spoken to. `static`: its consumers' names last across restarts (in the
    embedded log they always do). `session`: how long one may be silent. `patience`: seconds to wait for a broker that
    answers.

    Raises `LogUrlError` for any other scheme; for Kafka `KafkaAccessError`, `LogUnavailableError` and
    `LogRefusedError`, each with a sentence for a person.
    """
    match urlsplit(url).scheme:
        case "postgres":
            async with PostgresLog.open(store) as log:
                yield log
        case "kafka":
            # Who has the embedded log is spared the import of a Kafka client.
            from services.runtime.log.kafka import KafkaLog  # noqa: PLC0415

            async with KafkaLog.open(
                addresses(url), kafka, static=static, session=session, patience=patience
            ) as cluster:
                yield cluster
        case scheme:
            raise LogUrlError(
                f"CONTACTSYNC_LOG_URL names a log of the kind {scheme!r}, which this version doesn't have. "
                "Write `postgres:` for the log in contactsync's own database, or `kafka://host:9092,host2:9092`."
            )


def log_of(settings: Settings, store: Store) -> contextlib.AbstractAsyncContextManager[ManagedLog]:
    """Return the log that the settings name, to be entered. Raises then as `open_log`."""
    return open_log(
        settings.log_url,
        store,
        kafka=settings.kafka,
        # Who has a bundled store is alone on its folder: its next run is the same member.
        static=settings.member is not None or settings.bundled_store,
        session=timedelta(seconds=settings.kafka_session_seconds),
    )
