"""Fails when a receipt moves another base than its command's, or takes a value read by a look for what was written."""

from services.contracts.commands import Create, Look, Tag, Update
from services.contracts.contact import Contact
from services.contracts.receipts import Observation, Unchanged, Written
from services.sync.core.state import Base
from tests.core.bench import ADA, CARD, Bench, answer, looks, only, order, phone, tel, writes


def test_p3_an_edit_of_another_field_just_before_our_write_is_not_lost() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    shown = {**CARD, "tel": tel("55"), "note": ("met in May",)}
    back = only(bench.take(bench.written(update, shown, at=101)), Update)
    assert (back.aim.account, back.fields) == ("shop", {"description": ("met in May",)})
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")


def test_p3_an_edit_of_the_same_field_between_our_write_and_the_look_flows_back() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    seen = Observation(contact_id="card", order=order(103, 105), contact=Contact(fields={**CARD, "tel": tel("77")}))
    told = bench.take(answer(update, Written(contact_id="card", seen=seen, looked=True)))
    back = only(told, Update)
    assert (back.aim.account, back.fields) == ("shop", {"phone": tel("77")})


def test_p3_a_value_read_back_by_the_write_itself_counts_as_what_the_app_made_of_it() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "description": ("a b",)}, at=100)), Update)
    assert bench.take(bench.written(update, {**CARD, "note": ("A-B",)}, at=101)) == []
    assert bench.link().base["note"] == Base("a b", "A-B")


def test_p3_the_sources_half_is_the_value_that_the_command_was_made_from() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=110))
    after = only(bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=112)), Update)
    assert after.fields == {"tel": phone("66")}
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")


def test_p3_a_replayed_answer_moves_the_base_and_is_no_observation() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    old = Observation(contact_id="card", order=order(500, 502), contact=Contact(fields={**CARD, "tel": tel("55")}))
    look = only(bench.take(answer(update, Written(contact_id="card", seen=old, replayed=True))), Look)
    assert bench.record("office", "card").contact == Contact(fields=CARD)
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")
    newest = {**CARD, "tel": tel("88")}
    back = only(bench.take(bench.looked(look, newest, at=503)), Update)
    assert back.fields == {"phone": tel("88")}


def test_p3_an_update_whose_answer_does_not_show_the_contact_is_looked_up_and_not_undone() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    told = bench.take(answer(update, Written(contact_id="card")))
    assert writes(told) == []
    (look,) = looks(told)
    assert bench.take(bench.looked(look, {**CARD, "tel": tel("55")}, at=110)) == []


def test_p3_a_create_whose_answer_does_not_show_the_contact_is_not_made_twice() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    told = bench.take(answer(create, Written(contact_id="card")))
    assert writes(told) == []
    (look,) = looks(told)
    assert bench.take(bench.looked(look, CARD, at=110)) == []
    assert bench.link().status == "active"


def test_p3_a_tag_whose_answer_does_not_show_the_contact_is_not_taken_for_removed() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    assert writes(bench.take(answer(tag, Written(contact_id="cus")))) == []
    assert bench.link().left.tag == "ours"


def test_p3_a_write_that_the_app_had_already_moves_the_base_too() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    seen = Observation(contact_id="card", order=order(101, 103), contact=Contact(fields={**CARD, "tel": tel("55")}))
    assert bench.take(answer(update, Unchanged(contact_id="card", seen=seen))) == []
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")


def test_p3_rejecting_a_hold_sets_both_halves_to_the_present_values() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", {**CARD, "email": ("new@example.com",)}, at=100)) == []
    assert bench.say("left", "email", approved=False) == []
    assert bench.link().base["email"] == Base("ada@example.com", "new@example.com")
    assert writes(bench.wait(3600)) == []
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "email": ("own@example.com",)}, at=200)), Update)
    assert update.fields == {"email": ("own@example.com",)}
