"""Errors of the log beside the port's own two, and which errors pass by themselves."""

import asyncpg

from services.runtime.log import LogUnavailableError
from services.runtime.store import CommitUnknown, is_transient

_CLOSED = ("connection is closed", "connection has been closed", "connection was closed")


class UnknownTopicError(LookupError):
    """The topic was never created."""


class PartitionCountError(ValueError):
    """A topic exists with another number of partitions than the settings say."""


class TopicSettingsError(ValueError):
    """A topic exists with other settings than this installation needs. The text names both."""


class MessageTooLargeError(ValueError):
    """A message is larger than the log takes; sending it again doesn't help."""


class LogRefusedError(Exception):
    """The log doesn't let us in, or doesn't let us do what we have to. The text says what to change."""


class OffsetOutOfRangeError(Exception):
    """The records to be read next aren't in the log. Nothing is skipped: a person decides how to go on."""


class UnreadPartitionsError(Exception):
    """A group reads some partitions of its topics nowhere, though they were dealt anew."""


def is_passing(error: BaseException) -> bool:
    """Whether the same may succeed later: the database or the log is away, or a commit went unanswered.

    A connection that dies at the wrong moment makes asyncpg raise an `InternalClientError` when it is given back
    to its pool (https://github.com/MagicStack/asyncpg/issues/784), whatever its statement has come to.
    A Kafka cluster that is away, moves its leaders or deals partitions anew passes; that it refuses us doesn't.
    """
    match error:
        case asyncpg.InterfaceError():
            return any(text in str(error) for text in _CLOSED)
        case CommitUnknown() | LogUnavailableError() | asyncpg.InternalClientError():
            return True
        case _ if type(error).__module__ == "aiokafka.errors":
            # Only who has a Kafka client knows such an error; the others are spared its import.
            from services.runtime.log.kafka_errors import passes  # noqa: PLC0415

            return passes(error)
        case _:
            return is_transient(error)
