"""Writes without an answer: proved by the mark, by the name, by the version (P4)."""

import pytest

from services.connectors.quickbooks.manifest import AT_WORK
from services.connectors.verdicts import verdict_on
from services.contracts.app import Seen, Trouble, Verdict
from services.contracts.contact import PersonName
from services.contracts.receipts import Refused, Stale, Written
from services.runtime.app import Absence, Undecided
from tests.connectors.quickbooks_rig import LINK, Books, create, must, update


async def lost(books: Books, *, executed: bool = True) -> int:
    """A create whose answer didn't come; when it was sent."""
    sent = books.micros()
    books.box.faults.drop("POST", executed=executed)
    answer = must(await books.write(create()), Trouble)
    assert verdict_on(answer, books.app.manifest) is Verdict.UNKNOWN
    return sent


async def made(books: Books) -> Seen:
    return await books.look(must(await books.write(create(), key="make"), Written).contact_id)


async def test_p4_a_create_that_was_made_is_found_at_once_by_its_mark() -> None:
    async with Books() as books:
        sent = await lost(books)
        written = must(await books.settle(create(), sent), Written)
        assert written.looked
        assert written.seen is not None
        assert written.seen.contact.mark == LINK


async def test_p4_a_create_under_another_name_is_found_too() -> None:
    async with Books() as books:
        books.hand.create("Ada King")
        sent = books.micros()
        books.box.faults.drop("POST", executed=False)
        must(await books.write(create()), Trouble)
        written = must(await books.write(create(), n=1), Written)
        settled = must(await books.settle(create(), sent), Written)
        assert settled.contact_id == written.contact_id


async def test_p4_a_person_may_have_renamed_it_since() -> None:
    async with Books() as books:
        sent = await lost(books)
        (row,) = books.hand.everybody()
        books.hand.update(row["Id"], DisplayName="Somebody else", PrimaryEmailAddr={"Address": "other@x.example"})
        assert must(await books.settle(create(), sent), Written).contact_id == row["Id"]


async def test_p4_a_person_may_have_taken_the_mark_out() -> None:
    async with Books() as books:
        sent = await lost(books)
        (row,) = books.hand.everybody()
        books.hand.update(row["Id"], Notes="")
        assert must(await books.settle(create(), sent), Written).contact_id == row["Id"]


async def test_p4_a_customer_made_inactive_meanwhile_was_made() -> None:
    async with Books() as books:
        sent = await lost(books)
        (row,) = books.hand.everybody()
        books.hand.deactivate(row["Id"])
        written = must(await books.settle(create(), sent), Written)
        assert (written.contact_id, written.seen) == (row["Id"], None)


async def test_p4_a_namesake_of_before_or_of_another_link_is_no_proof() -> None:
    async with Books() as books:
        books.hand.create("Ada King", "ada@x.example")
        books.clock.advance(3600)
        sent = await lost(books, executed=False)
        books.hand.create("Ada King (2)", "ada@x.example", Notes="[contactsync:another-link]")
        books.hand.create("Ada King (3)", "somebody@x.example")
        books.clock.advance(AT_WORK + 1)
        must(await books.settle(create(), sent), Absence)


async def test_p4_what_an_earlier_create_of_the_link_made_and_a_person_deleted_is_no_proof() -> None:
    async with Books() as books:
        before = await made(books)
        books.hand.deactivate(before.contact_id)
        # Whether an inactive customer keeps its name isn't documented.
        books.box.customers._rows[before.contact_id]["DisplayName"] = "Ada King"
        books.clock.advance(3600)
        sent = await lost(books, executed=False)
        books.clock.advance(AT_WORK + 1)
        must(await books.settle(create(), sent), Absence)
        written = must(await books.write(create(), key="anew"), Written)
        assert written.contact_id != before.contact_id
        assert books.hand.get(written.contact_id)["DisplayName"] == "Ada King (ada@x.example)"


