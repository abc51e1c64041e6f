"""Writing to an address book of a real server, and finding out what became of a write."""

import itertools
from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
import pytest_asyncio

from services.connectors.carddav.sandbox import CarddavSandbox
from services.contracts.app import Trouble
from services.contracts.commands import Update, Write
from services.contracts.contact import Address, Fields, PersonName
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence
from services.runtime.http import client
from tests.connectors.carddav_rig import ADA, FIRST, LINK, Rig, card, create, tag, untag, update, wired, with_guard

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


def a_put(request: httpx2.Request) -> bool:
    return request.method == "PUT"


async def test_p4_a_create_carries_the_link_and_is_made_once(rig: Rig) -> None:
    made = await rig.app.write(rig.access, create(ADA), FIRST)
    assert isinstance(made, Written)
    assert (made.contact_id, made.looked) == (f"{rig.path}{LINK}.vcf", False)
    assert made.seen is not None
    assert made.seen.contact.mark == LINK
    seen = await rig.look(made.contact_id)
    assert seen.contact == made.seen.contact
    assert seen.contact.fields["email"] == ADA["email"]
    again = await rig.app.write(rig.access, create(ADA), FIRST)
    assert isinstance(again, Written)
    assert (again.contact_id, again.looked) == (made.contact_id, True)
    assert await rig.box.names(rig.url) == [f"{LINK}.vcf"]


async def test_a_create_never_writes_over_a_card_that_isnt_ours(rig: Rig) -> None:
    await rig.put(f"{LINK}.vcf", card("somebody-else"))
    answer = await rig.app.write(rig.access, create(ADA), FIRST)
    assert isinstance(answer, Refused)
    assert "somebody-else" in str(await rig.box.get(f"{rig.url}{LINK}.vcf"))


async def test_p4_our_card_that_somebody_moved_is_found_again(rig: Rig) -> None:
    moved = await rig.put("moved.vcf", card(LINK))
    answer = await rig.app.write(rig.access, create(ADA), FIRST)
    assert isinstance(answer, Written)
    assert (answer.contact_id, answer.looked) == (moved, True)
    settled = await rig.app.settle(rig.access, create(ADA), FIRST)
    assert isinstance(settled, Written)
    assert settled.contact_id == moved


