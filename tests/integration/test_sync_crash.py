"""Workers that die around a commit: nothing is lost, nothing happens twice, and who lost a partition writes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.contracts.commands import Create, Update
from services.runtime.log import EVENTS, RECEIPTS, FencedError
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from tests.integration.sync_messages import changed, message, of, one, scan_finished, shop, written
from tests.integration.sync_rig import Rig, active, drained, rig, workers

Eventually = Callable[..., Awaitable[None]]
ROOT = Path(__file__).parents[2]
MIDST = "LOCK TABLE sync.journal IN SHARE MODE"
"""Whoever decides stops before the last of its writes."""
GATE = """
CREATE TABLE gate (shut boolean);
INSERT INTO gate VALUES (true);
CREATE FUNCTION pass_gate() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM FROM gate FOR UPDATE; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON sync.inbox_default DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION pass_gate()
"""
"""Whoever holds the gate's row stops others in the midst of their COMMIT."""
SHUT = "SELECT FROM gate FOR UPDATE"
ADA = changed("shop", "cus", shop("Ada", "ada@example.com"))


@contextlib.asynccontextmanager
async def child(made: Rig, member: str = "member-0") -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.sync_child", made.store.dsn, member, cwd=ROOT
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def end_sessions_waiting_for(made: Rig, holder: Database) -> None:
    pid = await holder.fetchval("SELECT pg_backend_pid()")
    await made.waiting_for(holder)
    await made.store.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))", pid
    )


async def once(made: Rig) -> None:
    """The one event has had its whole effect, once."""
    link = await made.link()
    assert link.right.issued == 1
    assert len(of(await made.commands(), Create)) == 1
    assert (await made.counts())["inbox"] == 1
    assert [row["outcome"] for row in await made.journal()] == ["create"]


async def test_a_worker_cancelled_before_its_commit_leaves_nothing_and_the_next_does_all(store: Store) -> None:
    async with rig(store) as made:
        first = await made.own()
        before = await made.counts()
        async with made.holding(MIDST) as holder:
            taking = asyncio.create_task(first.take(ADA))
            await made.waiting_for(holder)
            taking.cancel()
            await asyncio.wait({taking})
        assert await made.counts() == before
        second = await made.own()
        assert second.position == 0
        await second.take(ADA)
        await once(made)


async def test_a_connection_that_goes_before_the_commit_is_made_good_at_once(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        async with made.holding(MIDST) as holder:
            taking = asyncio.create_task(events.take(ADA))
            await end_sessions_waiting_for(made, holder)
        await taking
        await once(made)


async def test_a_connection_that_goes_in_the_midst_of_commit_is_looked_into(
    store: Store, eventually: Eventually
) -> None:
    async with rig(store) as made:
        await store.execute(GATE)
        async with workers(made, 1):
            async with made.holding(SHUT) as holder:
                await made.log.publish(EVENTS, [message(ADA)])
                await end_sessions_waiting_for(made, holder)
            await eventually(lambda: drained(made))
        await once(made)


async def test_a_worker_killed_before_its_commit_leaves_nothing_and_the_next_does_all(
    store: Store, eventually: Eventually
) -> None:
    async with rig(store) as made:
        await made.log.publish(EVENTS, [message(ADA)])
        before = await made.counts()
        async with made.holding(MIDST) as holder, child(made) as process:
            await made.waiting_for(holder, 20)
            process.kill()
            await process.wait()
        async with workers(made, 1):
            await eventually(lambda: drained(made))
        assert before["link"] == 0
        await once(made)


async def test_a_worker_killed_while_its_commit_is_unanswered_has_done_its_work(
    store: Store, eventually: Eventually
) -> None:
    async with rig(store) as made:
        await store.execute(GATE)
        await made.log.publish(EVENTS, [message(ADA)])
        async with made.holding(SHUT) as holder, child(made) as process:
            await made.waiting_for(holder, 20)
            process.kill()
            await process.wait()
        # The server finishes the COMMIT that nobody waits for any more.
        await eventually(lambda: drained(made))
        await once(made)
        async with workers(made, 1):
            await eventually(lambda: drained(made))
        await once(made)


async def test_a_replay_of_everything_changes_nothing(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        facts, answers = [message(ADA)], []
        await events.take(*facts)
        answers.append(message(written(one(await made.drain(), Create), at=10, contact_id="card")))
        await receipts.take(*answers)
        for turn in (1, 2, 3):
            facts.append(message(changed("shop", "cus", shop(f"Ada {turn}", "ada@example.com"), at=100 * turn)))
            await events.take(facts[-1])
            answers.append(message(written(one(await made.drain(), Update), at=100 * turn + 10)))
            await receipts.take(answers[-1])
        await made.sweep()
        before = {table: rows for table, rows in (await made.content()).items() if table != "journal"}
        await store.execute("UPDATE sync.progress SET next_offset = 0")
        again, answered = await made.own(), await made.own(RECEIPTS)
        await again.take(*facts)
        await answered.take(*answers)
        await made.sweep()
        assert {table: rows for table, rows in (await made.content()).items() if table != "journal"} == before
        assert not await made.commands()


async def test_p4_a_fenced_owner_keeps_nothing(store: Store) -> None:
    async with rig(store) as made:
        zombie = await made.own()
        owner = await made.own()
        with pytest.raises(FencedError):
            await zombie.take(ADA)
        assert set((await made.counts()).values()) == {0}
        await owner.take(ADA)
        with pytest.raises(FencedError):
            await zombie.take(ADA)
        await once(made)


async def test_an_owner_that_claims_during_a_commit_goes_on_after_it(store: Store) -> None:
    async with rig(store) as made:
        first = await made.own()
        async with made.holding(MIDST) as holder:
            taking = asyncio.create_task(first.take(ADA))
            await made.waiting_for(holder)
            claiming = asyncio.create_task(made.own())
            await made.locked(2)
        await taking
        second = await claiming
        assert second.position == 1
        with pytest.raises(FencedError):
            await first.take(changed("shop", "cus", shop("Late", "ada@example.com"), at=10))
        await once(made)


async def test_a_fenced_owner_of_a_scan_s_end_keeps_nothing(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        zombie = await made.own()
        await made.own()
        with pytest.raises(FencedError):
            await zombie.take(scan_finished("shop"))
        assert await store.fetchval("SELECT count(*) FROM sync.scan_pass") == 0


async def test_p0_receipts_with_the_version_of_another_write_move_no_base(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        old = one(await made.drain(), Update)
        await receipts.take(written(old, at=110))
        await events.take(changed("shop", "cus", shop("Zoe", "cus@example.com"), at=120))
        await receipts.take(written(old, at=115))
        after = (await made.links())[0]
        assert after.id == link.id
        assert after.right.pending is not None
        assert after.base["name"].left == "Eve"
