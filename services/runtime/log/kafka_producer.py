"""The one producer of a process: bounded, and replaced after an error that would cost it its order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka

from services.runtime.log import LogUnavailableError, Message
from services.runtime.log.errors import MessageTooLargeError
from services.runtime.log.kafka_errors import REFUSED, refusal
from services.runtime.log.kafka_topics import MAX_MESSAGE_BYTES

LARGEST = MAX_MESSAGE_BYTES - (64 << 10)
"""Bytes of key, headers and value: the rest is for what a batch adds to them."""
_PER_RECORD = 64
_TOO_LARGE = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)
_SMALL = 900_000
"""No broker's default refuses it: such a message was beside a large one in a batch."""
_STRIKES = 3
"""Publications in a row that were given up before a new producer is tried."""
_CLOSE_SECONDS = 2.0


class Sending(NamedTuple):
    """One message for one partition."""

    topic: str
    number: int
    message: Message

    @property
    def size(self) -> int:
        """Bytes of key, headers and value."""
        message = self.message
        return len(message.key) + len(message.value) + sum(len(n) + len(v) + 8 for n, v in message.headers)


class Producer:
    """Publishes through an idempotent producer, and knows when that one is no good any more.

    aiokafka gives a batch its sequence numbers when it first sends it, and doesn't take them back when the batch is
    refused: every later batch of the partition is then out of order for good, so a new producer has to begin anew.
    """

    def __init__(
        self,
        make: Callable[[], AIOKafkaProducer],
        where: str,
        *,
        max_messages: int,
        max_bytes: int,
        timeout: float,
    ) -> None:
        self._make = make
        self._where = where
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._messages = self._bytes = self._strikes = 0
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._closing = False

    @property
    def full(self) -> bool:
        """Whether nothing more is taken at the moment."""
        return self._messages >= self._max_messages or self._bytes >= self._max_bytes

    async def put(self, sendings: Sequence[Sending]) -> None:
        """Return when all are acknowledged, in the order given within each partition.

        Raises `LogUnavailableError` after the time-out or when too much waits already, `MessageTooLargeError` before
        anything is sent, `LogRefusedError`.
        """
        sizes = [sending.size for sending in sendings]
        for sending, size in zip(sendings, sizes, strict=True):
            if size > LARGEST:
                raise MessageTooLargeError(
                    f"A message for {sending.topic} has {size} bytes; {LARGEST} is the most that one may have."
                )
        if self._closing:
            raise LogUnavailableError("The log is closing; nothing was published.")
        if self._messages and (
            self._messages + len(sendings) > self._max_messages or self._bytes + sum(sizes) > self._max_bytes
        ):
            raise LogUnavailableError(
                f"{self._messages} messages ({self._bytes >> 20} MiB) wait for Kafka at {self._where} to take them; "
                "nothing was published."
            )
        self._messages += len(sendings)
        self._bytes += sum(sizes)
        try:
            await self._put(sendings, max(sizes))
        finally:
            self._messages -= len(sendings)
            self._bytes -= sum(sizes)

    async def close(self) -> None:
        """Let what waits be acknowledged, for as long as a publication may take."""
        self._closing = True
        async with self._starting:
            producer, self._producer = self._producer, None
        if producer is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await producer.flush()
        await _end(producer)

    async def _put(self, sendings: Sequence[Sending], largest: int) -> None:
        producer = None
        try:
            async with asyncio.timeout(self._timeout):
                if self._strikes >= _STRIKES:
                    await self._replace(self._producer, None)
                producer = await self._started()
                futures = []
                try:
                    for topic, number, message in sendings:
                        futures.append(
                            await producer.send(
                                topic,
                                message.value,
                                key=message.key,
                                partition=number,
                                headers=list(message.headers),
                            )
                        )
                finally:
                    # Also when it ends early, no outcome goes unheard.
                    gathered = asyncio.gather(*futures)
                    gathered.add_done_callback(_heard)
                await gathered
        except TimeoutError as error:
            self._strikes += 1
            raise LogUnavailableError(
                f"Kafka at {self._where} didn't confirm a publication within {self._timeout:g} s."
            ) from error
        except asyncio.CancelledError:
            # A caller may be less patient than we are.
            self._strikes += 1
            raise
        except AssertionError as error:
            # aiokafka's word for a partition that the topic doesn't have (any more). It would look in minutes only.
            await self._replace(producer, error)
            raise LogUnavailableError(f"The topic {sendings[0].topic} has changed; publish again.") from error
        except (kafka.KafkaError, OSError) as error:
            await self._replace(producer, error)
            self._raise(error, largest)
        else:
            self._strikes = 0

    def _raise(self, error: BaseException, largest: int) -> NoReturn:
        if isinstance(error, _TOO_LARGE) and largest > _SMALL:
            raise MessageTooLargeError(
                f"Kafka at {self._where} refused a message of {largest} bytes: the topic's max.message.bytes or the "
                "broker's limits are smaller than `contactsync migrate` makes them."
            ) from error
        if isinstance(error, REFUSED):
            raise refusal(self._where, error) from error
        raise LogUnavailableError(f"Kafka at {self._where} failed: {type(error).__name__}.") from error

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._closing:
                raise LogUnavailableError("The log is closing; nothing was published.")
            if self._producer is None:
                producer = self._make()
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _replace(self, producer: AIOKafkaProducer | None, error: BaseException | None) -> None:
        if producer is None or producer is not self._producer:
            return
        self._producer, self._strikes = None, 0
        structlog.get_logger().warning("log_producer_replaced", error=type(error).__name__ if error else "TimeoutError")
        await _end(producer)


def _heard(future: asyncio.Future[list[object]]) -> None:
    if not future.cancelled():
        future.exception()


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop it now: what it hasn't had acknowledged fails, for its publishers to publish again."""
    producer._message_accumulator.fail_all(kafka.ProducerClosed())  # noqa: SLF001 - stop() alone would wait for it
    with contextlib.suppress(Exception):  # aiokafka may trip over its own failed batches
        async with asyncio.timeout(_CLOSE_SECONDS):
            await producer.stop()
            return
    await producer.client.close()
