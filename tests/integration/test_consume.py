"""The consuming loop and its progress rows, on the embedded log. Run as a program, this file is one member."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from services.runtime.log import FencedError, Partition, Record
from services.runtime.log.consume import Batch, Handle, StuckError, UnfinishedBatchError, consume, lag
from services.runtime.log.postgres import PostgresLog
from services.runtime.log.progress import TABLE, Claim, ForeignLogError, Progress
from services.runtime.store import Connection, Store
from services.runtime.store.embedded import EmbeddedPostgres
from services.runtime.store.migrate import migrate
from tests.log_suite import SECONDS, message, publish_until_confirmed, until

TOPIC = "contacts.events"
PLACE = Partition(TOPIC, 0)
GROUP = "scratch"
LEASE = timedelta(seconds=1)
HANDLED = (
    "CREATE TABLE scratch.handled (number bigserial, partition int, at bigint, key bytea, value bytea, member text)"
)


@pytest.fixture
async def scratch(store: Store) -> Progress:
    """An owner's schema: its progress, and what it handled."""
    await store.execute("CREATE SCHEMA scratch;" + TABLE.replace("{schema}", "scratch") + HANDLED)
    return Progress("scratch")


@pytest.fixture
async def log(store: Store) -> AsyncIterator[PostgresLog]:
    async with PostgresLog.open(store, lease=LEASE) as opened:
        await opened.create_topics({TOPIC: 4})
        yield opened


def keeping(store: Store, member: str = "a") -> Handle:
    """A handler whose effect is one row per record, in the transaction that advances."""

    async def handle(batch: Batch) -> None:
        async with store.transaction() as connection:
            await record(connection, batch.records, member)
            await batch.advance(connection)

    return handle


async def record(connection: Connection, records: Sequence[Record], member: str) -> None:
    rows = [(r.partition.number, r.offset, r.key, r.value, member) for r in records]
    query = "INSERT INTO scratch.handled (partition, at, key, value, member) VALUES ($1, $2, $3, $4, $5)"
    await connection.executemany(query, rows)


@contextlib.asynccontextmanager
async def consuming(
    log: PostgresLog,
    store: Store,
    progress: Progress,
    handle: Handle,
    *,
    member: str = "a",
    stuck_after: float = 60,
    max_records: int = 500,
    lags: list[Mapping[Partition, int]] | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    async def work() -> None:
        await consume(
            log,
            store,
            progress,
            group=GROUP,
            topics=[TOPIC],
            member=member,
            handle=handle,
            max_records=max_records,
            stuck_after=stuck_after,
            drain_seconds=5,
            on_lag=None if lags is None else lags.append,
            report_seconds=0.1,
        )

    task = asyncio.create_task(work())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=SECONDS)


async def until_true(store: Store, condition: str, *arguments: object) -> None:
    """Poll a query until it says true."""
    async with asyncio.timeout(SECONDS):
        while not await store.fetchval(condition, *arguments):  # noqa: ASYNC110 - it is true for another process first
            await asyncio.sleep(0.02)


async def handled(store: Store) -> list[asyncpg.Record]:
    return await store.fetch("SELECT partition, at, key, value, member FROM scratch.handled ORDER BY number")


async def handles(store: Store, count: int, task: asyncio.Task[None] | None = None) -> None:
    """Wait until `count` records were handled."""
    async with asyncio.timeout(SECONDS):
        while await store.fetchval("SELECT count(*) FROM scratch.handled") < count:
            if task is not None and task.done():
                task.result()
            await asyncio.sleep(0.02)


async def assert_each_once_in_order(store: Store, log: PostgresLog) -> None:
    offsets: defaultdict[int, list[int]] = defaultdict(list)
    for row in await handled(store):
        offsets[row["partition"]].append(row["at"])
    for place, (_, end) in (await log.bounds(TOPIC)).items():
        assert offsets[place.number] == list(range(end))


async def test_a_claim_starts_a_new_partition_and_fences_who_had_it(store: Store, scratch: Progress) -> None:
    async with store.transaction() as connection:
        assert await scratch.claim(connection, "g", PLACE, "id", 7) == Claim(1, 7)
        await scratch.advance(connection, "g", PLACE, epoch=1, start=7, upto=9)
        assert await scratch.claim(connection, "g", PLACE, "id", 0) == Claim(2, 9)
        assert await scratch.read(connection, "g", PLACE) == Claim(2, 9)
        assert await scratch.read(connection, "other", PLACE) is None
        for epoch, start in ((1, 9), (2, 7), (3, 9)):
            with pytest.raises(FencedError, match="has another owner"):
                await scratch.advance(connection, "g", PLACE, epoch=epoch, start=start, upto=12)
        assert await scratch.all(connection, "g") == {PLACE: 9}


