"""What every adapter of the log has to do. An adapter's test class inherits `LogSuite` and gives the fixture `logs`."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.runtime.log import Consumer, FencedError, LogUnavailableError, Message, Partition, Record
from services.runtime.log.errors import PartitionCountError, UnknownTopicError
from services.runtime.log.open import ManagedLog

SECONDS = 120.0


class Logs(Protocol):
    """One log, as several processes see it."""

    def open(self) -> AbstractAsyncContextManager[ManagedLog]:
        """The log as one process has it."""
        ...


class Reader:
    """A listener that starts where it is told, else at the beginning, and remembers what it owns."""

    def __init__(self, starts: Mapping[Partition, int] | None = None) -> None:
        self.starts = starts or {}
        self.owned: frozenset[Partition] = frozenset()
        self.revocations: list[frozenset[Partition]] = []
        self.before_revoked: Callable[[], asyncio.Future[None]] | None = None

    async def assigned(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        self.owned |= partitions
        return {place: self.starts.get(place, 0) for place in partitions}

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        if self.before_revoked is not None:
            await self.before_revoked()
        self.owned -= partitions
        self.revocations.append(partitions)


def message(key: str, value: bytes = b"", **headers: str) -> Message:
    return Message(key=key.encode(), headers=tuple((n, v.encode()) for n, v in headers.items()), value=value)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - the other side is another task or process
            await asyncio.sleep(0.01)


async def read(consumer: Consumer, count: int, *, max_records: int = 500) -> list[Record]:
    """Fetch until `count` records came."""
    records: list[Record] = []
    async with asyncio.timeout(SECONDS):
        while len(records) < count:
            for found in (await consumer.fetch(max_records=max_records, timeout=1)).values():
                records.extend(found)
    return records


async def read_all(
    log: ManagedLog, topic: str, count: int, starts: Mapping[Partition, int] | None = None
) -> list[Record]:
    """What a fresh group reads."""
    async with log.consumer(f"group-{secrets.token_hex(4)}", [topic], "reader", Reader(starts)) as consumer:
        return await read(consumer, count)


async def publish_until_confirmed(log: ManagedLog, topic: str, messages: Sequence[Message]) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await log.publish(topic, messages)
            except LogUnavailableError:
                await asyncio.sleep(0.02)
            else:
                return


class LogSuite:
    """The suite."""

    @pytest.fixture
    async def log(self, logs: Logs) -> AsyncIterator[ManagedLog]:
        async with logs.open() as opened:
            yield opened

    @pytest.fixture
    def named(self, logs: Logs) -> Logs:
        """The log as processes with lasting names open it, where that makes a difference."""
        return logs

    @pytest.fixture
    def group(self) -> str:
        """A consumer group that no other test has."""
        return f"suite-{secrets.token_hex(6)}"

    @pytest.fixture
    async def topic(self, log: ManagedLog) -> str:
        """A topic of four partitions."""
        name = f"suite.{secrets.token_hex(6)}"
        await log.create_topics({name: 4})
        return name

    async def test_messages_of_one_key_keep_their_order_in_one_partition(self, log: ManagedLog, topic: str) -> None:
        keys = [f"key-{n}" for n in range(12)]
        for round_ in range(5):
            await log.publish(topic, [message(key, f"{round_}".encode()) for key in keys])
        records = await read_all(log, topic, 60)
        by_key: defaultdict[bytes, list[Record]] = defaultdict(list)
        for record in records:
            by_key[record.key].append(record)
        assert len({record.partition for record in records}) > 1
        for own in by_key.values():
            assert [record.value for record in own] == [b"0", b"1", b"2", b"3", b"4"]
            assert len({record.partition for record in own}) == 1

    async def test_what_was_confirmed_is_there_after_the_log_was_opened_again(self, logs: Logs) -> None:
        name = f"suite.{secrets.token_hex(6)}"
        async with logs.open() as first:
            await first.create_topics({name: 2})
            topic_id = await first.topic_id(name)
            await first.publish(name, [message(f"k{n}", b"v") for n in range(20)])
        async with logs.open() as second:
            assert await second.topic_id(name) == topic_id
            assert await second.partitions(name) == 2
            assert {record.key for record in await read_all(second, name, 20)} == {b"k%d" % n for n in range(20)}

    async def test_p7_a_message_for_everywhere_reaches_every_partition_once(self, log: ManagedLog, topic: str) -> None:
        await log.publish_everywhere(topic, message("scan", b"finished"))
        records = await read_all(log, topic, 4)
        assert sorted(record.partition.number for record in records) == [0, 1, 2, 3]
        assert {(record.key, record.value, record.offset) for record in records} == {(b"scan", b"finished", 0)}

    async def test_offsets_start_at_zero_and_have_no_gaps(self, log: ManagedLog, topic: str) -> None:
        assert set((await log.bounds(topic)).values()) == {(0, 0)}
        for n in range(10):
            await log.publish(topic, [message(f"{n}-{m}") for m in range(10)])
        bounds = await log.bounds(topic)
        offsets: defaultdict[Partition, list[int]] = defaultdict(list)
        for record in await read_all(log, topic, 100):
            offsets[record.partition].append(record.offset)
        assert sum(end for _, end in bounds.values()) == 100
        for place, (first, end) in bounds.items():
            assert offsets[place] == list(range(first, end))

    async def test_a_partition_is_read_again_from_any_offset(self, log: ManagedLog, topic: str, group: str) -> None:
        await log.publish(topic, [message("one", b"%d" % n) for n in range(30)])
        place = next(place for place, (_, end) in (await log.bounds(topic)).items() if end)
        async with log.consumer(group, [topic], "a", Reader({place: 11})) as consumer:
            assert [record.offset for record in await read(consumer, 19)] == list(range(11, 30))
            for start in (0, 29, 13):
                consumer.seek(place, start)
                assert [record.offset for record in await read(consumer, 30 - start)] == list(range(start, 30))

    async def test_a_paused_partition_stays_quiet_until_it_is_resumed(
        self, log: ManagedLog, topic: str, group: str
    ) -> None:
        reader = Reader()
        async with log.consumer(group, [topic], "a", reader) as consumer:
            await until(lambda: len(reader.owned) == 4)
            consumer.pause(Partition(topic, 2))
            await log.publish_everywhere(topic, message("k"))
            assert {record.partition.number for record in await read(consumer, 3)} == {0, 1, 3}
            assert await consumer.fetch(max_records=10, timeout=0.2) == {}
            consumer.resume(Partition(topic, 2))
            assert [record.partition.number for record in await read(consumer, 1)] == [2]

    async def test_a_fetch_brings_no_more_than_it_was_asked_for(self, log: ManagedLog, topic: str, group: str) -> None:
        await log.publish(topic, [message("one", b"%d" % n) for n in range(25)])
        sizes: list[int] = []
        async with log.consumer(group, [topic], "a", Reader()) as consumer:
            while sum(sizes) < 25:
                sizes += [len(found) for found in (await consumer.fetch(max_records=10, timeout=1)).values()]
        assert sizes == [10, 10, 5]

    async def test_two_members_share_the_partitions_and_the_survivor_takes_all(
        self, logs: Logs, topic: str, group: str
    ) -> None:
        first, second = Reader(), Reader()
        async with logs.open() as here, logs.open() as there:
            async with here.consumer(group, [topic], "a", first):
                await until(lambda: len(first.owned) == 4)
                async with there.consumer(group, [topic], "b", second):
                    await until(lambda: len(first.owned) == len(second.owned) == 2)
                    assert not first.owned & second.owned
                await until(lambda: len(first.owned) == 4)
            assert first.owned == second.owned == frozenset()

    async def test_a_partition_changes_hands_only_after_its_owner_has_finished(
        self, logs: Logs, topic: str, group: str
    ) -> None:
        first, second = Reader(), Reader()
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        first.before_revoked = lambda: finished
        async with (
            logs.open() as here,
            logs.open() as there,
            here.consumer(group, [topic], "a", first),
        ):
            await until(lambda: len(first.owned) == 4)
            async with there.consumer(group, [topic], "b", second) as other:
                assert await other.fetch(max_records=1, timeout=0.5) == {}
                assert second.owned == frozenset()
                finished.set_result(None)
                await until(lambda: len(second.owned) == 2)

    async def test_a_second_process_of_one_name_displaces_the_first(self, named: Logs, topic: str, group: str) -> None:
        first, second = Reader(), Reader()
        async with named.open() as here, named.open() as there, here.consumer(group, [topic], "a", first) as old:
            await until(lambda: len(first.owned) == 4)
            async with there.consumer(group, [topic], "a", second):
                await until(lambda: len(second.owned) == 4)
                with pytest.raises(FencedError, match=f"{group} as 'a'"):
                    await read(old, 1)

    async def test_what_is_published_while_a_consumer_restarts_is_read(
        self, logs: Logs, topic: str, group: str
    ) -> None:
        done: dict[Partition, int] = {}
        values: list[bytes] = []
        async with logs.open() as writer, logs.open() as log:
            publishing = asyncio.create_task(
                _each(publish_until_confirmed(writer, topic, [message(f"k{n}", b"%d" % n)]) for n in range(200))
            )
            while len(values) < 200:
                async with log.consumer(group, [topic], "a", Reader(dict(done))) as consumer:
                    for record in await read(consumer, min(20, 200 - len(values))):
                        values.append(record.value)
                        done[record.partition] = record.offset + 1
                    await consumer.commit(done)
            await publishing
        assert sorted(values, key=int) == [b"%d" % n for n in range(200)]

    async def test_a_topic_nobody_made_is_an_error_that_says_so(self, log: ManagedLog) -> None:
        with pytest.raises(UnknownTopicError, match=r"no topic 'contacts\.commands\.nobody'"):
            await log.publish("contacts.commands.nobody", [message("k")])
        with pytest.raises(UnknownTopicError):
            await log.partitions("contacts.commands.nobody")
        with pytest.raises(UnknownTopicError):
            await log.topic_id("contacts.commands.nobody")
        with pytest.raises(UnknownTopicError):
            await log.bounds("contacts.commands.nobody")
        with pytest.raises(UnknownTopicError, match=r"no topic 'contacts\.commands\.nobody'"):
            await log.check_topics({"contacts.commands.nobody": 1})

    async def test_topics_are_made_once_and_keep_their_partitions(self, log: ManagedLog, topic: str) -> None:
        before = await log.topic_id(topic)
        await log.create_topics({topic: 4})
        assert await log.topic_id(topic) == before
        with pytest.raises(PartitionCountError, match=f"{topic} has 4 partitions, the settings say 6"):
            await log.create_topics({topic: 6})
        with pytest.raises(PartitionCountError, match=f"{topic} has 4 partitions, the settings say 6"):
            await log.check_topics({topic: 6})
        await log.check_topics({topic: 4})
        assert await log.partitions(topic) == 4

    @pytest.mark.parametrize("size", [0, 1, 1 << 20, 2 << 20])
    async def test_a_message_comes_out_as_it_went_in(self, log: ManagedLog, topic: str, size: int) -> None:
        sent = Message(
            key="schlüssel/ключ/鍵".encode(),
            headers=(
                ("ce_subject", "Zoë Ångström 🦉".encode()),
                ("twice", b"1"),
                ("twice", b"\x00\xff"),
                ("empty", b""),
            ),
            value=secrets.token_bytes(size),
        )
        await log.publish(topic, [sent])
        [record] = await read_all(log, topic, 1)
        assert (record.key, record.headers, record.value) == (sent.key, sent.headers, sent.value)
        assert record.time.tzinfo is not None

    async def test_nothing_is_published_by_an_empty_publication(self, log: ManagedLog, topic: str) -> None:
        await log.publish(topic, [])
        assert set((await log.bounds(topic)).values()) == {(0, 0)}

    async def test_a_log_that_works_is_ready(self, log: ManagedLog) -> None:
        assert await log.ready()

    async def test_concurrent_publishers_lose_and_repeat_nothing(self, logs: Logs, topic: str, group: str) -> None:
        publishers, each = 8, 500

        async def publish(log: ManagedLog, number: int) -> None:
            for n in range(each):
                await log.publish(topic, [message(f"{number}-{n % 7}", b"%d" % n)])

        async with logs.open() as here, logs.open() as there, here.consumer(group, [topic], "a", Reader()) as consumer:
            async with asyncio.TaskGroup() as tasks:
                for number in range(publishers):
                    tasks.create_task(publish(here if number % 2 else there, number))
                reading = tasks.create_task(read(consumer, publishers * each))
            records = reading.result()
        by_key: defaultdict[bytes, list[int]] = defaultdict(list)
        offsets: defaultdict[Partition, list[int]] = defaultdict(list)
        for record in records:
            by_key[record.key].append(int(record.value))
            offsets[record.partition].append(record.offset)
        assert len(records) == publishers * each
        for own in offsets.values():
            assert own == list(range(len(own)))
        for key, seen in by_key.items():
            assert seen == list(range(int(key.split(b"-")[1]), each, 7))

    # Every adapter's class runs it, each with a log of its own.
    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(plan=st.lists(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=20)), max_size=6), max_size=6))
    async def test_any_publications_are_read_back_per_key_as_sent(
        self, log: ManagedLog, plan: list[list[tuple[bytes, bytes]]]
    ) -> None:
        topic = f"suite.{secrets.token_hex(6)}"
        await log.create_topics({topic: 3})
        for batch in plan:
            await log.publish(topic, [Message(key=key, headers=(), value=value) for key, value in batch])
        sent: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for key, value in (pair for batch in plan for pair in batch):
            sent[key].append(value)
        got: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for record in await read_all(log, topic, sum(map(len, plan))):
            got[record.key].append(record.value)
        assert got == sent


async def _each(work: object) -> None:
    for step in work:  # type: ignore[attr-defined]
        await step
