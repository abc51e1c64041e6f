"""Members of a consumer group of Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import TopicPartition

from services.runtime.log import FencedError, Partition
from services.runtime.log.consume import Batch, consume
from services.runtime.log.errors import OffsetOutOfRangeError
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.progress import TABLE, ForeignLogError, Progress
from services.runtime.store import Store
from tests.integration.log_kafka_rig import (  # noqa: F401 - fixtures
    SESSION,
    KafkaLogs,
    fresh_name,
    opened_log,
    started_admin,
)
from tests.kafka import Kafka
from tests.log_suite import SECONDS, Reader, message, read, read_all, until


async def test_a_drain_longer_than_the_session_keeps_the_partitions_until_it_ends(log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 4})
    first, second = Reader(), Reader()
    started, finished = asyncio.Event(), asyncio.get_running_loop().create_future()

    def drain() -> asyncio.Future[None]:
        started.set()
        return finished

    first.before_revoked = drain
    async with log.consumer(name, [name], "a", first) as one:
        await until(lambda: len(first.owned) == 4)
        async with log.consumer(name, [name], "b", second) as two:
            await asyncio.wait_for(started.wait(), SECONDS)
            loop = asyncio.get_running_loop()
            end = loop.time() + SESSION.total_seconds() + 1
            while loop.time() < end:
                assert await two.fetch(max_records=1, timeout=0.5) == {}
                assert await one.fetch(max_records=1, timeout=0.5) == {}
                assert not second.owned
            first.before_revoked = None
            finished.set_result(None)
            await until(lambda: len(first.owned) == len(second.owned) == 2)
            await log.publish_everywhere(name, message("k"))
            async with asyncio.TaskGroup() as tasks:
                halves = [tasks.create_task(read(member, 2)) for member in (one, two)]
    numbers = [record.partition.number for half in halves for record in half.result()]
    assert sorted(numbers) == [0, 1, 2, 3]


async def test_a_member_with_a_lasting_name_finds_its_partitions_again(kafka: Kafka, name: str) -> None:
    first, other = Reader(), Reader()
    async with KafkaLogs(kafka.bootstrap, static=True).open() as log:
        await log.create_topics({name: 4})
        async with log.consumer(name, [name], "b", other):
            async with log.consumer(name, [name], "a", first):
                await until(lambda: len(first.owned) == len(other.owned) == 2)
                mine, rounds = first.owned, len(other.revocations)
            async with log.consumer(name, [name], "a", first):
                await until(lambda: first.owned == mine)
                assert len(other.revocations) == rounds


async def test_a_member_that_was_silent_too_long_joins_again_and_is_not_displaced(kafka: Kafka, name: str) -> None:
    reader = Reader()
    async with KafkaLogs(kafka.bootstrap, static=True).open() as log:
        await log.create_topics({name: 2})
        async with log.consumer(name, [name], "a", reader) as consumer:
            await until(lambda: len(reader.owned) == 2)
            # The broker answers a heartbeat after the end of the session in this way.
            inner = consumer._inner  # type: ignore[attr-defined]
            await inner._coordinator._send_req(LeaveGroupRequest(name, inner._coordinator.member_id))
            await until(lambda: bool(reader.revocations) and len(reader.owned) == 2)
            await log.publish_everywhere(name, message("k"))
            assert len(await read(consumer, 2)) == 2


async def test_of_two_processes_with_one_name_one_ends_and_the_other_keeps_reading(kafka: Kafka, name: str) -> None:
    logs = KafkaLogs(kafka.bootstrap, static=True)
    first, second = Reader(), Reader()
    async with logs.open() as here, logs.open() as there:
        await here.create_topics({name: 4})
        async with here.consumer(name, [name], "a", first) as old:
            await until(lambda: len(first.owned) == 4)
            async with there.consumer(name, [name], "a", second) as new:
                with pytest.raises(FencedError, match=f"joined the group {name} as 'a'"):
                    await read(old, 1)
                assert not first.owned
                await here.publish_everywhere(name, message("k"))
                assert len(await read(new, 4)) == 4
                assert len(second.owned) == 4


async def test_offsets_that_are_gone_or_not_there_yet_stop_the_reader(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str
) -> None:
    await log.create_topics({name: 1})
    place = Partition(name, 0)
    await log.publish(name, [message("k", b"%d" % n) for n in range(50)])
    await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=30)})
    assert (await log.bounds(name))[place] == (30, 50)
    assert [record.offset for record in await read_all(log, name, 20, {place: 30})] == list(range(30, 50))
    for start, text in ((29, "retention has left only 30"), (51, "the log ends at 50")):
        async with log.consumer(f"{name}-{start}", [name], "a", Reader({place: start})) as consumer:
            with pytest.raises(OffsetOutOfRangeError, match=text):
                await read(consumer, 1)


async def test_a_partition_that_an_earlier_owner_still_locks_holds_up_no_other(
    log: KafkaLog, store: Store, name: str
) -> None:
    await store.execute("CREATE SCHEMA scratch;" + TABLE.replace("{schema}", "scratch"))
    progress, handled = Progress("scratch"), set[int]()
    await log.create_topics({name: 3})
    log_id = await log.topic_id(name)

    async def handle(batch: Batch) -> None:
        async with store.transaction() as connection:
            await batch.advance(connection)
        handled.add(batch.partition.number)

    async with contextlib.AsyncExitStack() as stopped:
        # As a process that was stopped amid its work leaves it.
        connection = await stopped.enter_async_context(store.transaction())
        await progress.claim(connection, name, Partition(name, 1), log_id, 0)
        task = asyncio.create_task(consume(log, store, progress, group=name, topics=[name], member="a", handle=handle))
        try:
            await log.publish_everywhere(name, message("k"))
            await until(lambda: handled == {0, 2} or task.done())
            await stopped.aclose()
            await until(lambda: handled == {0, 1, 2} or task.done())
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_what_the_listener_raises_ends_the_reading(log: KafkaLog, name: str) -> None:
    class Refusing(Reader):
        async def assigned(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
            raise ForeignLogError("another log")

    await log.create_topics({name: 1})
    async with log.consumer(name, [name], "a", Refusing()) as consumer:
        with pytest.raises(ForeignLogError):
            await read(consumer, 1)


async def test_what_a_group_commits_is_kept_for_lag_figures(
    log: KafkaLog, admin: AIOKafkaAdminClient, name: str
) -> None:
    await log.create_topics({name: 2})
    reader = Reader()
    async with log.consumer(name, [name], "a", reader) as consumer:
        await until(lambda: len(reader.owned) == 2)
        assert await consumer.fetch(max_records=1, timeout=0.1) == {}
        for offset in (3, 5):
            await consumer.commit({Partition(name, 1): offset, Partition("nobody's", 0): 1})
    committed = await admin.list_consumer_group_offsets(name)
    assert committed[TopicPartition(name, 1)].offset == 5


async def test_calls_about_partitions_that_are_not_owned_do_no_harm(log: KafkaLog, name: str) -> None:
    await log.create_topics({name: 1})
    elsewhere = Partition(name, 7)
    async with log.consumer(name, [name], "a", Reader()) as consumer:
        consumer.seek(elsewhere, 3)
        consumer.pause(elsewhere)
        consumer.resume(elsewhere)
        await consumer.commit({elsewhere: 1})
        await log.publish(name, [message("k")])
        assert len(await read(consumer, 1)) == 1
