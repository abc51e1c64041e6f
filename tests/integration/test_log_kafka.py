"""The log on Kafka: the suite, and what it takes and gives back."""

from __future__ import annotations

import asyncio
import logging
import secrets

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from services.runtime.log import LogUnavailableError, Message
from services.runtime.log.errors import (
    LogRefusedError,
    MessageTooLargeError,
    is_passing,
)
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.kafka_errors import FencedInstanceIdError
from services.runtime.log.kafka_logging import calm
from services.runtime.log.kafka_producer import LARGEST
from tests.integration.log_kafka_rig import (  # noqa: F401 - fixtures
    KafkaLogs,
    Line,
    fresh_name,
    laid_line,
    opened_log,
    started_admin,
)
from tests.kafka import Kafka
from tests.log_suite import LogSuite, message, publish_until_confirmed, read_all, until


class TestKafkaLog(LogSuite):
    @pytest.fixture
    def logs(self, kafka: Kafka) -> KafkaLogs:
        return KafkaLogs(kafka.bootstrap)

    @pytest.fixture
    def named(self, kafka: Kafka) -> KafkaLogs:
        return KafkaLogs(kafka.bootstrap, static=True)


async def test_a_broken_sequence_replaces_the_producer(log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 1})
    await log.publish(name, [message("k", b"0")])
    # As after a batch that was refused: the broker has never seen the numbers in between.
    producer = log._producer._producer
    assert producer is not None
    producer._txn_manager.increment_sequence_number(TopicPartition(name, 0), 5)
    with pytest.raises(LogUnavailableError, match="OutOfOrderSequenceNumber"):
        await log.publish(name, [message("k", b"1")])
    await log.publish(name, [message("k", b"1")])
    assert log._producer._producer is not producer
    assert [record.value for record in await read_all(log, name, 2)] == [b"0", b"1"]


async def test_the_largest_message_arrives_and_a_larger_one_is_told_apart_from_an_outage(
    log: KafkaLog, name: str
) -> None:
    await log.create_topics({name: 1})
    largest = secrets.token_bytes(LARGEST - 1)
    await log.publish(name, [Message(key=b"k", headers=(), value=largest)])
    with pytest.raises(MessageTooLargeError, match=f"A message for {name} has {LARGEST + 2} bytes") as refused:
        await log.publish(name, [message("a"), Message(key=b"k", headers=(), value=largest + b"xx")])
    assert not is_passing(refused.value)
    await log.publish(name, [message("k", b"small")])
    assert [len(record.value) for record in await read_all(log, name, 2)] == [len(largest), 5]


async def test_a_broker_that_takes_less_than_it_should_is_named(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str
) -> None:
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": "1000000"})])
    with pytest.raises(MessageTooLargeError, match=r"max\.message\.bytes"):
        await publish_until_confirmed(log, name, [Message(key=b"k", headers=(), value=secrets.token_bytes(1 << 20))])
    await publish_until_confirmed(log, name, [message("k", b"small")])
    assert [record.value for record in await read_all(log, name, 1)] == [b"small"]


async def test_a_thousand_publishers_of_one_partition_are_all_confirmed(log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 1})
    body = secrets.token_bytes(2_600)
    await asyncio.gather(*(log.publish(name, [Message(key=b"hot", headers=(), value=body)]) for _ in range(3_000)))
    assert list((await log.bounds(name)).values()) == [(0, 3_000)]


async def test_more_than_may_wait_is_refused_and_the_rest_arrives(line: Line, log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 1})
    async with KafkaLog.open(line.hosts, max_messages=20, max_bytes=10_000) as far:
        await far.publish(name, [message("k", b"first")])
        line.cut()
        waiting = [asyncio.create_task(far.publish(name, [message("k", b"%d" % n)])) for n in range(30)]
        await until(lambda: sum(task.done() for task in waiting) == 10)
        assert not await far.ready()
        line.mend()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes.count(None) == 20
        assert {type(outcome) for outcome in outcomes} == {type(None), LogUnavailableError}
        with pytest.raises(LogUnavailableError, match="wait for Kafka"):
            await asyncio.gather(*(far.publish(name, [message("k", b"x" * 6000)]) for _ in range(2)))


async def test_what_others_wrote_comes_out_as_a_record(kafka: Kafka, log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 1})
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as foreign:
        await foreign.send_and_wait(name, b"no key", headers=[("x", None), ("y", b"\xff")])
        await foreign.send_and_wait(name, None, key=b"a tombstone")
    plain, tombstone = await read_all(log, name, 2)
    assert (plain.key, plain.value, plain.headers) == (b"", b"no key", (("x", b""), ("y", b"\xff")))
    assert (tombstone.key, tombstone.value, tombstone.headers) == (b"a tombstone", b"", ())


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (kafka_errors.KafkaConnectionError(), True),
        (kafka_errors.RequestTimedOutError(), True),
        (kafka_errors.NotLeaderForPartitionError(), True),
        (kafka_errors.NotCoordinatorForGroupError(), True),
        (kafka_errors.RebalanceInProgressError(), True),
        (kafka_errors.NotEnoughReplicasError(), True),
        (LogUnavailableError(), True),
        (kafka_errors.UnknownTopicOrPartitionError(), False),
        (kafka_errors.SaslAuthenticationFailed(), False),
        (kafka_errors.TopicAuthorizationFailedError(), False),
        (kafka_errors.OffsetOutOfRangeError(), False),
        (kafka_errors.UnknownError(), False),
        (FencedInstanceIdError(), False),
        (LogRefusedError(), False),
        (MessageTooLargeError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_outage_passes_and_a_refusal_does_not(error: Exception, passing: bool) -> None:
    assert is_passing(error) is passing


def test_the_code_of_a_displaced_name_is_known() -> None:
    assert kafka_errors.for_code(82) is FencedInstanceIdError


def test_the_clients_own_lines_are_few_and_hold_no_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    calm()
    logger = logging.getLogger("aiokafka.producer.producer")
    for n in range(3):
        logger.debug("Sending (key=%s value=%s) to %s", b"key", b"value", n)
        logger.error("a test's own line %s", n)
    assert [record.getMessage() for record in caplog.records] == ["a test's own line 0"]
