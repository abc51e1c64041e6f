"""A Kafka cluster that is away, or comes and goes."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import structlog.testing

from services.runtime.log import LogUnavailableError, Partition
from services.runtime.log.consume import Batch, consume
from services.runtime.log.errors import UnknownTopicError, is_passing
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.kafka_access import KafkaAccess
from services.runtime.log.open import open_log
from services.runtime.log.progress import TABLE, Progress
from services.runtime.store import Store
from tests.integration.log_kafka_rig import (  # noqa: F401 - fixtures
    SESSION,
    Line,
    fresh_name,
    laid_line,
    opened_log,
)
from tests.kafka import Kafka
from tests.log_suite import SECONDS, Reader, message, publish_until_confirmed, read, read_all, until


async def test_opening_without_a_broker_names_the_address_and_no_secret(store: Store) -> None:
    access = KafkaAccess(security="sasl_plaintext", username="canary", password="canary")
    with pytest.raises(LogUnavailableError, match=r"No Kafka broker answers at 127\.0\.0\.1:9 ") as away:
        async with open_log("kafka://127.0.0.1:9", store, kafka=access, patience=0.3):
            pass
    assert "canary" not in str(away.value)
    assert is_passing(away.value)


async def test_the_address_kafka_opens_the_log_of_a_cluster(kafka: Kafka, store: Store, name: str) -> None:
    async with open_log(f"kafka://{kafka.bootstrap}", store, static=True) as log:
        await log.create_topics({name: 1})
        assert await log.ready()


async def test_opening_waits_for_a_broker_that_is_late(line: Line, name: str) -> None:
    line.cut()
    opening = KafkaLog.open(line.hosts, patience=SECONDS)
    task = asyncio.create_task(opening.__aenter__())
    await asyncio.wait({task}, timeout=0.5)
    assert not task.done()
    line.mend()
    log = await task
    await log.create_topics({name: 1})
    await opening.__aexit__(None, None, None)


@pytest.mark.parametrize("how", ["cut", "refuse"])
async def test_consuming_begins_once_a_broker_that_is_late_is_there(
    line: Line, log: KafkaLog, store: Store, name: str, how: str
) -> None:
    await store.execute("CREATE SCHEMA scratch;" + TABLE.replace("{schema}", "scratch"))
    progress, handled = Progress("scratch"), list[bytes]()

    async def handle(batch: Batch) -> None:
        async with store.transaction() as connection:
            await batch.advance(connection)
        handled.extend(record.value for record in batch.records)

    async def work(far: KafkaLog) -> None:
        await consume(far, store, progress, group=name, topics=[name], member="a", handle=handle)

    await log.create_topics({name: 1})
    await log.publish(name, [message("k", b"waits")])
    async with KafkaLog.open(line.hosts, session=SESSION, timeout=2) as far:
        # Either already the question about the topics fails, or only the member's own connection.
        getattr(line, how)()
        task = asyncio.create_task(work(far))
        try:
            await until(lambda: line.refused > 3 or task.done())
            assert not task.done()
            line.mend()
            await until(lambda: handled == [b"waits"] or task.done())
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_the_line_about_a_batch_that_is_tried_again_names_its_topic_and_partition(
    log: KafkaLog, store: Store, name: str
) -> None:
    await store.execute("CREATE SCHEMA scratch;" + TABLE.replace("{schema}", "scratch"))
    progress, tries, done = Progress("scratch"), itertools.count(), asyncio.Event()

    async def handle(batch: Batch) -> None:
        if next(tries) == 0:
            raise ConnectionResetError
        async with store.transaction() as connection:
            await batch.advance(connection)
        done.set()

    await log.create_topics({name: 1})
    await log.publish(name, [message("k")])
    with structlog.testing.capture_logs() as lines:
        task = asyncio.create_task(consume(log, store, progress, group=name, topics=[name], member="a", handle=handle))
        await asyncio.wait_for(done.wait(), SECONDS)
        task.cancel()
        await asyncio.wait({task})
    [line] = [line for line in lines if line["event"] == "batch_retried"]
    assert (line["topic"], line["partition"]) == (name, 0)


async def test_consuming_doesnt_wait_for_a_topic_that_isnt_there(log: KafkaLog, store: Store, name: str) -> None:
    async def handle(batch: Batch) -> None:
        raise NotImplementedError

    with pytest.raises(UnknownTopicError, match="contactsync migrate"):
        await consume(log, store, Progress("scratch"), group=name, topics=[name], member="a", handle=handle)


@pytest.mark.parametrize("how", ["cut", "hush"])
async def test_publishing_through_an_outage_is_refused_in_time_and_works_afterwards(
    line: Line, log: KafkaLog, name: str, how: str
) -> None:
    await log.create_topics({name: 2})
    async with KafkaLog.open(line.hosts, timeout=1) as far:
        await far.check_topics({name: 2})
        await far.publish(name, [message("k", b"before")])
        getattr(line, how)()
        assert not await far.ready()
        for _ in range(3):
            with pytest.raises(LogUnavailableError):
                await asyncio.wait_for(far.publish(name, [message("k", b"during")]), SECONDS)
        with pytest.raises(LogUnavailableError):
            await far.bounds(name)
        line.mend()
        await publish_until_confirmed(far, name, [message("k", b"after")])
        async with asyncio.timeout(SECONDS):
            while not await far.ready():  # noqa: ASYNC110 - the client finds its way back by itself
                await asyncio.sleep(0.05)
    ends = sum(end for _, end in (await log.bounds(name)).values())
    values = [record.value for record in await read_all(log, name, ends)]
    # What was refused may be there, and never out of its place.
    assert (values[0], values[-1]) == (b"before", b"after")
    assert set(values[1:-1]) <= {b"during"}


async def test_nothing_is_lost_or_put_out_of_order_while_the_line_breaks_again_and_again(
    line: Line, log: KafkaLog, name: str
) -> None:
    await log.create_topics({name: 2})

    async def disturb() -> None:
        while True:
            line.cut()
            line.mend()
            await asyncio.sleep(0.03)

    async def publish(far: KafkaLog, key: str) -> None:
        for n in range(60):
            await publish_until_confirmed(far, name, [message(key, b"%d" % n)])

    async with KafkaLog.open(line.hosts, timeout=2) as far:
        disturbing = asyncio.create_task(disturb())
        async with asyncio.TaskGroup() as tasks:
            for n in range(6):
                tasks.create_task(publish(far, f"key-{n}"))
        disturbing.cancel()
        await asyncio.wait({disturbing})
    ends = sum(end for _, end in (await log.bounds(name)).values())
    seen: dict[bytes, list[int]] = {}
    for record in await read_all(log, name, ends):
        seen.setdefault(record.key, []).append(int(record.value))
    for values in seen.values():
        assert sorted(set(values)) == list(range(60))
        # Repeated at most: the first time that each is seen, all before it were.
        firsts = [values.index(n) for n in range(60)]
        assert firsts == sorted(firsts)


async def test_a_consumer_reads_on_after_its_line_was_cut(line: Line, log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 2})
    starts: dict[Partition, int] = {}
    async with (
        KafkaLog.open(line.hosts, session=SESSION) as far,
        far.consumer(name, [name], "a", Reader(starts)) as consumer,
    ):
        for n in range(3):
            await log.publish(name, [message("k", b"%d" % n)])
            [record] = await read(consumer, 1)
            starts[record.partition] = record.offset + 1
            assert record.value == b"%d" % n
            line.cut()
            assert await consumer.fetch(max_records=1, timeout=0.1) == {}
            line.mend()
        line.cut()
        await consumer.commit(starts)
