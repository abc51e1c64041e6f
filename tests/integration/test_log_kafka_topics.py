"""Topics in Kafka: made as they have to be, and known again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.runtime.log.consume import Batch, consume
from services.runtime.log.errors import (
    OffsetOutOfRangeError,
    TopicSettingsError,
    UnknownTopicError,
)
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.progress import TABLE, ForeignLogError, Progress
from services.runtime.store import Store
from tests.integration.log_kafka_rig import (  # noqa: F401 - fixtures
    fresh_name,
    make_anew,
    opened_log,
    started_admin,
)
from tests.log_suite import SECONDS, Reader, message, publish_until_confirmed, read, read_all


async def test_p12_a_topic_made_anew_has_another_id(log: KafkaLog, admin: AIOKafkaAdminClient, name: str) -> None:
    await log.create_topics({name: 2})
    await log.publish(name, [message("k")])
    before = await log.topic_id(name)
    assert before == await log.topic_id(name)
    await make_anew(admin, log, name, 3)
    assert await log.topic_id(name) != before
    await publish_until_confirmed(log, name, [message("k", b"new")])
    assert [record.value for record in await read_all(log, name, 1)] == [b"new"]
    assert await log.partitions(name) == 3


async def test_p12_a_topic_made_anew_stops_the_consumer_that_reads_it(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str
) -> None:
    await log.create_topics({name: 1})
    await log.publish(name, [message("k", b"%d" % n) for n in range(3)])
    async with log.consumer(name, [name], "a", Reader()) as consumer:
        assert len(await read(consumer, 3)) == 3
        await make_anew(admin, log, name, 1)
        await publish_until_confirmed(log, name, [message("k", b"%d" % n) for n in range(9)])
        with pytest.raises(OffsetOutOfRangeError, match=f"{name} isn't the one that was read so far"):
            await read(consumer, 100)


async def test_p12_a_topic_taken_away_stops_the_consumer_that_reads_it(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str
) -> None:
    await log.create_topics({name: 1})
    async with log.consumer(name, [name], "a", Reader()) as consumer:
        await admin.delete_topics([name])
        with pytest.raises(UnknownTopicError, match=name):
            await read(consumer, 1)


async def test_p12_progress_with_a_topic_that_was_made_anew_is_refused(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str, store: Store
) -> None:
    await store.execute("CREATE SCHEMA scratch;" + TABLE.replace("{schema}", "scratch"))
    progress, done = Progress("scratch"), asyncio.Event()

    async def handle(batch: Batch) -> None:
        async with store.transaction() as connection:
            await batch.advance(connection)
        done.set()

    async def work() -> None:
        await consume(log, store, progress, group=name, topics=[name], member="a", handle=handle)

    await log.create_topics({name: 1})
    await log.publish(name, [message("k")])
    first = asyncio.create_task(work())
    await asyncio.wait_for(done.wait(), SECONDS)
    first.cancel()
    await asyncio.wait({first})
    await make_anew(admin, log, name, 1)
    with pytest.raises(ForeignLogError, match="log adopt"):
        await asyncio.wait_for(work(), SECONDS)


async def test_topics_are_made_to_keep_events_long_enough(log: KafkaLog, admin: AIOKafkaAdminClient, name: str) -> None:
    await log.create_topics({name: 2})
    settings = await log._cluster.settings([name])
    assert settings[name]["cleanup.policy"] == "delete"
    assert settings[name]["retention.ms"] == str(35 * 24 * 3600 * 1000)
    assert settings[name]["max.message.bytes"] == str(4 << 20)
    assert await log.expire({name: timedelta(0)}) == 0


@pytest.mark.parametrize(
    ("configs", "sentence"),
    [
        ({"cleanup.policy": "compact"}, "cleanup.policy is compact, and has to be delete"),
        ({"retention.ms": "86400000"}, "retention.ms is 86400000, and has to be 3024000000 or more"),
        ({"max.message.bytes": "1048588"}, "max.message.bytes is 1048588, and has to be 4194304 or more"),
        ({"retention.bytes": "1000000"}, "retention.bytes is 1000000, and has to be -1"),
    ],
)
async def test_a_topic_that_would_lose_events_is_named_with_what_it_should_be(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str, configs: dict[str, str], sentence: str
) -> None:
    good = {"retention.ms": "-1", "max.message.bytes": "8388608"}
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs=good | configs)])
    for check in (log.create_topics, log.check_topics):
        with pytest.raises(TopicSettingsError, match=f"The topic {name} .*{sentence}"):
            await check({name: 2})


async def test_a_topic_that_keeps_more_than_it_has_to_is_fine(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str
) -> None:
    good = {"retention.ms": "-1", "max.message.bytes": "8388608"}
    await admin.create_topics([NewTopic(name, 2, 1, topic_configs=good)])
    await log.create_topics({name: 2})
    await log.check_topics({name: 2})
