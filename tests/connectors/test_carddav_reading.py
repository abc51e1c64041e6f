"""Reading an address book of a real server: scans, the change feed, looks and finds."""

import itertools
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
import pytest_asyncio

from services.connectors.carddav import feed
from services.connectors.carddav.sandbox import CarddavSandbox
from services.contracts.app import CursorLost, Gone, Page, Seen, Trouble
from services.contracts.events import ContactDeleted
from services.runtime.http import client
from tests.connectors.carddav_rig import Rig, card, changed, deleted

pytestmark = pytest.mark.asyncio(loop_scope="module")
numbers = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CarddavSandbox]:
    async with CarddavSandbox(tmp_path_factory.mktemp("radicale")) as box:
        yield box


@pytest_asyncio.fixture(loop_scope="module")
async def rig(box: CarddavSandbox) -> AsyncIterator[Rig]:
    book = f"book{next(numbers)}"
    await box.make_book(book)
    async with client() as http:
        yield Rig(box, book, http)


async def test_a_scan_reads_every_card_page_by_page(rig: Rig) -> None:
    for n in range(feed.CHUNK + 20):
        await rig.put(f"{n}.vcf", card(f"u{n}", f"p{n}@x.example", "4.0" if n % 2 else "3.0"))
    first = await rig.app.scan(rig.access, None)
    assert isinstance(first, Page)
    assert (len(first.readings), first.more) == (feed.CHUNK, True)
    readings, cursor = await rig.scan()
    seen = changed(readings)
    assert len(seen) == feed.CHUNK + 20
    event = seen[rig.path + "7.vcf"]
    assert (event.origin, event.account) == ("scan", "office")
    assert event.contact.fields["email"] == ("p7@x.example",)
    assert event.contact.guard
    assert msgspec.json.decode(event.object)["href"] == rig.path + "7.vcf"
    assert (await rig.poll(cursor)).readings == ()


async def test_the_feed_lists_only_what_changed(rig: Rig) -> None:
    for n in range(3):
        await rig.put(f"{n}.vcf", card(f"u{n}"))
    _, cursor = await rig.scan()
    await rig.put("1.vcf", card("u1", "new@x.example"))
    await rig.put("new.vcf", card("u9"))
    await rig.box.delete(rig.url + "2.vcf")
    page = await rig.poll(cursor)
    assert set(changed(page.readings)) == {rig.path + "1.vcf", rig.path + "new.vcf"}
    assert deleted(page.readings) == {rig.path + "2.vcf"}
    assert {reading.event.origin for reading in page.readings if isinstance(reading.event, ContactDeleted)} == {"feed"}
    assert all(reading.id.startswith(rig.path) for reading in page.readings)
    assert (await rig.poll(page.cursor)).readings == ()


async def test_p5_an_observation_lies_between_the_start_and_the_end_of_its_request(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    before = rig.access.clock.now().timestamp() * 1e6
    seen = await rig.look(contact)
    after = rig.access.clock.now().timestamp() * 1e6
    assert before - 1 <= seen.order.start <= seen.order.end <= after + 1
    readings, _ = await rig.scan()
    assert changed(readings)[contact].order.later_than(seen.order)


async def test_a_card_that_vanishes_between_report_and_reading_is_deleted(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))

    async def send(request: httpx2.Request) -> httpx2.Response:
        if b"addressbook-multiget" in request.content:
            await rig.box.delete(rig.url + "a.vcf")
        return await rig.http.send(request)

    async with client(transport=httpx2.MockTransport(send)) as http:
        page = await rig.app.scan(rig.using(http), None)
    assert isinstance(page, Page)
    assert deleted(page.readings) == {contact}


async def test_an_unknown_token_loses_the_cursor(rig: Rig) -> None:
    await rig.scan()
    for token in ("http://radicale.org/ns/sync/" + "0" * 64, "nonsense"):
        cursor = msgspec.json.encode(feed.Cursor(book=rig.path, token=token)).decode()
        assert isinstance(await rig.app.poll(rig.access, cursor), CursorLost)
    assert isinstance(await rig.app.poll(rig.access, "nonsense"), CursorLost)
    other = msgspec.json.encode(feed.Cursor(book="/ada/other/", token="t")).decode()
    assert isinstance(await rig.app.poll(rig.access, other), CursorLost)


async def test_a_broken_card_and_a_group_are_left_out_and_stop_nothing(rig: Rig) -> None:
    await rig.put("good.vcf", card("good"))
    group = "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:g\r\nFN:All\r\nKIND:group\r\nMEMBER:urn:uuid:good\r\nEND:VCARD\r\n"
    broken = await rig.put("group.vcf", group)
    readings, cursor = await rig.scan()
    assert set(changed(readings)) == {rig.path + "good.vcf"}
    answer = await rig.app.look(rig.access, broken)
    assert isinstance(answer, Trouble)
    assert answer.key == "unreadable_card"
    await rig.put("group.vcf", card("g"))
    assert set(changed((await rig.poll(cursor)).readings)) == {broken}


