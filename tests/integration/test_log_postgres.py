"""The embedded log: the suite, and what only PostgreSQL can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import aiokafka.partitioner
import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.log import LogUnavailableError, Message, Partition
from services.runtime.log.doorbell import Doorbell
from services.runtime.log.errors import OffsetOutOfRangeError
from services.runtime.log.membership import dealt
from services.runtime.log.open import LogUrlError, open_log
from services.runtime.log.partitioner import murmur2, partition_of
from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Store
from tests.log_suite import SECONDS, LogSuite, Reader, message, publish_until_confirmed, read, read_all, until

TOPIC = "contacts.events"


class PostgresLogs:
    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[PostgresLog]:
        async with Store.open(self.dsn) as store, PostgresLog.open(store, lease=timedelta(seconds=2)) as log:
            yield log


class TestPostgresLog(LogSuite):
    @pytest.fixture
    def logs(self, database: str) -> PostgresLogs:
        return PostgresLogs(database)


@pytest.fixture
async def log(store: Store) -> AsyncIterator[PostgresLog]:
    async with PostgresLog.open(store, lease=timedelta(seconds=1)) as opened:
        await opened.create_topics({TOPIC: 4})
        yield opened


async def terminate(store: Store, application: str, already: Collection[int] = ()) -> set[int]:
    """End `application`'s connections to this database but `already`; give those of them that were there."""
    ended = await store.fetch(
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 "
        "AND datname = current_database() AND NOT pid = ANY($2::int[])",
        application,
        list(already),
    )
    return {row["pid"] for row in ended}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_kafkas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(key=st.binary(max_size=64), partitions=st.integers(1, 200))
def test_a_key_goes_where_a_kafka_client_would_put_it(key: bytes, partitions: int) -> None:
    assert murmur2(key) == aiokafka.partitioner.murmur2(key)
    assert partition_of(key, partitions) == (aiokafka.partitioner.murmur2(key) & 0x7FFFFFFF) % partitions


@given(
    members=st.dictionaries(
        st.text(max_size=4), st.sets(st.sampled_from(["e", "r"]), min_size=1), min_size=1, max_size=6
    ),
    partitions=st.integers(1, 20),
)
def test_a_deal_gives_each_partition_to_exactly_one_subscriber(members: dict[str, set[str]], partitions: int) -> None:
    places = [Partition(topic, n) for topic in ("e", "r") for n in range(partitions)]
    shares = {name: dealt(members, places, name) for name in members}
    for place in places:
        owners = [name for name, share in shares.items() if place in share]
        subscribers = [name for name, topics in members.items() if place.topic in topics]
        assert len(owners) == min(1, len(subscribers))
        assert set(owners) <= set(subscribers)


async def test_the_address_postgres_opens_the_embedded_log_and_others_say_why_not(store: Store) -> None:
    async with open_log("postgres:", store) as log:
        assert await log.ready()
    with pytest.raises(LogUrlError, match="CONTACTSYNC_LOG_URL names a log of the kind 'amqp'"):
        async with open_log("amqp://somewhere", store):
            pass


async def test_records_arrive_though_the_listening_connection_was_killed(
    log: PostgresLog, store: Store, database: str
) -> None:
    killed: set[int] = set()
    async with PostgresLogs(database).open() as elsewhere, log.consumer("g", [TOPIC], "a", Reader()) as consumer:
        for n in range(5):
            # One that was killed is listed until it has gone: only a new one is the next to listen.
            async with asyncio.timeout(SECONDS):
                while not (listening := await terminate(store, "contactsync-log-doorbell", killed)):  # noqa: ASYNC110 - the server's own list
                    await asyncio.sleep(0.02)
            killed |= listening
            await elsewhere.publish(TOPIC, [message("k", b"%d" % n)])
            [record] = await read(consumer, 1)
            assert record.value == b"%d" % n


async def test_another_process_is_told_of_a_publication_and_of_a_change_in_its_group(
    log: PostgresLog, database: str
) -> None:
    async with Doorbell.open(database) as bell:
        with bell.hear(f"topic:{TOPIC}") as published, bell.hear("group:g") as dealt_anew:
            async with asyncio.timeout(SECONDS):
                await published.wait()  # rung once when it begins to listen
                await dealt_anew.wait()
                published.clear()
                dealt_anew.clear()
                await log.publish(TOPIC, [message("k")])
                await published.wait()
                assert not dealt_anew.is_set()
                async with log.consumer("g", [TOPIC], "a", Reader()):
                    await dealt_anew.wait()