async def test_p12_progress_made_with_another_log_stops_until_a_person_adopts_it(
    log: PostgresLog, store: Store, scratch: Progress
) -> None:
    await log.publish_everywhere(TOPIC, message("k"))
    async with consuming(log, store, scratch, keeping(store)) as task:
        await handles(store, 4, task)
    await store.execute("DELETE FROM log.topic")
    await log.create_topics({TOPIC: 4})
    async with consuming(log, store, scratch, keeping(store)) as task:
        await asyncio.wait({task}, timeout=SECONDS)
        with pytest.raises(ForeignLogError, match="`contactsync log adopt`"):
            task.result()
    starts = {place: first for place, (first, _) in (await log.bounds(TOPIC)).items()}
    async with store.transaction() as connection:
        await scratch.adopt(connection, GROUP, await log.topic_id(TOPIC), starts)
    await log.publish_everywhere(TOPIC, message("k"))
    async with consuming(log, store, scratch, keeping(store)) as task:
        await handles(store, 8, task)


async def test_every_record_is_handled_once_in_order_and_the_lag_is_told(
    log: PostgresLog, store: Store, scratch: Progress
) -> None:
    lags: list[Mapping[Partition, int]] = []
    await log.publish(TOPIC, [message(f"{n}") for n in range(300)])
    before = await lag(log, store, scratch, group=GROUP, topics=[TOPIC])
    assert sum(before.values()) == 300
    async with consuming(log, store, scratch, keeping(store), max_records=20, lags=lags) as task:
        await log.publish(TOPIC, [message(f"{n}") for n in range(300)])
        await handles(store, 600, task)
        await until(lambda: bool(lags) and set(lags[-1].values()) == {0} and len(lags[-1]) == 4)
    await assert_each_once_in_order(store, log)
    assert set((await lag(log, store, scratch, group=GROUP, topics=[TOPIC])).values()) == {0}
    committed = await store.fetch("SELECT partition, next_offset FROM log.committed WHERE grp = $1", GROUP)
    assert {row["partition"]: row["next_offset"] for row in committed} == {
        place.number: end for place, (_, end) in (await log.bounds(TOPIC)).items()
    }


async def test_a_handler_may_advance_in_steps(log: PostgresLog, store: Store, scratch: Progress) -> None:
    failures = iter([True])

    async def handle(batch: Batch) -> None:
        while batch.records:
            after = batch.records[0].offset + 1
            async with store.transaction() as connection:
                await record(connection, batch.records[:1], "a")
                await batch.advance(connection, after)
                if after == 4 and next(failures, False):
                    raise ConnectionResetError("the network went, in the middle of a batch")
            batch = batch.rest(after)

    await log.publish(TOPIC, [message("one") for _ in range(10)])
    async with consuming(log, store, scratch, handle) as task:
        await handles(store, 10, task)
    await assert_each_once_in_order(store, log)


async def test_a_slow_partition_delays_no_other(log: PostgresLog, store: Store, scratch: Progress) -> None:
    gate = asyncio.Event()
    keep = keeping(store)

    async def handle(batch: Batch) -> None:
        if batch.partition.number == 2:
            await gate.wait()
        await keep(batch)

    async with consuming(log, store, scratch, handle, max_records=3) as task:
        for _ in range(10):
            await log.publish_everywhere(TOPIC, message("k"))
        await handles(store, 30, task)
        assert {row["partition"] for row in await handled(store)} == {0, 1, 3}
        gate.set()
        await handles(store, 40, task)
    await assert_each_once_in_order(store, log)


@pytest.mark.parametrize("max_records", [5, 500])
async def test_a_fenced_owner_drops_its_batch_and_begins_again_from_the_progress_row(
    log: PostgresLog, store: Store, scratch: Progress, max_records: int
) -> None:
    keep = keeping(store)
    fenced: list[bool] = []

    async def handle(batch: Batch) -> None:
        if not fenced:
            fenced.append(True)
            async with store.transaction() as connection:
                await scratch.claim(connection, GROUP, batch.partition, await log.topic_id(TOPIC), 0)
        await keep(batch)

    await log.publish(TOPIC, [message("one") for _ in range(20)])
    async with consuming(log, store, scratch, handle, max_records=max_records) as task:
        await handles(store, 20, task)
    await assert_each_once_in_order(store, log)


