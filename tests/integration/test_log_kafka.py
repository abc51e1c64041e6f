"""The log on Kafka: the suite, and what only a cluster can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import struct
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import TopicPartition

from services.runtime.log import FencedError, LogUnavailableError, Message, Partition
from services.runtime.log.consume import Batch, consume
from services.runtime.log.errors import (
    LogRefusedError,
    MessageTooLargeError,
    OffsetOutOfRangeError,
    TopicSettingsError,
    UnknownTopicError,
    is_passing,
)
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.kafka_access import KafkaAccess, addresses
from services.runtime.log.kafka_errors import FencedInstanceIdError
from services.runtime.log.kafka_logging import calm
from services.runtime.log.kafka_producer import LARGEST
from services.runtime.log.open import open_log
from services.runtime.log.progress import TABLE, ForeignLogError, Progress
from services.runtime.store import Store
from tests.kafka import Kafka
from tests.log_suite import SECONDS, LogSuite, Reader, message, publish_until_confirmed, read, read_all, until

SESSION = timedelta(seconds=6)
"""The least that a broker allows by default."""


class KafkaLogs:
    def __init__(self, bootstrap: str, *, static: bool = False) -> None:
        self.hosts = addresses(f"kafka://{bootstrap}")
        self.static = static

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[KafkaLog]:
        async with KafkaLog.open(self.hosts, static=self.static, session=SESSION) as log:
            yield log


class TestKafkaLog(LogSuite):
    @pytest.fixture
    def logs(self, kafka: Kafka) -> KafkaLogs:
        return KafkaLogs(kafka.bootstrap)

    @pytest.fixture
    def named(self, kafka: Kafka) -> KafkaLogs:
        return KafkaLogs(kafka.bootstrap, static=True)


@pytest.fixture
def name() -> str:
    """A name for a topic and a group that no other test has."""
    return f"kafka.{secrets.token_hex(6)}"


@pytest.fixture
async def log(kafka: Kafka) -> AsyncIterator[KafkaLog]:
    async with KafkaLogs(kafka.bootstrap).open() as opened:
        yield opened


@pytest.fixture
async def admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    yield client
    await client.close()


class Line:
    """A way to the broker that can be cut, and that the broker's own answers lead back to."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.behind = host, port
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._up = asyncio.Event()
        self._up.set()
        self._silent = False

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[Line]:
        server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._up.set()
            self.cut()
            server.close()

    @property
    def hosts(self) -> list[tuple[str, int]]:
        return [(self.host, self.port)]

    def cut(self) -> None:
        """Every connection breaks, and new ones end at once."""
        self._up.clear()
        for writer in self._writers:
            writer.close()

    def hush(self) -> None:
        """Connections stay, and nothing comes back any more."""
        self._silent = True

    def mend(self) -> None:
        self._silent = False
        self._up.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up.is_set():
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(self.host, self.behind)
        self._writers |= {writer, far_writer}
        tasks = {
            asyncio.create_task(self._there(reader, far_writer)),
            asyncio.create_task(self._back(far_reader, writer)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._writers -= {writer, far_writer}
            writer.close()
            far_writer.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told, ours = (self.host.encode() + struct.pack(">i", port) for port in (self.behind, self.port))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                if not self._silent:
                    writer.write(size + frame.replace(told, ours))
                    await writer.drain()


@pytest.fixture
async def line(kafka: Kafka) -> AsyncIterator[Line]:
    [(host, port), *_] = addresses(f"kafka://{kafka.bootstrap}")
    async with Line(host, port).laid() as laid:
        yield laid


async def make_anew(admin: AIOKafkaAdminClient, log: KafkaLog, name: str, partitions: int) -> None:
    """Delete the topic and create it again, as somebody with Kafka's own tools would."""
    await admin.delete_topics([name])
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(TopicSettingsError, LogUnavailableError, UnknownTopicError):
                await log.create_topics({name: partitions})
                return
            await asyncio.sleep(0.05)


# Topics


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


# A cluster that is away


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


# Publishing


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


# Groups


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


# Errors


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
