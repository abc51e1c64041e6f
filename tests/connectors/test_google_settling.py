"""P4: what became of a write without an answer, told by our marks."""

import random

import msgspec
import pytest

from services.contracts.app import Trouble
from services.contracts.contact import Fields
from services.contracts.receipts import Refused, Stale, Written
from services.runtime.app import Absence, Undecided
from tests.connectors.google_rig import Office, create, must, tag, untag, update

NOTE: Fields = {"note": ("Ours",)}
NAMELESS: Fields = {"company": ("Engines",)}


@pytest.mark.parametrize("delay", [0, 60, 299, 300])
@pytest.mark.parametrize("fields", [None, NAMELESS], ids=["with an address", "without an address"])
async def test_p4_a_lost_create_is_found_once_google_shows_it(delay: int, fields: Fields | None) -> None:
    async with Office(delay=delay) as office:
        office.box.faults.drop("POST")
        sent = office.micros()
        must(await office.write(create(fields)), Trouble)
        asked = 0
        while isinstance(outcome := await office.settle(create(fields), sent), Undecided):
            assert 0 < outcome.after <= 180
            office.clock.advance(outcome.after)
            asked += 1
        done = must(outcome, Written)
        assert done.looked
        assert done.seen is not None
        assert asked == -(-delay // 180)
        assert [person["resourceName"] for person in office.box.hand.everybody()] == [done.contact_id]


async def test_p4_a_create_is_absent_only_when_it_must_have_been_visible() -> None:
    async with Office() as office:
        office.box.faults.drop("POST", executed=False)
        sent = office.micros()
        must(await office.write(create()), Trouble)
        must(await office.settle(create(), sent), Undecided)
        office.clock.advance(890)
        assert must(await office.settle(create(), sent), Undecided).after == 10
        office.clock.advance(10)
        must(await office.settle(create(), sent), Absence)
        must(await office.write(create(), n=1), Written)
        assert len(office.box.hand.everybody()) == 1


async def test_p4_a_lost_create_that_a_person_changed_is_found_by_its_mark() -> None:
    async with Office() as office:
        office.box.faults.drop("POST")
        sent = office.micros()
        must(await office.write(create()), Trouble)
        (made,) = office.box.hand.everybody()
        office.box.hand.update(made["resourceName"], emailAddresses=[{"value": "new@x.example"}], names=[])
        assert must(await office.settle(create(), sent), Written).contact_id == made["resourceName"]


async def test_p4_somebody_elses_contact_with_the_address_is_not_ours() -> None:
    async with Office() as office:
        office.box.hand.create("ada@x.example")
        sent = office.micros()
        office.clock.advance(901)
        must(await office.settle(create(), sent), Absence)


async def test_p4_the_search_for_a_mark_goes_back_to_the_sending_and_no_further() -> None:
    async with Office() as office:
        for n in range(450):
            office.box.hand.create(f"old{n}@x.example")
        office.clock.advance(3600)
        sent = office.micros()
        made = must(await office.write(create(NAMELESS)), Written)
        for n in range(250):
            office.box.hand.create(f"new{n}@x.example")
        office.box.requests.clear()
        assert must(await office.settle(create(NAMELESS), sent), Written).contact_id == made.contact_id
        assert len(office.box.requests.to("GET", "*connections")) == 2
        office.clock.advance(901)
        must(await office.settle(create(NAMELESS, link="another"), sent), Absence)
        assert len(office.box.requests.to("GET", "*connections")) == 4


async def test_f6_a_tenth_of_the_answers_lost_after_the_create_makes_no_duplicate() -> None:
    rng = random.Random(11)
    async with Office(delay=120) as office:
        for n in range(100):
            command = create({"emailAddresses": (f"p{n}@x.example",)}, link=f"link-{n}")
            if rng.random() < 0.1:
                office.box.faults.drop("POST", executed=rng.random() < 0.7)
            sent = office.micros()
            outcome = await office.write(command)
            while not isinstance(outcome, Written):
                outcome = await office.settle(command, sent)
                if isinstance(outcome, Undecided):
                    office.clock.advance(outcome.after)
                elif isinstance(outcome, Absence):
                    sent = office.micros()
                    outcome = await office.write(command, n=1)
        addresses = [person["emailAddresses"][0]["value"] for person in office.box.hand.everybody()]
        assert sorted(addresses) == sorted({f"p{n}@x.example" for n in range(100)})


async def test_p4_an_update_is_told_by_its_mark_also_when_a_person_put_the_old_value_back() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example", biographies=[{"value": "Old"}]))
        office.box.faults.drop("PATCH")
        must(await office.write(update(seen, NOTE)), Trouble)
        office.box.hand.update(seen.contact_id, biographies=[{"value": "Old"}])
        done = must(await office.settle(update(seen, NOTE), office.micros()), Written)
        assert done.seen is not None
        assert done.seen.contact.fields["note"] == ("Old",)


async def test_p4_an_update_that_wasnt_applied_is_absent() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.faults.drop("PATCH", executed=False)
        must(await office.write(update(seen, NOTE)), Trouble)
        must(await office.settle(update(seen, NOTE), office.micros()), Absence)
        must(await office.write(update(seen, NOTE), n=1), Written)


async def test_p4_equal_values_by_a_person_are_no_proof_of_our_write() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.faults.drop("PATCH", executed=False)
        must(await office.write(update(seen, NOTE)), Trouble)
        office.box.hand.update(seen.contact_id, biographies=[{"value": "Ours"}])
        must(await office.settle(update(seen, NOTE), office.micros()), Stale)


async def test_p4_an_unchanged_etag_is_absent_whatever_was_expected() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        command = msgspec.structs.replace(update(seen, NOTE), expected={"note": ("Something else",)})
        must(await office.settle(command, office.micros()), Absence)


async def test_p4_an_earlier_write_of_the_link_is_no_proof_of_this_one() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        must(await office.write(update(seen, NOTE, n=1)), Written)
        seen = await office.look(seen.contact_id)
        must(await office.settle(update(seen, {"note": ("Later",)}, n=2), office.micros()), Absence)


async def test_an_update_of_a_deleted_contact_is_absent_and_then_refused() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.hand.delete(seen.contact_id)
        must(await office.settle(update(seen, NOTE), office.micros()), Absence)
        assert must(await office.write(update(seen, NOTE), n=1), Refused).gone


@pytest.mark.parametrize("executed", [True, False])
async def test_a_lost_tag_is_there_or_is_set_again(executed: bool) -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        office.box.faults.drop("POST", "*members:modify", executed=executed)
        must(await office.write(tag(made)), Trouble)
        must(await office.settle(tag(made), office.micros()), Written if executed else Absence)
        must(await office.settle(untag(made), office.micros()), Absence if executed else Written)


@pytest.mark.parametrize(("status", "rpc"), [(403, "PERMISSION_DENIED"), (400, "INVALID_ARGUMENT")])
async def test_a_refused_reading_says_nothing_about_the_write(status: int, rpc: str) -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.faults.fail(status, "GET", rpc=rpc)
        must(await office.settle(update(seen, NOTE), office.micros()), Undecided)


async def test_settling_writes_nothing() -> None:
    async with Office() as office:
        seen = await office.look(office.box.hand.create("ada@x.example"))
        office.box.requests.clear()
        for command in (create(), update(seen, NOTE), tag(seen.contact_id), untag(seen.contact_id)):
            await office.settle(command, office.micros())
        assert {each.method for each in office.box.requests} == {"GET"}