async def test_unknown_remote_fields_survive_an_update(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    written = await rig.app.write(
        rig.access, update(seen, {"phone": ("+44 1",), "name": (PersonName(given="Ada", family="Lovelace"),)}), FIRST
    )
    assert isinstance(written, Written)
    text = str(await rig.box.get(rig.url + "a.vcf"))
    assert "item1.EMAIL;TYPE=HOME:ada@x.example" in text
    assert "kept" in text
    after = await rig.look(contact)
    assert written.seen is not None
    assert (after.contact.fields, after.contact.guard) == (written.seen.contact.fields, written.seen.contact.guard)
    assert after.contact.fields["phone"] == ("+44 1",)
    assert after.contact.fields["name"] == (PersonName(given="Ada", family="Lovelace", full="Ada Lovelace"),)


async def test_every_field_is_read_back_as_it_was_written(rig: Rig) -> None:
    everything = {
        **ADA,
        "email": ("ada@x.example", "b@x.example"),
        "address": (Address(line1="1 A; B", line2="c, d", city="Łódź", state="S", postal_code="1", country="PL"),),
        "company": ("A\\B; C, D",),
        "job_title": ("Über",),
        "note": ("one\ntwo 🎉 " + "ü" * 100,),
    }
    made = await rig.app.write(rig.access, create(everything), FIRST)
    assert isinstance(made, Written)
    assert (await rig.look(made.contact_id)).contact.fields == everything


async def test_a_create_without_a_name_is_taken(rig: Rig) -> None:
    bodies: list[Fields] = [{"email": ("a@x.example",)}, {"company": ("Engines",)}, {}]
    for n, wanted in enumerate(bodies):
        made = await rig.app.write(rig.access, create(wanted, f"link-{n}"), FIRST)
        assert isinstance(made, Written), made
        assert (await rig.look(made.contact_id)).contact.fields["name"] == ()


async def test_p14_a_change_of_another_field_meanwhile_is_kept(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    await rig.put("a.vcf", card("a").replace("X-CUSTOM", "NOTE:a person's\r\nX-CUSTOM"))
    written = await rig.app.write(rig.access, update(seen, {"phone": ("+44 1",)}), FIRST)
    assert isinstance(written, Written)
    after = (await rig.look(contact)).contact.fields
    assert (after["phone"], after["note"]) == (("+44 1",), ("a person's",))


async def test_p14_a_change_of_the_same_field_meanwhile_stops_the_write(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    await rig.put("a.vcf", card("a", "person@x.example"))
    answer = await rig.app.write(rig.access, update(seen, {"email": ("ours@x.example",)}), FIRST)
    assert isinstance(answer, Stale)
    assert answer.seen.contact.fields["email"] == ("person@x.example",)
    assert (await rig.look(contact)).contact.fields["email"] == ("person@x.example",)


async def test_p14_a_second_change_during_the_second_try_stops_it(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    puts = itertools.count(1)

    async def send(request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            await rig.put("a.vcf", card("a").replace("X-CUSTOM", f"NOTE:{next(puts)}\r\nX-CUSTOM"))
        return await rig.http.send(request)

    async with client(transport=httpx2.MockTransport(send)) as http:
        answer = await rig.app.write(rig.using(http), update(seen, {"phone": ("+44 1",)}), FIRST)
    assert isinstance(answer, Stale)
    assert next(puts) == 3
    assert (await rig.look(contact)).contact.fields["phone"] == ()


async def test_an_update_without_guard_or_object_reads_first(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    command = update(await rig.look(contact), {"phone": ("+44 1",)})
    bare = msgspec.structs.replace(with_guard(command, None), object=msgspec.Raw(b"null"))
    assert isinstance(await rig.app.write(rig.access, bare, FIRST), Written)
    stale = await rig.app.write(rig.access, bare, FIRST)
    assert isinstance(stale, Stale)  # it expects no phone


async def test_e1_a_missing_card_refuses_the_write_and_is_not_made_again(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    await rig.box.delete(rig.url + "a.vcf")
    for command in (update(seen, {"phone": ("+44 1",)}), tag(seen), untag(seen)):
        answer = await rig.app.write(rig.access, command, FIRST)
        assert isinstance(answer, Refused)
        assert answer.gone
    assert await rig.box.names(rig.url) == []


async def test_e2_a_tag_is_a_category_set_once_and_taken_back(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a").replace("X-CUSTOM", "CATEGORIES:Friends\r\nX-CUSTOM"))
    seen = await rig.look(contact)
    assert isinstance(await rig.app.write(rig.access, tag(seen), FIRST), Written)
    tagged = await rig.look(contact)
    assert tagged.contact.tags == ("Friends", "PieSync Trash")
    unchanged = await rig.app.write(rig.access, tag(tagged), FIRST)
    assert isinstance(unchanged, Unchanged)
    assert isinstance(await rig.app.write(rig.access, tag(seen), FIRST), Unchanged)  # decided on the untagged card
    assert isinstance(await rig.app.write(rig.access, untag(tagged), FIRST), Written)
    assert (await rig.look(contact)).contact.tags == ("Friends",)


async def test_a_repeated_write_changes_nothing(rig: Rig) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    same = update(seen, {"email": ("ada@x.example",)})
    answer = await rig.app.write(rig.access, same, FIRST)
    assert isinstance(answer, Unchanged)
    assert (await rig.look(contact)).contact.guard == seen.contact.guard


async def test_d10_a_control_character_refuses_its_field_alone(rig: Rig) -> None:
    answer = await rig.app.write(rig.access, create({**ADA, "note": ("a\x07b",)}), FIRST)
    assert isinstance(answer, Refused)
    assert answer.fields == ("note",)
    assert "\x07" not in answer.reason
    assert await rig.box.names(rig.url) == []


async def test_p4_a_create_without_an_answer_is_settled(rig: Rig) -> None:
    async with wired(a_put) as (http, _):
        answer = await rig.app.write(rig.using(http), create(ADA), FIRST)
    assert isinstance(answer, Trouble)
    assert answer.key == "unanswered"
    settled = await rig.app.settle(rig.access, create(ADA), FIRST)
    assert isinstance(settled, Written)
    assert settled.looked
    assert settled.contact_id == f"{rig.path}{LINK}.vcf"
    assert isinstance(await rig.app.settle(rig.access, create(ADA, "never-sent"), FIRST), Absence)


@pytest.mark.parametrize("kind", ["update", "tag", "untag"])
async def test_p4_a_change_without_an_answer_is_settled_by_reading(rig: Rig, kind: str) -> None:
    text = card("a") if kind != "untag" else card("a").replace("X-CUSTOM", "CATEGORIES:PieSync Trash\r\nX-CUSTOM")
    contact = await rig.put("a.vcf", text)
    seen = await rig.look(contact)
    commands: dict[str, Write] = {
        "update": update(seen, {"email": ("b@x.example",)}),
        "tag": tag(seen),
        "untag": untag(seen),
    }
    command = commands[kind]
    assert isinstance(await rig.app.settle(rig.access, command, FIRST), Absence)
    async with wired(a_put) as (http, _):
        answer = await rig.app.write(rig.using(http), command, FIRST)
    assert isinstance(answer, Trouble)
    settled = await rig.app.settle(rig.access, command, FIRST)
    assert isinstance(settled, Written)
    assert settled.looked
    if isinstance(command, Update):
        await rig.put("a.vcf", card("a", "person@x.example"))
        assert isinstance(await rig.app.settle(rig.access, command, FIRST), Stale)
    await rig.box.delete(rig.url + "a.vcf")
    assert isinstance(await rig.app.settle(rig.access, command, FIRST), Absence)


@pytest.mark.parametrize("applied", [True, False])
async def test_p4_a_change_that_came_through_is_known_by_what_nobody_edited_since(rig: Rig, applied: bool) -> None:
    contact = await rig.put("a.vcf", card("a"))
    seen = await rig.look(contact)
    both = update(seen, {"email": ("b@x.example",), "note": ("ours",)})
    if applied:
        assert isinstance(await rig.app.write(rig.access, both, FIRST), Written)
    else:
        await rig.put("a.vcf", card("a", "b@x.example"))  # a person happens to give it the same address
        assert isinstance(await rig.app.settle(rig.access, both, FIRST), Stale)
        return
    after = await rig.look(contact)
    person = update(after, {"note": ("a person's",)})
    assert isinstance(await rig.app.write(rig.access, person, FIRST), Written)
    settled = await rig.app.settle(rig.access, both, FIRST)
    assert isinstance(settled, Written)
    assert settled.seen is not None
    assert settled.seen.contact.fields["note"] == ("a person's",)


async def test_f1_our_own_write_in_the_feed_equals_its_receipt(rig: Rig) -> None:
    _, cursor = await rig.scan()
    made = await rig.app.write(rig.access, create(ADA), FIRST)
    assert isinstance(made, Written)
    assert made.seen is not None
    (reading,) = (await rig.poll(cursor)).readings
    assert getattr(reading.event, "contact", None) == made.seen.contact


async def test_the_sandbox_leaves_no_process(box: CarddavSandbox, tmp_path_factory: pytest.TempPathFactory) -> None:
    async with CarddavSandbox(tmp_path_factory.mktemp("radicale")) as other:
        process = other._process
        assert await other.names() == []
    assert process is not None
    assert process.returncode is not None
