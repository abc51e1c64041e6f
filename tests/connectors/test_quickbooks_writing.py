"""Customers written: made under a name nobody has, changed under their version, refused field by field."""

import asyncio

import msgspec
import pytest

from services.connectors.quickbooks.manifest import MARK_LENGTH, NOTES_LENGTH
from services.connectors.verdicts import verdict_on
from services.contracts.app import Ability, Seen, Trouble, Verdict
from services.contracts.contact import Address, Fields, PersonName
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from tests.connectors.quickbooks_rig import ADA, LINK, Books, create, must, tag, update


async def made(books: Books, fields: Fields | None = None) -> Seen:
    return await books.look(must(await books.write(create(fields), key="make"), Written).contact_id)


async def test_a_create_makes_a_customer_with_our_mark_and_shows_it() -> None:
    async with Books() as books:
        written = must(await books.write(create()), Written)
        raw = books.hand.get(written.contact_id)
        assert raw["DisplayName"] == "Ada King"
        assert raw["Notes"] == f"First line\nsecond\n[contactsync:{LINK}]"
        assert raw["PrimaryEmailAddr"] == {"Address": "ada@x.example"}
        assert written.seen is not None
        assert written.seen.contact.mark == LINK
        assert written.seen.contact.fields == {
            **dict.fromkeys(("AlternatePhone", "Fax", "Mobile", "ShipAddr", "WebAddr"), ()),
            **ADA,
        }
        assert not written.replayed


@pytest.mark.parametrize("idempotent", [True, False])
async def test_p4_a_create_that_is_sent_again_makes_no_second_customer(idempotent: bool) -> None:
    async with Books() as books:
        books.box.server.idempotent = idempotent
        books.hand.create("Ada King")
        first = must(await books.write(create()), Written)
        again = must(await books.write(create(), n=1), Written)
        assert again.contact_id == first.contact_id
        assert again.replayed or again.looked
        assert len(books.hand.everybody()) == 2


async def test_p14_an_update_is_written_under_the_version_it_was_decided_on_without_reading() -> None:
    async with Books() as books:
        seen = await made(books)
        books.box.requests.clear()
        written = must(await books.write(update(seen, {"PrimaryPhone": ("+32 1",), "CompanyName": ()})), Written)
        (posted,) = books.posts()
        assert posted == {
            "Id": seen.contact_id,
            "SyncToken": "0",
            "sparse": True,
            "PrimaryPhone": {"FreeFormNumber": "+32 1"},
            "CompanyName": "",
        }
        assert books.box.requests.to("GET") == []
        assert written.seen is not None
        assert written.seen.order.later_than(seen.order)
        assert written.seen.contact.fields["CompanyName"] == ()


async def test_further_addresses_stay_when_the_first_one_changes() -> None:
    async with Books() as books:
        seen = await books.look(books.hand.create("Ada", "a@x.example, b@x.example;c@x.example"))
        must(await books.write(update(seen, {"PrimaryEmailAddr": ("B@x.example",)})), Written)
        assert books.hand.get(seen.contact_id)["PrimaryEmailAddr"]["Address"] == "B@x.example,c@x.example"


async def test_a_note_is_written_around_the_mark() -> None:
    async with Books() as books:
        seen = await made(books)
        for note in (("Other",), ()):
            must(await books.write(update(seen, {"Notes": note}), key=repr(note)), Written)
            seen = await books.look(seen.contact_id)
            assert (seen.contact.mark, seen.contact.fields["Notes"]) == (LINK, note)


async def test_an_address_is_written_whole_and_keeps_how_its_country_is_written() -> None:
    async with Books() as books:
        ident = books.hand.create(
            "Ada", BillAddr={"Line1": "1 Quay", "Line2": "a", "Line3": "b", "Country": "BEL", "Lat": "51", "Long": "3"}
        )
        seen = await books.look(ident)
        (place,) = seen.contact.fields["BillAddr"]
        assert isinstance(place, Address)
        same_street = msgspec.structs.replace(place, postal_code="9000")
        must(await books.write(update(seen, {"BillAddr": (same_street,)}), key="code"), Written)
        assert (books.hand.get(ident)["BillAddr"]["Line2"], books.hand.get(ident)["BillAddr"]["Line3"]) == ("a", "b")
        seen = await books.look(ident)
        moved = Address(line1="2 Quay", city="Ghent", country="BE")
        must(await books.write(update(seen, {"BillAddr": (moved,)})), Written)
        raw = books.hand.get(ident)["BillAddr"]
        assert (raw["Line1"], raw.get("Line2"), raw.get("Line3")) == ("2 Quay", None, None)
        assert (raw["City"], raw["Country"]) == ("Ghent", "BEL")
        after = await books.look(ident)
        assert after.contact.fields["BillAddr"] == (moved,)
        must(await books.write(update(after, {"BillAddr": ()})), Written)
        assert (await books.look(ident)).contact.fields["BillAddr"] == ()


async def test_p14_a_lost_guard_over_other_fields_costs_one_reading_and_one_more_try() -> None:
    async with Books() as books:
        seen = await made(books)
        books.hand.update(seen.contact_id, CompanyName="A person's")
        books.box.requests.clear()
        must(await books.write(update(seen, {"PrimaryPhone": ("+32 1",)})), Written)
        assert [each.method for each in books.box.requests] == ["POST", "GET", "POST"]
        after = await books.look(seen.contact_id)
        assert after.contact.fields["CompanyName"] == ("A person's",)
        assert after.contact.fields["PrimaryPhone"] == ("+32 1",)


