"""Who polls an account: one process at a time, whichever is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from services.contracts.app import Ability, Trouble
from services.contracts.connection import Account
from services.ingest.cursor import scan_again
from services.ingest.lease import LeaseLostError, leased
from services.ingest.poller import interval
from services.ingest.wish import Wishes
from services.runtime.store import Store
from tests.integration.directory import Directory
from tests.integration.ingest_rig import connect, register
from tests.integration.poll_rig import Rig, opened

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
async def rig(store: Store, eventually: Eventually) -> AsyncIterator[Rig]:
    async with opened(store, eventually) as rig:
        yield rig


async def test_two_processes_read_an_account_once(rig: Rig) -> None:
    for number in range(20):
        rig.app.put(f"c{number}", f"c{number}@example.org")
    async with rig.pollers(holder="one"), rig.pollers(holder="two"):
        await rig.until("state = 'live' AND poll_number > 20")
    scans = [cursor for what, cursor in rig.app.requests if what == "scan"]
    assert scans == [None, *(str(page) for page in range(2, 20, 2))]
    lease = await rig.store.fetchrow("SELECT * FROM ingest.lease")
    assert lease is not None
    assert len(await rig.changed()) == 20


async def test_a_process_that_stops_gives_its_accounts_to_the_other_at_once(rig: Rig, eventually: Eventually) -> None:
    async with rig.pollers(holder="one"):
        await rig.until("state = 'live'")
        async with rig.pollers(holder="two"):
            # The second has looked once, and leaves the account to the first.
            number = (await rig.row())["poll_number"]
            await rig.until(f"poll_number > {number + 3}")
            assert await rig.store.fetchval("SELECT token FROM ingest.lease WHERE account = 'dir'") == 1
    async with rig.pollers(holder="three"):

        async def taken() -> bool:
            row = await rig.store.fetchrow("SELECT holder, expires_at > now() AS held FROM ingest.lease")
            return row is not None and row["held"] and row["holder"] == "three"

        await eventually(taken, seconds=4.0)  # less than the lease's length


async def test_an_account_of_a_process_that_died_is_taken_over_when_its_lease_ends(rig: Rig) -> None:
    rig.app.put("a", "a@example.org")
    await rig.store.execute("INSERT INTO ingest.lease VALUES ('dir', 7, 'dead', clock_timestamp() + interval '0.6 s')")
    ends = await rig.store.fetchval("SELECT expires_at FROM ingest.lease")
    async with rig.pollers():
        await rig.until("state = 'live'")
    assert (await rig.row())["scan_started_at"] >= ends
    assert await rig.store.fetchval("SELECT token FROM ingest.lease") == 8


async def test_a_poller_whose_lease_went_saves_nothing_and_asks_nothing_more(rig: Rig, eventually: Eventually) -> None:
    rig.app.put("a", "a@example.org")
    rig.app.open.clear()
    async with rig.pollers():
        await rig.until("poll_number = 1")
        await rig.store.execute(
            "UPDATE ingest.lease SET token = token + 1, holder = 'thief', expires_at = now() + interval '1 h'"
        )
        rig.app.open.set()

        async def published() -> bool:
            return bool(await rig.changed())

        await eventually(published)  # at most what was under way
    row = await rig.row()
    assert (row["state"], row["poll_number"], row["scan_pages"], row["page_cursor"]) == ("scanning", 1, 0, None)
    assert len(rig.app.requests) == 1
    assert await rig.store.fetchval("SELECT holder FROM ingest.lease") == "thief"


async def test_a_lease_is_kept_while_its_holder_lives_and_lost_when_it_was_taken(
    store: Store, eventually: Eventually
) -> None:
    async with leased(store, "dir", holder="one", seconds=1.5) as mine:
        assert mine is not None
        keeping = asyncio.create_task(mine.keep())
        first = await store.fetchval("SELECT expires_at FROM ingest.lease")

        async def renewed() -> bool:
            return bool(await store.fetchval("SELECT expires_at > $1 FROM ingest.lease", first))

        await eventually(renewed)
        async with leased(store, "dir", holder="two", seconds=0.3) as other:
            assert other is None
        await store.execute("UPDATE ingest.lease SET token = 9")
        with pytest.raises(LeaseLostError):
            await keeping
        with pytest.raises(LeaseLostError):
            async with store.transaction() as connection:
                await mine.prove(connection)


async def test_accounts_are_polled_while_a_connection_uses_them(rig: Rig, eventually: Eventually) -> None:
    await register(rig.store, "later", "directory")
    async with rig.pollers() as pollers:
        await rig.until("state = 'live'")
        assert await rig.store.fetchval("SELECT count(*) FROM ingest.cursor WHERE account = 'later'") == 0
        await connect(rig.store, "later", "other")
        pollers.changed()

        async def scanned() -> bool:
            live = "SELECT state = 'live' FROM ingest.cursor WHERE account = 'later'"
            return bool(await rig.store.fetchval(live))

        await eventually(scanned)
        await rig.store.execute("UPDATE registry.account SET removed_at = now() WHERE name = 'dir'")
        pollers.changed()

        async def let_go() -> bool:
            held = "SELECT expires_at > clock_timestamp() FROM ingest.lease WHERE account = 'dir'"
            return not await rig.store.fetchval(held)

        await eventually(let_go)
    cursor = (await rig.row())["poll_number"]
    assert cursor > 0  # the numbers stay, so that the name's ids never begin anew


async def test_a_wish_polls_at_once_and_many_wishes_are_one_poll(rig: Rig) -> None:
    rig.app = Directory(poll_interval=3600)
    wish = Wishes(rig.store)
    async with rig.pollers():
        await rig.until("state = 'live'")
        rig.app.put("a", "a@example.org")
        rig.app.open.clear()
        number = (await rig.row())["poll_number"]
        await wish("dir")
        await rig.until(f"poll_number = {number + 1}")
        # None of these knows whether the poll under way sees its news: together they are one more.
        await asyncio.gather(*(wish("dir") for _ in range(50)), wish("nobody"))
        rig.app.put("b", "b@example.org")
        rig.app.open.set()
        await rig.until("feed_cursor = '2' AND next_poll_at > clock_timestamp()")
        assert (await rig.row())["poll_number"] == number + 2


async def test_a_wish_in_another_process_is_heard_by_the_one_that_polls(rig: Rig, database: str) -> None:
    rig.app = Directory(poll_interval=3600)
    async with rig.pollers(), Store.open(database) as elsewhere:
        await rig.until("state = 'live' AND next_poll_at > clock_timestamp()")
        rig.app.put("a", "a@example.org")
        await Wishes(elsewhere)("dir")
        await rig.until("feed_cursor = '1'")


async def test_a_wish_while_nobody_polls_is_kept(rig: Rig) -> None:
    rig.app = Directory(poll_interval=3600)
    async with rig.pollers():
        await rig.until("state = 'live' AND next_poll_at > clock_timestamp()")
    rig.app.put("a", "a@example.org")
    await Wishes(rig.store)("dir")
    async with rig.pollers():
        await rig.until("feed_cursor = '1'")


async def test_a_wish_in_the_midst_of_pages_has_the_feed_read_once_more(rig: Rig) -> None:
    rig.app = Directory(poll_interval=3600, page=1)
    async with rig.pollers():
        await rig.until("state = 'live' AND next_poll_at > clock_timestamp()")
        number = (await rig.row())["poll_number"]
        for name in "abc":
            rig.app.put(name, f"{name}@example.org")
        rig.app.open.clear()
        await Wishes(rig.store)("dir")
        await rig.until(f"poll_number = {number + 1}")
        await Wishes(rig.store)("dir")
        rig.app.open.set()
        await rig.until("feed_cursor = '3' AND next_poll_at > clock_timestamp()")
        assert (await rig.row())["poll_number"] == number + 4  # three pages, and one for the wish


async def test_a_wish_does_not_shorten_the_pause_after_trouble(rig: Rig) -> None:
    rig.app = Directory(poll_interval=3600)
    rig.app.answers.append(Trouble(key=503, detail="Away.", retry_after=3000))
    async with rig.pollers():
        await rig.until("trouble_count = 1 AND next_poll_at > clock_timestamp()")
        before = await rig.row()
        await Wishes(rig.store)("dir")
        after = await rig.row()
        assert timedelta(0) < after["next_poll_at"] - before["next_poll_at"] < timedelta(seconds=1)
        assert after["poll_number"] == before["poll_number"]


async def test_a_scan_that_is_asked_for_begins_at_once(rig: Rig) -> None:
    for feed in (True, False):
        rig.app = Directory(poll_interval=3600, feed=feed)
        async with rig.pollers():
            await rig.until("state = 'live'")
            number = (await rig.row())["scan_number"]
            async with rig.store.transaction() as connection:
                assert await scan_again(connection, "dir")
                assert not await scan_again(connection, "nobody")
            await rig.until(f"state = 'live' AND scan_number = {number + 1}")


async def test_an_app_without_a_feed_is_scanned_and_left_alone(rig: Rig) -> None:
    rig.app = Directory(feed=False)
    rig.app.put("a", "a@example.org")
    async with rig.pollers():
        await rig.until("state = 'live'")
        await Wishes(rig.store)("dir")
    assert [what for what, _ in rig.app.requests] == ["scan"]


@pytest.mark.parametrize(
    ("feed", "declared", "setting", "seconds"),
    [
        (True, 30.0, None, 30.0),
        (True, 30.0, "5", 5.0),
        (True, 30.0, "0", None),
        (True, 0.0, None, None),
        (True, 0.0, "2.5", 2.5),
        (True, 30.0, "soon", 30.0),
        (True, 30.0, "nan", 30.0),
        (True, 30.0, "-1", None),
        (False, 30.0, "5", None),
    ],
)
def test_how_often_a_feed_is_polled(feed: bool, declared: float, setting: str | None, seconds: float | None) -> None:
    app = Directory(poll_interval=declared, feed=feed)
    assert (Ability.POLL in app.manifest.abilities) is feed
    account = Account(name="dir", app="directory", settings={} if setting is None else {"poll_seconds": setting})
    assert interval(app, account) == seconds