async def test_p4_absence_is_proved_only_once_quickbooks_must_have_given_up() -> None:
    async with Books() as books:
        sent = await lost(books, executed=False)
        undecided = must(await books.settle(create(), sent), Undecided)
        assert 0 < undecided.after <= AT_WORK
        books.clock.advance(undecided.after)
        must(await books.settle(create(), sent), Absence)
        assert len(books.box.requests.to("POST", "/v3/*")) == 1


async def test_p4_an_update_that_was_applied_is_told_by_its_version_and_value() -> None:
    async with Books() as books:
        seen = await made(books)
        sent = books.micros()
        command = update(seen, {"CompanyName": ("Ours",), "name": (PersonName(given="Ada", family="Lovelace"),)})
        books.box.faults.drop("POST")
        must(await books.write(command), Trouble)
        assert must(await books.settle(command, sent), Written).looked


async def test_p4_an_update_that_never_arrived_is_told_by_the_same_version() -> None:
    async with Books() as books:
        seen = await made(books)
        sent = books.micros()
        command = update(seen, {"CompanyName": ("Ours",)})
        books.box.faults.drop("POST", executed=False)
        must(await books.write(command), Trouble)
        must(await books.settle(command, sent), Undecided)
        books.clock.advance(AT_WORK)
        must(await books.settle(command, sent), Absence)


async def test_p4_an_update_that_came_through_is_known_by_the_fields_that_nobody_edited_since() -> None:
    async with Books() as books:
        seen = await made(books)
        sent = books.micros()
        both = update(seen, {"CompanyName": ("Ours",), "name": (PersonName(given="Ada", family="Lovelace"),)})
        books.box.faults.drop("POST")
        must(await books.write(both), Trouble)
        books.hand.update(seen.contact_id, CompanyName="A person's")
        settled = must(await books.settle(both, sent), Written)
        assert settled.seen is not None
        assert settled.seen.contact.fields["CompanyName"] == ("A person's",)


async def test_p4_a_person_who_gives_one_field_the_same_value_doesnt_prove_our_update() -> None:
    async with Books() as books:
        seen = await made(books)
        sent = books.micros()
        both = update(seen, {"CompanyName": ("Ours",), "name": (PersonName(given="Ada", family="Lovelace"),)})
        books.hand.update(seen.contact_id, CompanyName="Ours")
        must(await books.settle(both, sent), Stale)


async def test_p4_another_edit_first_means_that_ours_wasnt_applied() -> None:
    async with Books() as books:
        seen = await made(books)
        sent = books.micros()
        command = update(seen, {"CompanyName": ("Ours",)})
        books.hand.update(seen.contact_id, PrimaryPhone={"FreeFormNumber": "2"})
        must(await books.settle(command, sent), Absence)
        books.hand.update(seen.contact_id, CompanyName="A person's")
        stale = must(await books.settle(command, sent), Stale)
        assert stale.seen.contact.fields["CompanyName"] == ("A person's",)


@pytest.mark.parametrize("how", ["deactivate", "merge"])
async def test_p4_an_update_of_what_is_gone_is_refused_when_it_is_sent_anew(how: str) -> None:
    async with Books() as books:
        seen = await made(books)
        if how == "merge":
            books.hand.merge(seen.contact_id, books.hand.create("Other"))
        else:
            books.hand.deactivate(seen.contact_id)
        command = update(seen, {"CompanyName": ("Ours",)})
        must(await books.settle(command, books.micros()), Absence)
        assert must(await books.write(command), Refused).gone


@pytest.mark.parametrize("code", ["2010", "4000"])
async def test_p4_a_refused_question_proves_nothing(code: str) -> None:
    async with Books() as books:
        sent = await lost(books)
        books.box.faults.fail(400, code, "GET", "*/query")
        must(await books.settle(create(), sent), Undecided)
        must(await books.settle(create(), sent), Written)


async def test_p4_settling_writes_nothing() -> None:
    async with Books() as books:
        sent = await lost(books, executed=False)
        posts = len(books.posts())
        await books.settle(create(), sent)
        assert len(books.posts()) == posts