async def test_a_member_whose_lease_ended_in_the_middle_of_a_batch_commits_nothing_of_it(
    log: PostgresLog, store: Store, scratch: Progress
) -> None:
    keep = keeping(store)
    refused: list[Partition] = []

    async def zombie(batch: Batch) -> None:
        await store.execute("UPDATE log.assignment SET owner = NULL; DELETE FROM log.member WHERE name = 'a'")
        claimed = "SELECT epoch > $2 FROM scratch.progress WHERE partition = $1"
        await until_true(store, claimed, batch.partition.number, batch.epoch)
        try:
            await keep(batch)
        except FencedError:
            refused.append(batch.partition)
            raise

    await log.publish(TOPIC, [message("one") for _ in range(20)])
    async with consuming(log, store, scratch, zombie, member="a"):
        await until_true(store, "SELECT count(*) = 4 FROM scratch.progress")
        async with consuming(log, store, scratch, keeping(store, "b"), member="b") as other:
            await handles(store, 20, other)
            await until(lambda: len(refused) > 0)
    assert {row["member"] for row in await handled(store)} == {"b"}
    await assert_each_once_in_order(store, log)


async def test_a_batch_that_met_a_lost_connection_is_handled_again(
    log: PostgresLog, store: Store, scratch: Progress
) -> None:
    keep = keeping(store)
    attempts: defaultdict[Partition, int] = defaultdict(int)

    async def handle(batch: Batch) -> None:
        attempts[batch.partition] += 1
        if attempts[batch.partition] == 1:
            async with store.transaction() as connection:
                await record(connection, batch.records, "lost")
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await keep(batch)
        if attempts[batch.partition] == 2:
            raise ConnectionResetError("the answer was lost after the commit")

    await log.publish_everywhere(TOPIC, message("k"))
    async with consuming(log, store, scratch, handle) as task:
        await handles(store, 4, task)
        await log.publish_everywhere(TOPIC, message("k"))
        await handles(store, 8, task)
    await assert_each_once_in_order(store, log)
    assert {row["member"] for row in await handled(store)} == {"a"}
    # From the progress row, not by a new claim.
    assert await store.fetchval("SELECT max(epoch) FROM scratch.progress") == 1


async def test_an_error_of_the_handler_ends_the_loop(log: PostgresLog, store: Store, scratch: Progress) -> None:
    async def handle(batch: Batch) -> None:
        raise ZeroDivisionError("a bug")

    await log.publish(TOPIC, [message("k")])
    async with consuming(log, store, scratch, handle) as task:
        await asyncio.wait({task}, timeout=SECONDS)
        with pytest.raises(ZeroDivisionError):
            task.result()
    assert await store.fetchval("SELECT count(*) FROM log.member") == 0


async def test_a_handler_that_forgets_to_advance_is_a_bug(log: PostgresLog, store: Store, scratch: Progress) -> None:
    async def handle(batch: Batch) -> None:
        pass

    await log.publish(TOPIC, [message("k")])
    async with consuming(log, store, scratch, handle) as task:
        await asyncio.wait({task}, timeout=SECONDS)
        with pytest.raises(UnfinishedBatchError, match="returned at offset 0"):
            task.result()


async def test_a_partition_that_does_not_get_on_ends_the_loop(
    log: PostgresLog, store: Store, scratch: Progress
) -> None:
    async def handle(batch: Batch) -> None:
        await asyncio.Event().wait()

    await log.publish(TOPIC, [message("k")])
    lags: list[Mapping[Partition, int]] = []
    async with consuming(log, store, scratch, handle, stuck_after=0.5, lags=lags) as task:
        await asyncio.wait({task}, timeout=SECONDS)
        with pytest.raises(StuckError, match="though 1 wait"):
            task.result()
    assert any(sum(lagging.values()) == 1 for lagging in lags)


async def test_a_cancelled_loop_finishes_the_batch_under_way(log: PostgresLog, store: Store, scratch: Progress) -> None:
    keep = keeping(store)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def handle(batch: Batch) -> None:
        begun.set()
        await gate.wait()
        await keep(batch)

    await log.publish(TOPIC, [message("one") for _ in range(10)])
    async with consuming(log, store, scratch, handle, max_records=5) as task:
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
    assert task.cancelled()
    assert [row["at"] for row in await handled(store)] == [0, 1, 2, 3, 4]
    assert await store.fetchval("SELECT count(*) FROM log.member") == 0
    async with consuming(log, store, scratch, keep) as task:
        await handles(store, 10, task)
    await assert_each_once_in_order(store, log)


