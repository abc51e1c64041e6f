"""Scanning, polling, looking and finding."""

import json

import pytest

from services.connectors.google_contacts import feed
from services.connectors.google_contacts.person import MASK
from services.connectors.google_contacts.sandbox import Limits
from services.contracts.app import CursorLost, Gone, Page, Seen, Trouble
from services.contracts.contact import Order
from services.contracts.receipts import Written
from tests.connectors.google_rig import LINK, Office, changed, create, deleted, must, tag

LONG = [f"p{n}@x.example" for n in range(feed.SIZE + 5)]


async def test_p7_a_scan_goes_page_by_page_and_ends_where_the_feed_begins() -> None:
    async with Office() as office:
        made = [office.box.hand.create(email) for email in LONG]
        readings, cursor = await office.scanned()
        assert [reading.id for reading in readings] == made
        assert await office.polled(cursor) == ([], (await office.polled(cursor))[1])


async def test_p7_a_scan_resumes_at_its_page() -> None:
    async with Office() as office:
        for email in LONG:
            office.box.hand.create(email)
        first = must(await office.app.scan(office.access(), None), Page)
        again = must(await office.app.scan(office.access(), first.cursor), Page)
        assert (first.more, again.more) == (True, False)
        assert must(await office.app.scan(office.access(), first.cursor), Page) == again


async def test_the_feed_shows_changes_with_their_labels_marks_guards_and_times() -> None:
    async with Office() as office:
        _, cursor = await office.scanned()
        made = must(await office.write(create()), Written).contact_id
        office.box.hand.label(made, "Customers")
        readings, _ = await office.polled(cursor)
        event = changed(readings)[made]
        source = office.box.hand.get(made)["metadata"]["sources"][0]
        assert (event.contact.tags, event.contact.mark, event.contact.guard) == (("Customers",), LINK, source["etag"])
        assert event.order.start == event.order.end
        assert json.loads(bytes(event.object))["resourceName"] == made
        assert event == msg_equal(event, await office.look(made))


def msg_equal(event: object, seen: Seen) -> object:
    assert getattr(event, "contact", None) == seen.contact
    assert getattr(event, "order", None) == seen.order
    return event


async def test_p13_a_deletion_is_looked_at_before_it_is_told() -> None:
    async with Office() as office:
        gone, back = office.box.hand.create("gone@x.example"), office.box.hand.create("back@x.example")
        _, cursor = await office.scanned()
        office.box.hand.delete(gone)
        office.box.hand.delete(back)
        office.box.people.delay = 300
        restored = office.box.hand.restore(back)
        readings, after = await office.polled(cursor)
        assert deleted(readings) == [gone]
        assert changed(readings)[back].contact.guard == restored["metadata"]["sources"][0]["etag"]
        deletion = next(reading.event for reading in readings if reading.id == gone)
        assert getattr(deletion, "order", None) == Order(office.micros(), office.micros())
        office.clock.advance(301)
        readings, _ = await office.polled(after)
        assert set(changed(readings)) == {back}


async def test_c5_a_merge_by_hand_shows_the_survivor_before_the_deletion() -> None:
    async with Office() as office:
        one, two = office.box.hand.create("a@x.example"), office.box.hand.create("b@x.example")
        _, cursor = await office.scanned()
        office.box.hand.delete(one)
        office.box.hand.update(two, emailAddresses=[{"value": "b@x.example"}, {"value": "a@x.example"}])
        readings, _ = await office.polled(cursor)
        assert [reading.id for reading in readings] == [two, one]


@pytest.mark.parametrize("redirects", [False, True])
async def test_c5_a_changed_resource_name_is_the_new_contact_and_the_end_of_the_old(redirects: bool) -> None:
    async with Office() as office:
        office.box.people.redirects = redirects
        old = must(await office.write(create()), Written).contact_id
        _, cursor = await office.scanned()
        new = office.box.hand.rename(old)
        readings, _ = await office.polled(cursor)
        assert (set(changed(readings)), deleted(readings)) == ({new}, [old])
        assert changed(readings)[new].contact.mark == LINK
        assert [reading.id for reading in readings] == [new, old]


async def test_e5_a_restored_contact_is_seen_again() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        office.box.hand.delete(made)
        _, cursor = await office.scanned()
        office.clock.advance(60)
        office.box.hand.restore(made)
        readings, _ = await office.polled(cursor)
        assert changed(readings)[made].order.start > office.micros() - 1_000_000


@pytest.mark.parametrize("status", [400, 410])
async def test_an_expired_sync_token_is_a_lost_cursor_and_a_scan_starts_over(status: int) -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        _, cursor = await office.scanned()
        office.clock.advance(7 * 86400 + 60)
        if status == 410:
            office.box.faults.fail(410, "GET", "*/connections", reason="EXPIRED_SYNC_TOKEN")
        assert "7 days" in must(await office.app.poll(office.access(), cursor), CursorLost).reason
        readings, cursor = await office.scanned()
        assert set(changed(readings)) == {made}
        assert await office.polled(cursor)


@pytest.mark.parametrize("cursor", ["", "[]", "{", '{"fields":"names"}', "\udc80"])
async def test_a_cursor_of_another_make_is_lost(cursor: str) -> None:
    async with Office() as office:
        must(await office.app.poll(office.access(), cursor), CursorLost)
        assert len(office.box.requests) == 0


async def test_a_broken_page_token_is_a_lost_cursor() -> None:
    async with Office() as office:
        cursor = json.dumps({"fields": MASK, "page": "gibberish"})
        must(await office.app.scan(office.access(), cursor), CursorLost)