async def test_what_was_confirmed_is_there_though_the_writers_connection_keeps_dying(
    log: PostgresLog, store: Store
) -> None:
    confirmed: list[bytes] = []
    refused = 0

    async def publish(number: int) -> None:
        nonlocal refused
        for n in range(60):
            value = b"%d-%d" % (number, n)
            try:
                await log.publish(TOPIC, [message(str(number), value)])
            except LogUnavailableError:
                refused += 1
            else:
                confirmed.append(value)

    async def kill() -> None:
        while True:
            await terminate(store, "contactsync-log-writer")
            await asyncio.sleep(0.01)

    killing = asyncio.create_task(kill())
    await asyncio.gather(*(publish(number) for number in range(8)))
    killing.cancel()
    await asyncio.wait({killing})
    await publish_until_confirmed(log, TOPIC, [message("last", b"last")])
    total = sum(end for _, end in (await log.bounds(TOPIC)).values())
    records = await read_all(log, TOPIC, total)
    assert refused > 0
    assert set(confirmed) <= {record.value for record in records}
    offsets: defaultdict[Partition, list[int]] = defaultdict(list)
    for record in records:
        offsets[record.partition].append(record.offset)
    for own in offsets.values():
        assert own == list(range(len(own)))


async def test_long_interleaved_transactions_hide_no_record(log: PostgresLog, store: Store, database: str) -> None:
    draw = random.Random(23)
    published = 0

    async def slow() -> None:
        nonlocal published
        connection = await asyncpg.connect(database)
        try:
            for _ in range(40):
                transaction = connection.transaction()
                await transaction.start()
                numbers = sorted(draw.sample(range(4), draw.randint(1, 3)))
                n = len(numbers)
                await connection.fetchval(
                    "SELECT log.append($1, $2, $3, $4, $5, $6)",
                    *([TOPIC] * n, numbers, [0] * n, [b"slow"] * n, [msgspec.msgpack.encode(())] * n, [b""] * n),
                )
                await asyncio.sleep(draw.random() * 0.01)
                if draw.random() < 0.3:
                    await transaction.rollback()
                else:
                    await transaction.commit()
                    published += n
        finally:
            await connection.close()

    async def quick(number: int) -> None:
        nonlocal published
        for n in range(100):
            await log.publish(TOPIC, [message(f"{number}-{n}")])
            published += 1

    seen: defaultdict[Partition, list[int]] = defaultdict(list)
    async with log.consumer("g", [TOPIC], "a", Reader()) as consumer:
        writing = asyncio.gather(*(slow() for _ in range(4)), *(quick(number) for number in range(4)))
        async with asyncio.timeout(SECONDS):
            while not writing.done() or sum(map(len, seen.values())) < published:
                for place, records in (await consumer.fetch(max_records=7, timeout=0.05)).items():
                    seen[place] += [record.offset for record in records]
        await writing
    for own in seen.values():
        assert own == list(range(len(own)))
    assert sum(map(len, seen.values())) == published