async def test_members_that_come_and_go_handle_everything_once(
    log: PostgresLog, store: Store, scratch: Progress
) -> None:
    async def publish() -> None:
        for n in range(200):
            await log.publish(TOPIC, [message(f"{n % 17}", b"%d" % n) for _ in range(5)])

    publishing = asyncio.create_task(publish())
    async with consuming(log, store, scratch, keeping(store, "a"), member="a", max_records=10):
        for turn in range(3):
            name = f"b{turn}"
            async with consuming(log, store, scratch, keeping(store, name), member=name, max_records=10):
                await until_true(store, "SELECT count(*) > 0 FROM log.assignment WHERE owner = $1", name)
        await publishing
        await handles(store, 1000)
    await assert_each_once_in_order(store, log)


async def test_a_database_that_crashes_again_and_again_loses_nothing_that_was_confirmed(open_folder: Path) -> None:
    confirmed: list[bytes] = []

    async def publish(log: PostgresLog, number: int) -> None:
        for n in range(60):
            value = b"%d-%d" % (number, n)
            await publish_until_confirmed(log, TOPIC, [message(f"{number}", value)])
            confirmed.append(value)
            await asyncio.sleep(0.02)  # spread over the crashes

    async with EmbeddedPostgres(open_folder / "crashing") as server:
        connection = await asyncpg.connect(server.dsn)
        await migrate(connection)
        await connection.execute("CREATE SCHEMA scratch;" + TABLE.replace("{schema}", "scratch") + HANDLED)
        await connection.close()
        progress = Progress("scratch")
        async with Store.open(server.dsn) as store, PostgresLog.open(store, lease=LEASE) as log:
            await log.create_topics({TOPIC: 4})
            async with consuming(log, store, progress, keeping(store)) as task:
                publishing = asyncio.gather(*(publish(log, number) for number in range(4)))
                for _ in range(2):
                    before, crashed = len(confirmed), server.pid
                    await until(lambda before=before: len(confirmed) > before + 40)  # type: ignore[misc]
                    os.kill(crashed, signal.SIGKILL)
                    await until(lambda crashed=crashed: server.pid != crashed)  # type: ignore[misc]
                await publishing
                await store.retrying(lambda connection: connection.fetchval("SELECT 1"))
                ends = sum(end for _, end in (await log.bounds(TOPIC)).values())
                await handles(store, ends, task)
            await assert_each_once_in_order(store, log)
            assert set(confirmed) <= {row["value"] for row in await handled(store)}
            assert len(set(confirmed)) == 240


async def test_a_stopped_process_that_wakes_up_commits_nothing(
    log: PostgresLog, store: Store, scratch: Progress, database: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = await asyncio.create_subprocess_exec(sys.executable, __file__, database, env=environment)
    try:
        await until_true(store, "SELECT count(*) = 4 FROM scratch.progress")
        await log.publish(TOPIC, [message(f"{n}") for n in range(40)])
        await until_true(store, "SELECT count(*) > 0 FROM scratch.begun")
        child.send_signal(signal.SIGSTOP)
        async with consuming(log, store, scratch, keeping(store, "b"), member="b") as task:
            await handles(store, 40, task)
            child.send_signal(signal.SIGCONT)
            await log.publish(TOPIC, [message(f"{n}") for n in range(40)])
            await handles(store, 80, task)
            await until_true(store, "SELECT count(DISTINCT owner) = 2 FROM log.assignment")
            await until_true(store, "SELECT count(*) > 0 FROM scratch.refused")
        await log.publish(TOPIC, [message(f"{n}") for n in range(40)])
        await handles(store, 120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
            child.terminate()
        await child.wait()
    await assert_each_once_in_order(store, log)


async def _member(dsn: str) -> None:
    """A member in a process of its own: says when it has begun a batch, and when one was refused."""
    async with Store.open(dsn) as store, PostgresLog.open(store, lease=LEASE) as log:
        await store.execute(
            "CREATE TABLE IF NOT EXISTS scratch.begun (); CREATE TABLE IF NOT EXISTS scratch.refused ()"
        )
        keep = keeping(store, "child")

        async def handle(batch: Batch) -> None:
            await store.execute("INSERT INTO scratch.begun DEFAULT VALUES")
            await asyncio.sleep(0.3)  # long enough to be stopped in the middle
            try:
                await keep(batch)
            except FencedError:
                await store.execute("INSERT INTO scratch.refused DEFAULT VALUES")
                raise

        await consume(
            log, store, Progress("scratch"), group=GROUP, topics=[TOPIC], member="child", handle=handle, drain_seconds=5
        )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_member(sys.argv[1]))