async def test_any_other_400_is_no_lost_cursor() -> None:
    async with Office() as office:
        _, cursor = await office.scanned()
        office.box.faults.fail(400, "GET", "*/connections", rpc="INVALID_ARGUMENT")
        assert must(await office.app.poll(office.access(), cursor), Trouble).key == 400


async def test_a_full_syncs_quota_is_a_throttle() -> None:
    async with Office() as office:
        office.box.quota.limits = Limits(full_sync=0)
        assert must(await office.app.scan(office.access(), None), Trouble).key == 429


async def test_the_feed_goes_page_by_page() -> None:
    async with Office() as office:
        _, cursor = await office.scanned()
        made = [office.box.hand.create(email) for email in LONG]
        readings, cursor = await office.polled(cursor)
        assert [reading.id for reading in readings] == made
        for name in made:
            office.box.hand.delete(name)
        readings, cursor = await office.polled(cursor)
        assert sorted(deleted(readings)) == sorted(made)
        assert (await office.polled(cursor))[0] == []


async def test_a_label_deleted_since_the_feeds_state_is_asked_for_once() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        office.box.hand.label(made, "Old")
        office.box.people.delay = 300
        office.box.hand.delete_label("Old")
        for _ in range(3):
            readings, cursor = await office.scanned()
            assert changed(readings)[made].contact.tags == ()
        assert len(office.box.requests.to("GET", "/v1/contactGroups")) == 1
        office.clock.advance(301)
        readings, _ = await office.polled(cursor)
        assert changed(readings)[made].contact.tags == ()


async def test_a_page_with_nothing_new_costs_one_request() -> None:
    async with Office() as office:
        _, cursor = await office.scanned()
        office.box.requests.clear()
        await office.polled(cursor)
        assert len(office.box.requests) == 1


async def test_labels_are_read_once_and_again_when_a_new_one_appears() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        await office.look(made)
        await office.look(made)
        office.box.hand.label(made, "New")
        assert (await office.look(made)).contact.tags == ("New",)
        assert len(office.box.requests.to("GET", "/v1/contactGroups")) == 2


async def test_a_renamed_label_is_seen_after_ten_minutes() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        office.box.hand.label(made, "Old")
        assert (await office.look(made)).contact.tags == ("Old",)
        office.box.hand.rename_label("Old", "New")
        office.clock.advance(601)
        assert (await office.look(made)).contact.tags == ("New",)


async def test_b4_labels_are_tags_and_the_systems_groups_are_not() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        await office.call("POST", "contactGroups/starred/members:modify", body={"resourceNamesToAdd": [made]})
        office.box.hand.label(made, "B")
        office.box.hand.label(made, "A")
        assert (await office.look(made)).contact.tags == ("A", "B")


async def test_a_deleted_contact_is_gone_for_a_look() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        office.box.hand.delete(made)
        gone = must(await office.app.look(office.access(), made), Gone)
        assert gone == Gone(contact_id=made, order=Order(office.micros(), office.micros()))


async def test_a_404_of_another_server_is_no_deletion() -> None:
    async with Office() as office:
        office.box.faults.fail(404, "GET", "/v1/people/*", rpc="OTHER")
        made = office.box.hand.create("ada@x.example")
        assert must(await office.app.look(office.access(), made), Trouble).key == "not_google"


@pytest.mark.parametrize("contact_id", ["", "people/", "people/c1/../../token", "people/c1?x=1", "otherContacts/c1"])
async def test_what_is_no_contacts_name_isnt_asked_for(contact_id: str) -> None:
    async with Office() as office:
        assert must(await office.app.look(office.access(), contact_id), Trouble).key == "no_contact_id"
        assert len(office.box.requests) == 0


@pytest.mark.parametrize(
    ("stored", "asked", "hit"),
    [
        ("Ada@X.example", "ada@x.example", True),
        (" ada@x.example ", "ada@x.example", True),
        ("ada@x.example.org", "ada@x.example", False),
        ("zoë@x.example", "zoë@x.example", True),
    ],
)
async def test_c1_a_find_compares_normalized_and_exactly(stored: str, asked: str, hit: bool) -> None:
    async with Office() as office:
        made = office.box.hand.create(stored)
        assert await office.find(asked) == ([made] if hit else [])


async def test_p8_a_find_sees_our_own_contact_before_searches_do() -> None:
    async with Office(delay=300) as office:
        made = must(await office.write(create()), Written).contact_id
        assert await office.find("ada@x.example") == [made]
        assert await office.find("nobody@x.example") == []
        office.clock.advance(901)
        office.box.requests.clear()
        assert await office.find("ada@x.example") == [made]
        assert office.box.requests.to("GET", "*batchGet") == []


async def test_a_searchs_cache_is_warmed_once_in_ten_seconds() -> None:
    async with Office() as office:
        for seconds in (0, 4, 9):
            office.clock.advance(seconds)
            await office.find("ada@x.example")
        queries = [each.params["query"] for each in office.box.requests.to("GET", "*searchContacts")]
        assert queries == ["", "ada@x.example", "ada@x.example", "", "ada@x.example"]


async def test_p5_labels_that_are_no_new_version_overlap_with_what_was_seen() -> None:
    async with Office() as office:
        office.box.people.labels_count = False
        made = office.box.hand.create("ada@x.example")
        before = await office.look(made)
        must(await office.write(tag(made)), Written)
        after = await office.look(made)
        assert after.order == before.order
        assert after.contact.tags != before.contact.tags
