"""The first scan and the feed after it: what is published, under which ids, and what survives a crash."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import msgspec
import pytest

from services.contracts.app import CursorLost, Trouble
from services.contracts.envelope import event_key
from services.contracts.events import ContactChanged, ContactDeleted, ScanFinished
from services.ingest.cursor import scan_again
from services.runtime.store import Store
from tests.integration.ingest_rig import PARTITIONS, Found, records
from tests.integration.poll_rig import Refusing, Rig, Stalling, opened


@pytest.fixture
async def rig(store: Store, eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[Rig]:
    async with opened(store, eventually) as rig:
        yield rig


def by_contact(found: Sequence[Found]) -> Mapping[str, list[Found]]:
    grouped: dict[str, list[Found]] = {}
    for one in found:
        grouped.setdefault(one.envelope.subject, []).append(one)
    return grouped


async def test_a_new_account_is_scanned_and_then_followed(rig: Rig) -> None:
    for name in "abcde":
        rig.app.put(name, f"{name}@example.org")
    async with rig.pollers():
        await rig.until("state = 'live'")
        rig.app.put("f", "f@example.org")
        rig.app.put("a", None)
        await rig.until("feed_cursor = '7'")
    scanned = [found for found in await rig.changed() if found.message.scan is not None]  # type: ignore[union-attr]
    assert sorted(found.envelope.subject for found in scanned) == list("abcde")
    assert all(found.key == event_key("dir", found.envelope.subject) for found in scanned)
    assert {found.envelope.subject for found in await rig.changed()} == set("abcdef")
    gone = [found.message for found in await records(rig.store) if isinstance(found.message, ContactDeleted)]
    assert [message.contact_id for message in gone] == ["a"]
    assert rig.app.requests[:4] == [("scan", None), ("scan", "2"), ("scan", "4"), ("poll", "5")]
    row = await rig.row()
    assert (row["scan_number"], row["scan_pages"], row["scan_count"]) == (1, 3, 5)
    assert row["last_ok_at"] >= row["scan_finished_at"] > row["scan_started_at"]


async def test_p6_a_contact_that_changes_between_two_polls_of_one_cursor_gets_two_ids(rig: Rig) -> None:
    async with rig.pollers():
        await rig.until("state = 'live'")
    rig.app.put("a", "before@example.org")
    stalling = Stalling(rig.log)
    async with rig.pollers(stalling):
        await stalling.stalled.wait()  # published, and the process ends before the cursor is saved
    assert (await rig.row())["feed_cursor"] == "0"
    rig.app.history[0] = msgspec.structs.replace(rig.app.history[0], mail="after@example.org", version=2)
    async with rig.pollers():
        await rig.until("feed_cursor = '1'")
    found = by_contact(await rig.changed())["a"]
    mails = [one.message.contact.fields["mail"][0] for one in found]  # type: ignore[union-attr]
    assert mails == ["before@example.org", "after@example.org"]
    assert len({one.envelope.id for one in found}) == 2


async def test_p6_a_contact_twice_on_one_page_gets_two_ids(rig: Rig) -> None:
    async with rig.pollers():
        await rig.until("state = 'live'")
        rig.app.open.clear()
        rig.app.put("a", "one@example.org")
        rig.app.put("a", "two@example.org")
        rig.app.open.set()
        await rig.until("feed_cursor = '2'")
    ids = [found.envelope.id for found in await rig.changed()]
    assert len(ids) == len(set(ids)) == 2


async def test_p6_numbers_go_on_where_a_restored_database_would_repeat_them(rig: Rig) -> None:
    rig.app.put("a", "a@example.org")
    async with rig.pollers():
        await rig.until("state = 'live'")
    await rig.store.execute("UPDATE registry.incarnation SET n = n + 1")
    await rig.store.execute("UPDATE ingest.cursor SET poll_number = 0, state = 'scanning', page_cursor = NULL")
    async with rig.pollers():
        await rig.until("state = 'live'")
    assert sorted(found.envelope.id for found in await rig.changed()) == ["dir:1.1:a", "dir:2.1:a"]


async def test_p7_a_scan_resumes_at_its_page_and_counts_each_page_once(rig: Rig) -> None:
    for name in "abcde":
        rig.app.put(name, f"{name}@example.org")
    stalling = Stalling(rig.log, after=2)
    async with rig.pollers(stalling):
        await stalling.stalled.wait()
    row = await rig.row()
    assert (row["state"], row["page_cursor"], row["scan_count"], row["poll_number"]) == ("scanning", "2", 2, 2)
    assert await rig.ends() == []
    async with rig.pollers():
        await rig.until("state = 'live'")
    assert [request for request in rig.app.requests if request[0] == "scan"] == [
        ("scan", None),
        ("scan", "2"),
        ("scan", "2"),
        ("scan", "4"),
    ]
    ends = [found.message for found in await rig.ends()]
    assert {(end.number, end.count) for end in ends} == {(1, 5)}  # type: ignore[union-attr]


async def test_p7_the_end_of_a_scan_stands_in_every_partition_after_its_contacts(rig: Rig) -> None:
    for number in range(40):
        rig.app.put(f"c{number}", f"c{number}@example.org")
    async with rig.pollers():
        await rig.until("state = 'live'")
    row = await rig.row()
    start = int(row["scan_started_at"].timestamp() * 1_000_000)
    everything = await records(rig.store)
    assert {found.partition for found in everything} == set(range(PARTITIONS))
    for partition in range(PARTITIONS):
        *contacts, end = [found for found in everything if found.partition == partition]
        assert isinstance(end.message, ScanFinished)
        assert (end.message.account, end.message.number, end.message.count) == ("dir", 1, 40)
        assert abs(end.message.start - start) <= 1
        assert all(isinstance(found.message, ContactChanged) for found in contacts)


async def test_p7_an_empty_account_ends_its_scan_too(rig: Rig) -> None:
    async with rig.pollers():
        await rig.until("state = 'live'")
    assert [found.partition for found in await rig.ends()] == list(range(PARTITIONS))


async def test_p7_a_lost_page_token_starts_a_new_number_from_the_start(rig: Rig) -> None:
    for name in "abc":
        rig.app.put(name, f"{name}@example.org")
    stalling = Stalling(rig.log, after=2)
    async with rig.pollers(stalling):
        await stalling.stalled.wait()
    rig.app.answers = [CursorLost(reason="the page token has expired")]
    async with rig.pollers():
        await rig.until("state = 'live'")
    assert [cursor for what, cursor in rig.app.requests if what == "scan"] == [None, "2", "2", None, "2"]
    row = await rig.row()
    assert (row["scan_number"], row["scan_count"], row["last_trouble"]) == (2, 3, "the page token has expired")
    assert {found.message.number for found in await rig.ends()} == {2}  # type: ignore[union-attr]


async def test_a_lost_feed_cursor_starts_a_full_scan(rig: Rig) -> None:
    rig.app.put("a", "a@example.org")
    async with rig.pollers():
        await rig.until("state = 'live'")
        rig.app.answers = [CursorLost(reason="the feed is gone")]
        await rig.until("state = 'live' AND scan_number = 2")
    scans = {found.message.scan for found in await rig.changed()}  # type: ignore[union-attr]
    assert scans == {1, 2}
    assert len({found.envelope.id for found in await rig.ends()}) == 2


async def test_a_scan_that_is_asked_for_is_not_undone_by_a_page_under_way(rig: Rig) -> None:
    for name in "abc":
        rig.app.put(name, f"{name}@example.org")
    rig.app.open.clear()
    async with rig.pollers():
        await rig.until("poll_number = 1")
        async with rig.store.transaction() as connection:
            assert await scan_again(connection, "dir")
        rig.app.open.set()
        await rig.until("state = 'live'")
    row = await rig.row()
    assert (row["scan_number"], row["scan_pages"], row["scan_count"]) == (2, 2, 3)


async def test_what_the_log_did_not_take_is_read_again(rig: Rig) -> None:
    for name in "abc":
        rig.app.put(name, f"{name}@example.org")
    async with rig.pollers(Refusing(rig.log, after=1)):
        await rig.until("trouble_count = 1 AND last_trouble LIKE 'The log%'")
        await rig.until("state = 'live' AND trouble_since IS NULL")
    assert set(by_contact(await rig.changed())) == set("abc")


async def test_trouble_is_told_for_status_and_passes(rig: Rig) -> None:
    rig.app.put("a", "a@example.org")
    rig.app.answers = [
        Trouble(key=429, detail="too many requests", retry_after=0.01),
        Trouble(key="unanswered", detail="no answer", retry_after=0.01),
        Trouble(key=401, detail="the key was revoked", retry_after=0.01),
    ]
    async with rig.pollers():
        await rig.until("trouble_count = 3 AND last_trouble = 'the key was revoked'")
        row = await rig.row()
        assert row["next_poll_at"] - row["trouble_since"] > timedelta(seconds=30)  # only a person can help
        assert len(rig.app.requests) == 3
        await rig.store.execute("UPDATE ingest.cursor SET next_poll_at = now()")
        await rig.until("state = 'live' AND trouble_count = 0 AND trouble_since IS NULL")
    assert {found.envelope.subject for found in await rig.changed()} == {"a"}


async def test_a_fault_in_an_apps_reader_is_that_accounts_trouble(rig: Rig) -> None:
    rig.app.answers = [ValueError("ada@example.org")]
    async with rig.pollers():
        await rig.until("trouble_count = 1")
        assert "ada" not in (await rig.row())["last_trouble"]
        await rig.until("state = 'live'")


async def test_p10_everybody_is_read_anew_long_after_the_last_full_scan_and_what_no_feed_told_is_found(
    rig: Rig,
) -> None:
    rig.app.put("a", "a@example.org")
    async with rig.pollers(reconcile=3600):
        await rig.until("state = 'live'")
        rig.app.put("a", "missed@example.org")
        missed = str(len(rig.app.history))
        await rig.store.execute("UPDATE ingest.cursor SET feed_cursor = $1", missed)  # an edit that the feed lost
        await rig.store.execute("UPDATE ingest.cursor SET scan_finished_at = now() - interval '61 minutes'")
        await rig.until("scan_number = 2 AND state = 'live'")
        assert (await rig.row())["scan_count"] == 1
    mails = [found.message.contact.fields["mail"][0] for found in await rig.changed()]  # type: ignore[union-attr]
    assert mails == ["a@example.org", "missed@example.org"]
    assert [end.message.number for end in await rig.ends()][-1] == 2  # type: ignore[union-attr]


async def test_p10_a_full_scan_that_is_not_long_ago_is_not_repeated(rig: Rig) -> None:
    rig.app.put("a", "a@example.org")
    async with rig.pollers(reconcile=3600):
        await rig.until("state = 'live'")
        await rig.store.execute("UPDATE ingest.cursor SET scan_finished_at = now() - interval '59 minutes'")
        rig.app.put("b", "b@example.org")
        await rig.until("feed_cursor = '2'")
    assert (await rig.row())["scan_number"] == 1
