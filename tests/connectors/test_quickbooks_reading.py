"""Customers read: their fields, deletions as inactivity, scans, changes, merges, finds."""

import pytest

from services.connectors.quickbooks import feed, query
from services.connectors.quickbooks.country import code
from services.connectors.quickbooks.customer import fields
from services.connectors.quickbooks.sandbox import Fail
from services.connectors.verdicts import verdict_on
from services.contracts.app import CursorLost, Gone, Page, Seen, Trouble, Verdict
from services.contracts.contact import Address, Order, PersonName
from tests.connectors.quickbooks_rig import LINK, Books, changed, deleted, must, touched


async def test_a_customer_is_read_with_its_fields_and_its_version() -> None:
    async with Books() as books:
        made = books.hand.create(
            "King's Groceries",
            "ada@x.example",
            Title="Ms.",
            GivenName="Ada",
            FamilyName="King",
            CompanyName="King Groceries",
            PrimaryPhone={"FreeFormNumber": "(555) 555-5555"},
            Mobile={"FreeFormNumber": "1"},
            WebAddr={"URI": "http://king.example"},
            BillAddr={"Line1": "1 Quay", "Line2": "Left", "Line3": "Door 2", "City": "Ghent", "Country": "BEL"},
            Notes="Likes tea\r\nand cake",
        )
        seen = await books.look(made)
        assert seen.order == Order(0, 0)
        assert seen.contact.guard == "0"
        assert seen.contact.mark is None
        assert seen.contact.fields == {
            "name": (PersonName(prefix="Ms.", given="Ada", family="King", full="King's Groceries"),),
            "PrimaryEmailAddr": ("ada@x.example",),
            "PrimaryPhone": ("(555) 555-5555",),
            "Mobile": ("1",),
            "AlternatePhone": (),
            "Fax": (),
            "BillAddr": (Address(line1="1 Quay", line2="Left, Door 2", city="Ghent", country="BE"),),
            "ShipAddr": (),
            "CompanyName": ("King Groceries",),
            "WebAddr": ("http://king.example",),
            "Notes": ("Likes tea\nand cake",),
        }


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"DisplayName": "Acme"}, (PersonName(full="Acme"),)),
        ({"DisplayName": "Acme (a@x.example)"}, (PersonName(full="Acme"),)),
        ({"DisplayName": "Acme (2)"}, (PersonName(full="Acme (2)"),)),
        ({"DisplayName": "Acme (2)", "Notes": f"[contactsync:{LINK}]"}, (PersonName(full="Acme"),)),
        ({"DisplayName": "Acme (Ghent)", "Notes": f"[contactsync:{LINK}]"}, (PersonName(full="Acme (Ghent)"),)),
        ({"DisplayName": "Acme", "CompanyName": "ACME"}, (PersonName(full="Acme"),)),
        ({"DisplayName": "Acme", "CompanyName": "ACME", "Notes": f"[contactsync:{LINK}]"}, ()),
        ({"DisplayName": "a@x.example", "PrimaryEmailAddr": {"Address": "a@x.example"}}, ()),
        ({"DisplayName": "Acme", "CompanyName": "Acme", "GivenName": "A"}, (PersonName(given="A", full="Acme"),)),
        ({}, ()),
    ],
)
def test_what_was_added_to_a_display_name_isnt_part_of_the_name(
    raw: dict[str, object], name: tuple[PersonName, ...]
) -> None:
    assert fields(raw)["name"] == name


@pytest.mark.parametrize("separator", [",", ", ", ";", " ; "])
def test_the_first_of_several_addresses_is_the_address(separator: str) -> None:
    raw = {"PrimaryEmailAddr": {"Address": f" a@x.example{separator}b@x.example"}}
    assert fields(raw)["PrimaryEmailAddr"] == ("a@x.example",)


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("BE", "BE"),
        ("be", "BE"),
        ("BEL", "BE"),
        ("USA", "US"),
        ("United  States", "US"),
        ("Elbonia", "Elbonia"),
        ("", ""),
    ],
)
def test_countries_are_two_letters_where_they_are_known(text: str, country: str) -> None:
    assert code(text) == country


@pytest.mark.parametrize(
    "notes",
    [
        f"[contactsync:{LINK}]",
        f"Text\n[contactsync:{LINK}]",
        f"Text\r\n  [contactsync:{LINK}]  \r\n",
        f"Before\n[contactsync:{LINK}]\nafter",
    ],
)
def test_our_line_in_the_notes_is_the_mark_and_no_part_of_the_note(notes: str) -> None:
    note = "".join(str(value) for value in fields({"Notes": notes})["Notes"])
    assert "contactsync" not in note
    assert note == note.strip()