async def test_publications_beyond_the_bounds_are_refused_and_the_others_written(store: Store, database: str) -> None:
    blocker = await asyncpg.connect(database)
    async with PostgresLog.open(store, max_messages=10, max_bytes=1000) as log:
        await log.create_topics({TOPIC: 1})
        block = blocker.transaction()
        await block.start()
        await blocker.execute("LOCK TABLE log.partition IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(log.publish(TOPIC, [message("k", b"%d" % n)])) for n in range(30)]
        await until(lambda: sum(task.done() for task in waiting) == 20)
        assert not await log.ready()
        large = asyncio.create_task(log.publish(TOPIC, [message("k", b"x" * 2000)]))
        with pytest.raises(LogUnavailableError, match="10 messages"):
            await large
        await block.rollback()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert outcomes.count(None) == 10
        assert {type(outcome) for outcome in outcomes} == {type(None), LogUnavailableError}
        assert [record.value for record in await read_all(log, TOPIC, 10)] == [b"%d" % n for n in range(10)]
        assert await log.ready()
    await blocker.close()


async def test_a_commit_that_takes_too_long_is_reported_to_its_publisher(store: Store, database: str) -> None:
    blocker = await asyncpg.connect(database)
    async with PostgresLog.open(store, timeout=0.2) as log:
        await log.create_topics({TOPIC: 1})
        block = blocker.transaction()
        await block.start()
        await blocker.execute("LOCK TABLE log.partition IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LogUnavailableError):
            await log.publish(TOPIC, [message("k")])
        await block.rollback()
        await publish_until_confirmed(log, TOPIC, [message("k", b"again")])
    await blocker.close()


async def test_what_is_queued_when_the_log_closes_is_written_first(store: Store) -> None:
    async with PostgresLog.open(store) as log:
        await log.create_topics({TOPIC: 1})
        last = asyncio.create_task(log.publish(TOPIC, [message("k", b"last")]))
        await asyncio.sleep(0)
    await last
    with pytest.raises(LogUnavailableError, match="closing"):
        await log.publish(TOPIC, [message("k")])
    async with PostgresLog.open(store) as again:
        assert [record.value for record in await read_all(again, TOPIC, 1)] == [b"last"]


async def test_a_member_whose_lease_ended_loses_its_partitions_and_joins_again(log: PostgresLog, store: Store) -> None:
    reader, other = Reader(), Reader()
    async with log.consumer("g", [TOPIC], "a", reader):
        await until(lambda: len(reader.owned) == 4)
        # As another member does it when it finds the lease ended.
        await store.execute("UPDATE log.assignment SET owner = NULL; DELETE FROM log.member")
        async with log.consumer("g", [TOPIC], "b", other):
            await until(lambda: len(reader.revocations) > 0 and len(reader.owned) == len(other.owned) == 2)
            assert not reader.owned & other.owned


async def test_the_partitions_of_a_member_that_died_go_to_the_next(log: PostgresLog, store: Store) -> None:
    await store.execute("INSERT INTO log.consumer_group (name) VALUES ('g')")
    await store.execute("INSERT INTO log.member VALUES ('g', '0', 99, $1, now() + interval '0.5 s')", [TOPIC])
    await store.execute(
        "INSERT INTO log.assignment SELECT 'g', topic, number, '0' FROM log.partition WHERE topic = $1", TOPIC
    )
    reader = Reader()
    async with log.consumer("g", [TOPIC], "a", reader):
        await until(lambda: len(reader.owned) == 4)


async def test_retention_moves_the_first_offset_and_nobody_is_carried_past_it(log: PostgresLog, store: Store) -> None:
    await log.publish(TOPIC, [Message(key=b"one", headers=(), value=b"%d" % n) for n in range(50)])
    place, (_, end) = next(item for item in (await log.bounds(TOPIC)).items() if item[1][1])
    assert end == 50
    await store.execute("""UPDATE log.record SET at = at - interval '40 days' WHERE "offset" < 30""")
    assert await log.expire({TOPIC: timedelta(days=35)}, chunk=7) == 30
    assert await log.expire({TOPIC: timedelta(days=35)}, chunk=7) == 0
    assert (await log.bounds(TOPIC))[place] == (30, 50)
    assert [record.offset for record in await read_all(log, TOPIC, 20, {place: 30})] == list(range(30, 50))
    for start, text in ((29, "retention has left only 30"), (51, "the log ends at 50")):
        async with log.consumer(f"g{start}", [TOPIC], "a", Reader({place: start})) as consumer:
            with pytest.raises(OffsetOutOfRangeError, match=text):
                await read(consumer, 1)
    assert await log.expire({TOPIC: timedelta(0)}) == 20
    assert (await log.bounds(TOPIC))[place] == (50, 50)
    await log.publish(TOPIC, [message("one")])
    assert [record.offset for record in await read_all(log, TOPIC, 1, {place: 50})] == [50]


async def test_a_topic_made_anew_has_another_id(log: PostgresLog, store: Store) -> None:
    before = await log.topic_id(TOPIC)
    await store.execute("DELETE FROM log.topic WHERE name = $1", TOPIC)
    await log.create_topics({TOPIC: 4})
    assert await log.topic_id(TOPIC) != before


async def test_what_a_group_commits_is_kept_for_lag_figures(log: PostgresLog, store: Store) -> None:
    async with log.consumer("g", [TOPIC], "a", Reader()) as consumer:
        for offset in (3, 5):
            await consumer.commit({Partition(TOPIC, 1): offset})
    assert await store.fetchval("SELECT next_offset FROM log.committed WHERE grp = 'g' AND partition = 1") == 5