async def test_a_look_sees_the_card_or_that_it_is_gone(rig: Rig) -> None:
    contact = await rig.put("Ä b%.vcf".replace(" ", "%20").replace("%.", "%25."), card("a"))
    seen = await rig.look(contact.replace("Ä", "%C3%84"))
    assert seen.contact.fields["email"] == ("ada@x.example",)
    readings, _ = await rig.scan()
    assert set(changed(readings)) == {seen.contact_id}
    gone = await rig.app.look(rig.access, rig.path + "nobody.vcf")
    assert isinstance(gone, Gone)


async def test_e1_a_missing_address_book_is_no_deletion_of_its_contacts(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    _, cursor = await rig.scan()
    await rig.box.delete(rig.url)
    for answer in (
        await rig.app.look(rig.access, contact),
        await rig.app.poll(rig.access, cursor),
        await rig.app.scan(rig.access, None),
        await rig.app.find(rig.access, "ada@x.example"),
    ):
        assert isinstance(answer, Trouble)
        assert answer.key == "no_address_book"


async def test_a_contact_of_another_address_book_is_not_taken_for_a_deleted_one(rig: Rig) -> None:
    for contact in (
        "/ada/other/a.vcf",
        rig.path,
        rig.path + "sub/a.vcf",
        rig.path + "..",
        "https://evil.example/a.vcf",
    ):
        answer = await rig.app.look(rig.access, contact)
        assert isinstance(answer, Trouble)
        assert answer.key == "another_book"


async def test_c3_a_find_compares_the_whole_address_without_case(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a", "Ada@X.example"))
    await rig.put("b.vcf", card("b", "nada@x.example"))
    await rig.put("c.vcf", card("c", "ada@x.example.org"))
    found = await rig.app.find(rig.access, "ada@x.example")
    assert isinstance(found, tuple)
    assert [seen.contact_id for seen in found] == [contact]
    assert await rig.app.find(rig.access, "nobody@x.example") == ()
    assert await rig.app.find(rig.access, '<&"\x00>@x') == ()


async def test_a_server_address_leads_to_the_only_address_book(rig: Rig) -> None:
    box, user = rig.box, f"solo{next(numbers)}"
    users = box._folder / "users"
    users.write_text(users.read_text() + f"{user}:pw\n")
    settings = {"url": box.origin, "username": user}
    access = msgspec.structs.replace(rig.access, settings=settings, credentials={"password": ("pw",)})
    none = await rig.app.scan(access, None)
    assert isinstance(none, Trouble), none
    assert none.key == "no_address_book"
    await rig.http.request(
        "MKCOL",
        f"{box.origin}/{user}/cards/",
        auth=(user, "pw"),
        content='<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype><collection/>'
        "<C:addressbook/></resourcetype></prop></set></mkcol>",
    )
    for url in (box.origin, f"{box.origin}/", f"{box.origin}/{user}/", f"{box.origin}/{user}/cards"):
        page = await rig.app.scan(msgspec.structs.replace(access, settings={**settings, "url": url}), None)
        assert isinstance(page, Page), page
        assert msgspec.json.decode(page.cursor)["book"] == f"/{user}/cards/"


async def test_several_address_books_are_named_and_a_wrong_password_is_refused(rig: Rig) -> None:
    several = await rig.app.scan(rig.using(rig.http, url=rig.box.origin), None)
    assert isinstance(several, Trouble)
    assert several.key == "several_address_books"
    assert "`url`" in several.detail
    wrong = msgspec.structs.replace(rig.access, account="wrong", credentials={"password": ("wrong",)})
    refused = await rig.app.scan(wrong, None)
    assert isinstance(refused, Trouble)
    assert refused.key == 401
    assert "wrong" not in refused.detail


async def test_no_connection_is_not_sent(rig: Rig) -> None:
    answer = await rig.app.scan(rig.using(rig.http, url="http://127.0.0.1:1/book/"), None)
    assert isinstance(answer, Trouble)
    assert answer.key == "not_sent"
    assert isinstance(await rig.app.look(rig.using(rig.http, url="no address"), "/x"), Trouble)


async def test_d5_every_address_and_number_is_read_from_both_versions(rig: Rig) -> None:
    text = (
        "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:m\r\nFN:Ada\r\nEMAIL:a@x.example\r\nEMAIL;PREF=1:b@x.example\r\n"
        "TEL;VALUE=uri;TYPE=home:tel:+1-212-555-0100\r\nEND:VCARD\r\n"
    )
    seen: Seen = await rig.look(await rig.put("m.vcf", text))
    assert seen.contact.fields["email"] == ("b@x.example", "a@x.example")
    assert seen.contact.fields["phone"] == ("+1-212-555-0100",)
