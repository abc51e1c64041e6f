"""The journal agrees with what happened, and is kept by day (P17)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from services.contracts.commands import Create, Update
from services.runtime.log import EVENTS, RECEIPTS, commands_topic
from services.runtime.store import Store
from services.sync.days import AHEAD, KEPT, tend_days
from tests.integration.sync_messages import changed, message, of, one, shop, written
from tests.integration.sync_rig import Rig, active, rig

ROUNDS = 40


async def test_p17_numbers_agree_with_the_order_of_every_conflict(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        ends = asyncio.Event()

        async def edit() -> None:
            for turn in range(1, ROUNDS + 1):
                await events.take(changed("shop", "cus", shop(f"Ada {turn}", "cus@example.com"), at=100 * turn))
            ends.set()

        async def answer() -> None:
            at = 50
            while True:
                over = ends.is_set()
                updates = of(await made.drain(), Update)
                for update in updates:
                    at += 10
                    fields = {"email": ("cus@example.com",), **update.fields}
                    await receipts.take(written(update, at=at, fields=fields))
                if over and not updates:
                    return
                await asyncio.sleep(0)

        await asyncio.gather(edit(), answer())
        rows = [row for row in await made.journal() if str(row["link"]) == link.id]
        unsettled = 0
        for row in rows[2:]:
            unsettled += ("update" in row["outcome"].split("+")) - (row["outcome"] == "written")
            assert unsettled in (0, 1), [(row["number"], row["outcome"]) for row in rows]
        assert unsettled == 0
        assert [row["number"] for row in rows] == sorted({row["number"] for row in rows})
        for topic in (EVENTS, RECEIPTS):
            positions = [row["position"] for row in rows if row["topic"] == topic]
            assert positions == sorted(positions)
        after = await made.link()
        assert after.base["name"].left == f"Ada {ROUNDS}"
        assert after.right.issued == after.right.settled == sum("update" in row["outcome"] for row in rows) + 1


async def test_p17_a_batch_of_unchanged_observations_leaves_one_row(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        people = [changed("shop", f"cus-{at}", shop("P", f"p{at}@example.com")) for at in range(50)]
        await events.take(*people)
        before = len(await made.journal())
        await events.take(*people)
        rows = (await made.journal())[before:]
        assert [(row["outcome"], row["position"], row["link"]) for row in rows] == [("nothing", 99, None)]


async def test_p17_a_batch_of_known_events_leaves_none(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        known = [message(changed("shop", f"cus-{at}", shop("P", f"p{at}@example.com"))) for at in range(5)]
        await events.take(*known)
        before = await made.content()
        await events.take(*known)
        assert await made.content() == before


async def test_p17_every_changed_observation_is_in_the_journal_with_its_place(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(EVENTS, 2), await made.own(RECEIPTS, 3)
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        await receipts.take(written(one(await made.drain(), Create), at=10))
        rows = await made.journal()
        places = {(row["topic"], row["partition"], row["position"]) for row in rows}
        assert places == {(EVENTS, 2, 0), (RECEIPTS, 3, 0)}
        assert all(row["day"] == row["at"].date() for row in rows)
        assert not await store.fetchval("SELECT count(*) FROM sync.parked")
        assert commands_topic("book_app") not in {row["topic"] for row in rows}


async def days(store: Store, table: str) -> set[str]:
    rows = await store.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = $1::text::regclass",
        f"sync.{table}",
    )
    return {row["relname"] for row in rows} - {f"{table}_default"}


def expected(table: str, today: datetime) -> set[str]:
    return {f"{table}_{today + timedelta(days=ahead):%Y%m%d}" for ahead in range(1, AHEAD + 1)}


async def tend(store: Store) -> None:
    await store.retrying(tend_days, repeatable=True)


async def today(store: Store) -> datetime:
    day = await store.fetchval("SELECT current_date")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def test_p17_days_are_made_ahead_by_two_at_once_and_again(store: Store) -> None:
    async with rig(store):
        await asyncio.gather(tend(store), tend(store))
        await tend(store)
        for table in KEPT:
            assert await days(store, table) == expected(table, await today(store))


async def test_p17_old_days_are_dropped_whole_and_kept_ones_stay(store: Store) -> None:
    async with rig(store):
        now = await today(store)
        for table, kept in KEPT.items():
            for age in (kept - 1, kept, kept + 1, kept + 2):
                day = (now - timedelta(days=age)).date()
                await store.execute(
                    f"CREATE TABLE sync.{table}_{day:%Y%m%d} PARTITION OF sync.{table}"
                    f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
                )
            day = (now - timedelta(days=kept + 30)).date()
            columns, values = ("account, event_id", "'a', 'old'")
            if table == "journal":
                columns, values = "number, input, cause, at, outcome, reason", "1, '', '', now(), '', ''"
            if table == "input":
                columns, values = "number, xid, now, config, effect, body", "1, '1', 0, '', '', '{}'"
            await store.execute(f"INSERT INTO sync.{table} (day, {columns}) VALUES ($1, {values})", day)  # noqa: S608
        await tend(store)
        for table, kept in KEPT.items():
            left = {f"{table}_{now - timedelta(days=age):%Y%m%d}" for age in (kept - 1, kept)}
            assert await days(store, table) == expected(table, now) | left
            assert await store.fetchval(f"SELECT count(*) FROM sync.{table}") == 0  # noqa: S608
        assert not await store.fetchval("SELECT whole FROM sync.input_start")


async def first_steps(made: Rig) -> None:
    events = await made.own()
    await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))


async def test_p17_rows_that_came_before_their_day_are_found_where_they_are(store: Store) -> None:
    async with rig(store) as made:
        await first_steps(made)
        before = await made.content()
        await tend(store)
        await tend(store)
        assert await made.content() == before
        await (await made.own(EVENTS, 1)).take(changed("shop", "eve", shop("Eve", "eve@example.com")))
        assert len(await made.journal()) == 2


async def test_p17_days_are_made_beside_a_batch_that_is_under_way(store: Store) -> None:
    async with rig(store):
        async with store.transaction() as database:
            await database.execute("INSERT INTO sync.inbox VALUES (current_date, 'shop', 'evt_first')")
            tending = asyncio.create_task(tend(store))
            await asyncio.wait({tending}, timeout=0.5)
        await tending
        assert await days(store, "inbox") >= expected("inbox", await today(store))
        assert await store.fetchval("SELECT count(*) FROM sync.inbox") == 1
