"""Reading a Kafka partition without being a member of any group: a span of it, from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.runtime.log import LogUnavailableError, Partition, Record
from services.runtime.log.kafka_errors import ours
from services.runtime.log.kafka_record import record

_CHUNK = 1_000
_WAIT_MS = 1_000


async def read(
    make: Callable[[], AIOKafkaConsumer], where: str, place: Partition, start: int, end: int, *, patience: float
) -> AsyncIterator[Sequence[Record]]:
    """Yield the records of [start, end), in order, some at a time; both within the partition's bounds.

    Raises `LogUnavailableError` when nothing comes for `patience` seconds.
    """
    if start >= end:
        return
    consumer, at = make(), TopicPartition(*place)
    loop = asyncio.get_running_loop()
    try:
        with ours(where):
            await consumer.start()
            consumer.assign([at])
            consumer.seek(at, start)
        heard = loop.time()
        while start < end:
            with ours(where):
                found = (await consumer.getmany(at, timeout_ms=_WAIT_MS, max_records=_CHUNK)).get(at, [])
            if found:
                yield [record(place, message) for message in found if message.offset < end]
                start, heard = found[-1].offset + 1, loop.time()
            elif loop.time() - heard > patience:
                raise LogUnavailableError(
                    f"Kafka at {where} has sent nothing of {place.topic}, partition {place.number}, for {patience:g} s."
                )
    finally:
        await consumer.stop()
