"""No partition of a group of Kafka is left to nobody, whatever happened to its topic while members were away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from services.runtime.log import Partition
from services.runtime.log.errors import OffsetOutOfRangeError, UnknownTopicError, UnreadPartitionsError, is_passing
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.kafka_group import Group
from services.runtime.log.progress import ForeignLogError
from tests.integration.log_kafka_rig import (  # noqa: F401 - fixtures
    KafkaLogs,
    fresh_name,
    make_anew,
    started_admin,
)
from tests.kafka import Kafka
from tests.log_suite import SECONDS, Reader, message, publish_until_confirmed, read, until


class Forgetful(RangePartitionAssignor):  # type: ignore[misc]  # aiokafka has no types
    """Deals as the usual one does, except for what nobody gets."""

    @classmethod
    def assign(cls, cluster: Any, members: Any) -> Any:
        dealt = super().assign(cluster, members)
        for member in dealt.values():
            member.assignment[:] = [(topic, [n for n in numbers if n > 0]) for topic, numbers in member.assignment]
        return dealt


@pytest.fixture
def named(kafka: Kafka) -> KafkaLogs:
    return KafkaLogs(kafka.bootstrap, static=True)


def places(topic: str, count: int) -> frozenset[Partition]:
    return frozenset(Partition(topic, number) for number in range(count))


async def test_p12_a_member_that_ends_because_a_topic_went_is_dealt_anew_when_it_starts_again(
    named: KafkaLogs, admin: AIOKafkaAdminClient, name: str
) -> None:
    kept, lost = f"{name}.kept", f"{name}.lost"
    before, after = Reader(), Reader()
    async with named.open() as log:
        await log.create_topics({kept: 2, lost: 2})
        everything = places(kept, 2) | places(lost, 2)

        async def read_until_it_ends() -> None:
            async with log.consumer(name, [kept, lost], "a", before) as consumer:
                await until(lambda: before.owned == everything)
                await admin.delete_topics([lost])
                await read(consumer, 1)

        with pytest.raises(UnknownTopicError, match=lost):
            await read_until_it_ends()
        await make_anew(admin, log, lost, 2)
        async with log.consumer(name, [kept, lost], "a", after) as consumer:
            await until(lambda: after.owned == everything)
            assert after.revocations == []
            await log.publish_everywhere(lost, message("k"))
            assert {record.partition for record in await read(consumer, 2)} == places(lost, 2)


@pytest.mark.parametrize("error", [ForeignLogError("another log"), OffsetOutOfRangeError("gone")], ids=repr)
async def test_p12_a_name_is_given_up_with_an_error_about_the_topics(
    named: KafkaLogs, name: str, error: Exception
) -> None:
    async with named.open() as log:
        await log.create_topics({name: 2})
        with pytest.raises(type(error)):
            await join_and_end(log, name, error)
        assert await Group(log._cluster, name).owner("a") is None


async def test_a_name_is_kept_through_any_other_end(named: KafkaLogs, name: str) -> None:
    async with named.open() as log:
        await log.create_topics({name: 2})
        with pytest.raises(LookupError):
            await join_and_end(log, name, LookupError())
        assert await Group(log._cluster, name).owner("a") is not None


async def test_p12_a_topic_made_anew_while_its_reader_was_away_is_dealt_within_moments(
    named: KafkaLogs, admin: AIOKafkaAdminClient, name: str
) -> None:
    kept, lost = f"{name}.kept", f"{name}.lost"
    before, after, other = Reader(), Reader(), Reader()
    async with named.open() as log:
        await log.create_topics({kept: 2, lost: 2})
        async with (
            log.consumer(name, [kept, lost], "b", other) as one,
            log.consumer(name, [kept, lost], "a", before) as two,
        ):
            await until(lambda: before.owned | other.owned == places(kept, 2) | places(lost, 2))
            await admin.delete_topics([lost])
            async with asyncio.timeout(SECONDS):
                while before.owned | other.owned != places(kept, 2):
                    await asyncio.gather(*(each.fetch(max_records=1, timeout=0.1) for each in (one, two)))
        await make_anew(admin, log, lost, 2)
        # Both are back within their sessions, under their names.
        async with log.consumer(name, [kept, lost], "b", other), log.consumer(name, [kept, lost], "a", after):
            await until(lambda: after.owned | other.owned == places(kept, 2) | places(lost, 2))


async def test_partitions_added_while_their_reader_was_away_are_dealt_within_moments(
    named: KafkaLogs, admin: AIOKafkaAdminClient, name: str
) -> None:
    before, after = Reader(), Reader()
    async with named.open() as log:
        await log.create_topics({name: 2})
        async with log.consumer(name, [name], "a", before):
            await until(lambda: before.owned == places(name, 2))
        await admin.create_partitions({name: NewPartitions(4)})
        async with log.consumer(name, [name], "a", after) as consumer:
            await until(lambda: after.owned == places(name, 4))
            assert after.revocations == [places(name, 2)]
            await publish_until_confirmed(log, name, [message(f"k{n}") for n in range(20)])
            assert len(await read(consumer, 20)) == 20


async def test_partitions_that_stay_unread_end_the_reading_with_a_sentence(
    kafka: Kafka, named: KafkaLogs, name: str
) -> None:
    reader = Reader()
    async with named.open() as log:
        await log.create_topics({name: 3})
        # Who was there first deals, for as long as it stays.
        dealer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap, group_id=name, partition_assignment_strategy=(Forgetful,)
        )
        dealer.subscribe([name])
        await dealer.start()
        try:
            await until(lambda: len(dealer.assignment()) == 2)
            with pytest.raises(UnreadPartitionsError, match=f"reads {name}, partition 0, though") as ended:
                async with log.consumer(name, [name], "a", reader) as consumer:
                    await read(consumer, 1)
        finally:
            await dealer.stop()
        assert not is_passing(ended.value)
        assert len(reader.revocations) == 2


async def join_and_end(log: KafkaLog, name: str, error: Exception) -> None:
    reader = Reader()
    async with log.consumer(name, [name], "a", reader):
        await until(lambda: reader.owned == places(name, 2))
        raise error