async def test_p5_every_change_is_a_later_version() -> None:
    async with Books() as books:
        made = books.hand.create("Ada")
        before = await books.look(made)
        books.hand.update(made, Notes="x")
        after = await books.look(made)
        assert after.order.later_than(before.order)
        books.hand.invoice(made)
        billed = await books.look(made)
        assert (billed.order, billed.contact) == (after.order, after.contact)


async def test_an_inactive_customer_is_gone_and_comes_back_when_it_is_active_again() -> None:
    async with Books() as books:
        made = books.hand.create("Ada", "ada@x.example")
        books.hand.deactivate(made)
        gone = must(await books.app.look(books.access(), made), Gone)
        assert gone.order == Order(1, 1)
        assert await books.find("ada@x.example") == []
        books.hand.reactivate(made)
        back = await books.look(made)
        assert back.order.later_than(gone.order)
        assert await books.find("ada@x.example") == [made]


async def test_p5_an_absence_without_a_version_can_be_told_from_none() -> None:
    async with Books() as books:
        one, two = books.hand.create("One"), books.hand.create("Two")
        seen = await books.look(one)
        books.hand.merge(one, two)
        gone = must(await books.app.look(books.access(), one), Gone)
        assert not gone.order.later_than(seen.order)
        assert not seen.order.later_than(gone.order)


async def test_a_find_sees_the_first_address_whatever_its_case_and_quotes_what_is_special() -> None:
    async with Books() as books:
        one = books.hand.create("One", "Ada.O'Neil@X.example, other@x.example")
        books.hand.create("Two", "zada.o'neil@x.example")
        assert await books.find("ada.o'neil@x.example") == [one]
        assert await books.find("other@x.example") == []
        three = books.hand.create("Three", "50%off@x.example")
        books.hand.create("Four", "50-and-off@x.example")
        assert await books.find("50%off@x.example") == [three]


@pytest.mark.parametrize("text", ["", "it's", "back\\slash", "\\'", "'; DROP", "Zoë"])
def test_texts_are_quoted(text: str) -> None:
    quoted = query.quoted(text)
    assert quoted[0] == quoted[-1] == "'"
    assert quoted[1:-1].replace("\\\\", "").replace("\\'", "").count("'") == 0


async def test_a_scan_shows_everybody_once_over_many_pages_and_inactive_ones_as_gone() -> None:
    async with Books() as books:
        made = [books.hand.create(f"Customer {n}") for n in range(2 * query.PAGE + 5)]
        books.hand.deactivate(made[0])
        readings, _ = await books.scanned()
        assert sorted(changed(readings)) == sorted(made[1:])
        assert deleted(readings) == [made[0]]
        assert len(readings) == len(made)
        assert len(books.box.requests.to("GET", "*/query")) == 3


async def test_a_merge_during_a_scan_hides_nobody() -> None:
    async with Books() as books:
        made = [books.hand.create(f"Customer {n}") for n in range(query.PAGE + 5)]
        first = must(await books.app.scan(books.access(), None), Page)
        books.hand.merge(made[0], made[1])
        second = must(await books.app.scan(books.access(), first.cursor), Page)
        assert {*changed(first.readings), *changed(second.readings)} == set(made)


async def test_the_feed_has_what_was_made_changed_made_inactive_and_merged() -> None:
    async with Books() as books:
        kept, gone, merged = (books.hand.create(name) for name in ("Kept", "Gone", "Merged"))
        _, cursor = await books.scanned()
        books.clock.advance(3600)
        new = books.hand.create("New")
        books.hand.update(kept, Notes="changed")
        books.hand.deactivate(gone)
        books.hand.merge(merged, kept)
        readings, cursor = await books.polled(cursor)
        assert sorted(changed(readings)) == sorted([kept, new])
        assert changed(readings)[kept].contact.fields["Notes"] == ("changed",)
        assert deleted(readings) == [gone]
        assert touched(readings) == [merged]
        again, _ = await books.polled(cursor)
        assert again == []
        books.hand.update(kept, Notes="once more")
        readings, cursor = await books.polled(cursor)
        assert list(changed(readings)) == [kept]
        assert len(readings) == 1
        books.clock.advance(3600)
        assert (await books.polled(cursor))[0] == []


async def test_a_change_while_the_scan_runs_is_in_the_first_poll() -> None:
    async with Books() as books:
        made = books.hand.create("Ada")
        first = must(await books.app.scan(books.access(), None), Page)
        books.hand.update(made, Notes="meanwhile")
        books.clock.advance(300)
        readings, _ = await books.polled(first.cursor)
        assert changed(readings)[made].contact.fields["Notes"] == ("meanwhile",)


async def test_a_cursor_of_a_month_ago_is_lost_without_a_question() -> None:
    async with Books() as books:
        _, cursor = await books.scanned()
        books.clock.advance(feed.KEPT + 1)
        asked = len(books.box.requests)
        must(await books.app.poll(books.access(), cursor), CursorLost)
        assert len(books.box.requests) == asked


