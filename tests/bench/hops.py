"""Two bare hops through Kafka, the limit of an event's journey: produce, consume, produce again, consume.

`python -m tests.bench.hops BOOTSTRAP FROM TO` is the process in the middle, which passes on what it reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.runtime.log import kafka
from services.runtime.log.open import ManagedLog
from tests.bench.place import BrokenError

TOPICS = ("bench.hop.1", "bench.hop.2")
PARTITIONS = 12
BYTES = 3_000
"""About as many as an event of a customer has, beside its headers."""
_READY = b"ready\n"
_SECONDS = 60.0
_FETCH_MS = 5_000
_NUMBER = 8


async def due(rate: float, seconds: float) -> AsyncIterator[float]:
    """Yield the moments (the loop's time) at which something is due, each when it has come: an open loop."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(round(rate * seconds)):
        moment = begun + number / rate
        if (ahead := moment - loop.time()) > 0:
            await asyncio.sleep(ahead)
        yield moment


class Hops:
    """Both ends of the two hops, for as many runs as there are to be."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer = producer
        self._consumer = consumer
        self._sent = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, bootstrap: str, log: ManagedLog) -> AsyncIterator[Hops]:
        """Make the topics and start the process in the middle."""
        await log.create_topics(dict.fromkeys(TOPICS, PARTITIONS))
        middle = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.hops", bootstrap, *TOPICS), stdout=asyncio.subprocess.PIPE
        )
        assert middle.stdout is not None
        try:
            async with _producer(bootstrap) as producer, _consumer(bootstrap, TOPICS[1]) as consumer:
                async with asyncio.timeout(_SECONDS):
                    if await middle.stdout.readline() != _READY:
                        raise BrokenError("the process between the two hops doesn't start")
                yield cls(producer, consumer)
        finally:
            with contextlib.suppress(ProcessLookupError):
                middle.kill()
            await middle.wait()

    async def run(self, rate: float, seconds: float) -> list[float]:
        """Send at the rate; return each message's seconds from when it was due to its arrival, sorted."""
        first, moments = self._sent, list[float]()
        arrived: dict[int, float] = {}
        taking = asyncio.create_task(self._take(first, round(rate * seconds), arrived))
        try:
            async for moment in due(rate, seconds):
                moments.append(moment)
                key = self._sent.to_bytes(_NUMBER)
                await self._producer.send(TOPICS[0], key.ljust(BYTES, b"x"), key=key, partition=self._sent % PARTITIONS)
                self._sent += 1
            async with asyncio.timeout(_SECONDS):
                await taking
        finally:
            taking.cancel()
        return sorted(arrived[first + number] - moment for number, moment in enumerate(moments))

    async def _take(self, first: int, count: int, arrived: dict[int, float]) -> None:
        loop = asyncio.get_running_loop()
        while len(arrived) < count:
            for messages in (await self._consumer.getmany(timeout_ms=_FETCH_MS)).values():
                for message in messages:
                    number = int.from_bytes(message.value[:_NUMBER])
                    if number >= first:
                        arrived.setdefault(number, loop.time())


@contextlib.asynccontextmanager
async def _producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """As the log's own."""
    made = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0, compression_type="lz4"
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@contextlib.asynccontextmanager
async def _consumer(bootstrap: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads as the log's own does, with no group to look after."""
    made = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=kafka._FETCH_WAIT_MS
    )
    await made.start()
    try:
        made._fetcher._prefetch_backoff = 0.0
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        made.assign(places)
        await made.seek_to_end(*places)
        yield made
    finally:
        await made.stop()


async def _between(bootstrap: str, topics: Sequence[str]) -> None:
    """Pass on what comes, each batch once the one before is acknowledged."""
    async with _producer(bootstrap) as producer, _consumer(bootstrap, topics[0]) as consumer:
        sys.stdout.buffer.write(_READY)
        sys.stdout.flush()
        while True:
            found = await consumer.getmany(timeout_ms=_FETCH_MS)
            sent = [
                await producer.send(topics[1], message.value, key=message.key, partition=place.partition)
                for place, messages in found.items()
                for message in messages
            ]
            await asyncio.gather(*sent)


if __name__ == "__main__":
    asyncio.run(_between(sys.argv[1], sys.argv[2:]))