async def test_p14_a_lost_guard_over_our_field_writes_nothing() -> None:
    async with Books() as books:
        seen = await made(books)
        books.hand.update(seen.contact_id, CompanyName="A person's")
        stale = must(await books.write(update(seen, {"CompanyName": ("Ours",)})), Stale)
        assert stale.seen.contact.fields["CompanyName"] == ("A person's",)
        assert books.hand.get(seen.contact_id)["CompanyName"] == "A person's"


async def test_p14_a_second_lost_guard_is_stale() -> None:
    async with Books() as books:
        seen = await made(books)
        books.box.faults.fail(400, "5010", "POST", times=None)
        books.hand.update(seen.contact_id, PrimaryPhone={"FreeFormNumber": "2"})
        must(await books.write(update(seen, {"CompanyName": ("Ours",)})), Stale)


async def test_a_reading_behind_the_refused_version_is_waited_for() -> None:
    async with Books() as books:
        seen = await made(books)
        books.box.faults.fail(400, "5010", "POST")
        answer = must(await books.write(update(seen, {"CompanyName": ("Ours",)})), Trouble)
        assert verdict_on(answer, books.app.manifest) is Verdict.RETRY


async def test_what_is_there_already_isnt_written() -> None:
    async with Books() as books:
        seen = await made(books)
        must(await books.write(update(seen, {"CompanyName": ADA["CompanyName"]})), Unchanged)
        assert len(books.posts()) == 1


@pytest.mark.parametrize("lost", ["object", "guard"])
async def test_without_what_was_observed_the_customer_is_read_first(lost: str) -> None:
    async with Books() as books:
        seen = await made(books)
        command = update(seen, {"Notes": ("Other",)})
        command = (
            msgspec.structs.replace(command, object=msgspec.Raw(b"null"))
            if lost == "object"
            else msgspec.structs.replace(command, guard=None)
        )
        must(await books.write(command), Written)
        assert (await books.look(seen.contact_id)).contact.mark == LINK


@pytest.mark.parametrize("how", ["deactivate", "merge"])
async def test_a_customer_that_is_gone_says_so_and_nothing_is_made(how: str) -> None:
    async with Books() as books:
        seen = await made(books)
        if how == "deactivate":
            books.hand.deactivate(seen.contact_id)
        else:
            books.hand.merge(seen.contact_id, books.hand.create("Other"))
        before = len(books.hand.everybody())
        assert must(await books.write(update(seen, {"Notes": ("x",)})), Refused).gone
        assert len(books.hand.everybody()) == before


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"name": (PersonName(given="A:da"),)}, ("name",)),
        ({"name": (PersonName(full="A:da"),)}, ("name",)),
        ({"name": (PersonName(given="A" * 101),)}, ("name",)),
        ({"name": (PersonName(prefix="A" * 17),)}, ("name",)),
        ({"name": ("Ada",)}, ("name",)),
        ({"PrimaryEmailAddr": ("nobody",)}, ("PrimaryEmailAddr",)),
        ({"PrimaryEmailAddr": ("a@x.example,b@x.example",)}, ("PrimaryEmailAddr",)),
        ({"PrimaryEmailAddr": (f"{'a' * 100}@x.example",)}, ("PrimaryEmailAddr",)),
        ({"PrimaryPhone": ("1" * 31,)}, ("PrimaryPhone",)),
        ({"PrimaryPhone": ("1", "2")}, ("PrimaryPhone",)),
        ({"BillAddr": (Address(postal_code="1" * 31),)}, ("BillAddr",)),
        ({"Notes": ("x" * (NOTES_LENGTH - MARK_LENGTH + 1),)}, ("Notes",)),
        ({"Notes": ("\ud800",)}, ("Notes",)),
        ({"Balance": ("1",)}, ("Balance",)),
        ({"CompanyName": ("x" * 101,), "Fax": ("1" * 31,)}, ("CompanyName", "Fax")),
    ],
)
async def test_d10_what_cant_be_held_is_refused_by_its_field_and_nothing_is_sent(
    fields: Fields, paths: tuple[str, ...]
) -> None:
    async with Books() as books:
        refused = must(await books.write(create({**ADA, **fields})), Refused)
        assert refused.fields == paths
        assert len(books.box.requests) == 0
        rest = {path: values for path, values in {**ADA, **fields}.items() if path not in paths}
        must(await books.write(create(rest)), Written)


async def test_the_longest_note_fits_beside_the_mark() -> None:
    async with Books() as books:
        must(await books.write(create({**ADA, "Notes": ("x" * (NOTES_LENGTH - MARK_LENGTH),)})), Written)


async def test_there_are_no_tags() -> None:
    async with Books() as books:
        assert Ability.TAG not in books.app.manifest.abilities
        must(await books.write(tag("1")), Refused)
        assert len(books.box.requests) == 0


async def test_writes_at_once_stay_below_what_a_company_takes() -> None:
    async with Books() as books:
        commands = [create({"name": (PersonName(full=f"C{n}"),)}, link=f"link-{n}") for n in range(9)]
        answers = await asyncio.gather(*(books.write(each, key=each.aim.link) for each in commands))
        assert all(isinstance(each, Written) for each in answers)
        manifest = books.app.manifest
        assert 60 * (manifest.pace.poll + manifest.pace.read + manifest.pace.write) <= 500
        assert manifest.pace.poll + manifest.pace.read + manifest.pace.write <= 10
        assert manifest.parallel + 2 <= 10