async def test_more_changes_than_one_answer_holds_need_a_scan() -> None:
    async with Books() as books:
        _, cursor = await books.scanned()
        for n in range(feed.MOST):
            books.hand.create(f"Customer {n}")
        must(await books.app.poll(books.access(), cursor), CursorLost)


@pytest.mark.parametrize("cursor", ["", "{}", "[]", '{"since":"x"}'])
async def test_a_cursor_that_isnt_one_is_lost(cursor: str) -> None:
    async with Books() as books:
        must(await books.app.poll(books.access(), cursor), CursorLost)
        must(await books.app.scan(books.access(), cursor), CursorLost)


@pytest.mark.parametrize(
    ("status", "code", "key", "verdict"),
    [
        (400, "5010", "5010", Verdict.STALE),
        (400, "610", "610", Verdict.GONE),
        (400, "2010", 400, Verdict.REFUSE),
        (400, "6190", "6190", Verdict.REAUTHORISE),
        (400, "120", "120", Verdict.REAUTHORISE),
        (403, "003100", "3100", Verdict.REAUTHORISE),
        (403, "", 403, Verdict.REAUTHORISE),
        (429, "003001", "3001", Verdict.THROTTLED),
        (429, "", 429, Verdict.THROTTLED),
        (404, "", "not_quickbooks", Verdict.UNKNOWN),
        (500, "10000", 500, Verdict.UNKNOWN),
        (503, "", 503, Verdict.UNKNOWN),
    ],
)
async def test_what_errors_mean(status: int, code: str, key: int | str, verdict: Verdict) -> None:
    async with Books() as books:
        books.box.faults.fail(status, code, "GET")
        answer = must(await books.app.find(books.access(), "a@x.example"), Trouble)
        assert (answer.key, verdict_on(answer, books.app.manifest)) == (key, verdict)
        assert answer.retry_after == (60.0 if status == 429 else None)


async def test_a_fault_in_a_success_is_no_success() -> None:
    async with Books() as books:
        books.box.faults.fail(200, "610", "GET")
        must(await books.app.look(books.access(), "1"), Gone)
        books.box.faults.fail(200, "5020", "GET")
        assert (
            verdict_on(must(await books.app.look(books.access(), "1"), Trouble), books.app.manifest) is Verdict.UNKNOWN
        )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"CDCResponse":[{}]}',
        b'{"CDCResponse":[{"QueryResponse":[{"Fault":{"Error":[]}}]}]}',
        b'{"CDCResponse":[{"QueryResponse":[{"Customer":[{"Id":"1"}]}]}]}',
        b'{"CDCResponse":[{"QueryResponse":[{"Customer":[{"status":"Deleted","Id":"x"}]}]}]}',
        b'{"QueryResponse":{"Fault":{"Error":[{"code":"4000"}]}}}',
        b'{"QueryResponse":{"Customer":[{"Id":"1","SyncToken":"new"}]}}',
        b'{"Customer":{"Id":"2","SyncToken":"0"}}',
        b'{"Customer":null}',
    ],
)
async def test_an_answer_that_isnt_one_is_no_empty_one(body: bytes) -> None:
    async with Books() as books:
        _, cursor = await books.scanned()
        books.box.faults.add(Fail(200, body), "GET", times=4)
        for answer in (
            await books.app.scan(books.access(), None),
            await books.app.poll(books.access(), cursor),
            await books.app.look(books.access(), "1"),
            await books.app.find(books.access(), "a@x.example"),
        ):
            assert verdict_on(must(answer, Trouble), books.app.manifest) is Verdict.UNKNOWN


@pytest.mark.parametrize("ident", ["", "1/2", "x", "1?", "../1", "1" * 21, "٣"])
async def test_what_isnt_an_id_isnt_asked_for(ident: str) -> None:
    async with Books() as books:
        assert must(await books.app.look(books.access(), ident), Trouble).key == "no_contact_id"
        assert len(books.box.requests) == 0


async def test_an_account_without_a_company_asks_nothing_of_it() -> None:
    async with Books() as books:
        assert must(await books.app.look(books.access(realm="me"), "1"), Trouble).key == "no_credentials"
        assert books.box.requests.to("GET") == []


async def test_another_company_is_not_ours_to_ask() -> None:
    async with Books() as books:
        other = books.box.company("42")
        answer = must(await books.app.look(books.access(realm=other.realm), "1"), Trouble)
        assert verdict_on(answer, books.app.manifest) is Verdict.REAUTHORISE
        theirs = books.access(account="theirs", realm=other.realm, refresh_token=other.refresh_token)
        made = other.hand.create("Bea")
        must(await books.app.look(theirs, made), Seen)
