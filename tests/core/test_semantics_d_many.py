"""Fields with several values on both sides, through the step (D5, D9): every write, its receipt and its echo."""

from msgspec.structs import replace

from services.contracts.commands import Update
from services.contracts.contact import Fields
from services.contracts.receipts import Refused
from tests.core.bench import BOOK, CARD, TWO_WAY, Bench, answer, only, tel

PAPER = replace(BOOK, name="paper_app")
BOTH = {"shop": PAPER, "office": BOOK}


def bench() -> Bench:
    """A pair whose two sides have the same two numbers."""
    made = Bench(manifests=dict(BOTH))
    made.paired(card("01", "02"), card("02", "01"))
    return made


def card(*digits: str) -> Fields:
    return {**CARD, "tel": tuple(number for each in digits for number in tel(each))}


def offline(at: Bench, left: Fields, right: Fields) -> list[Update]:
    """Both sides change while nothing is decided; what is sent when it is."""
    at.configure(paused=True)
    at.take(at.changed("shop", "cus", left, at=100))
    at.take(at.changed("office", "card", right, at=100))
    at.configure(paused=False)
    return [each for each in at.resume() if isinstance(each, Update)]


def test_d5_an_addition_and_a_removal_of_one_side_go_to_the_other() -> None:
    at = bench()
    update = only(at.take(at.changed("shop", "cus", card("01", "03"), at=100)), Update)
    assert (update.aim.account, update.fields) == ("office", {"tel": (*tel("01"), *tel("03"))})
    assert at.take(at.written(update, card("03", "01"), at=110)) == []
    assert at.take(at.changed("office", "card", card("03", "01"), at=120)) == []


def test_d5_the_primary_is_that_of_the_side_that_changed_and_the_others_keep_their_spelling() -> None:
    at = bench()
    edited = {**CARD, "tel": ("+1 (202) 555-0103", *tel("01"), *tel("02"))}
    update = only(at.take(at.changed("shop", "cus", edited, at=100)), Update)
    assert update.fields == {"tel": ("+1 (202) 555-0103", *tel("02"), *tel("01"))}


def test_d5_both_sides_get_what_the_other_added_one_write_after_the_other() -> None:
    at = bench()
    (there,) = offline(at, card("01", "02", "03"), card("01", "02", "04"))
    assert (there.aim.account, set(there.fields["tel"])) == ("office", {*tel("01"), *tel("02"), *tel("03"), *tel("04")})
    (back,) = at.take(at.written(there, card("04", "03", "02", "01"), at=110))
    assert isinstance(back, Update)
    assert (back.aim.account, back.fields["tel"][0]) == ("shop", *tel("01"))
    assert set(back.fields["tel"]) == {*tel("01"), *tel("02"), *tel("03"), *tel("04")}
    assert at.take(at.written(back, card("01", "02", "03", "04"), at=120)) == []
    assert at.take(at.changed("shop", "cus", card("01", "02", "03", "04"), at=130)) == []


def test_d5_what_each_side_removed_goes_on_the_other_and_stays_away() -> None:
    at = bench()
    (there,) = offline(at, card("01", "03"), card("02", "04"))
    assert set(there.fields["tel"]) == {*tel("03"), *tel("04")}
    (back,) = at.take(at.written(there, card("03", "04"), at=110))
    assert isinstance(back, Update)
    assert set(back.fields["tel"]) == {*tel("03"), *tel("04")}
    assert at.take(at.written(back, card("03", "04"), at=120)) == []


def test_d5_an_echo_before_the_receipt_is_quiet() -> None:
    at = bench()
    (there,) = offline(at, card("01", "02", "03"), card("01", "02", "04"))
    assert at.take(at.changed("office", "card", card("04", "03", "02", "01"), at=105)) == []
    assert len(at.take(at.written(there, card("04", "03", "02", "01"), at=105))) == 1


def test_d5_an_element_that_the_app_keeps_in_another_form_goes_with_the_one_it_was_made_from() -> None:
    at = bench()
    local = {**CARD, "tel": (*tel("01"), *tel("02"), "030 1234")}
    update = only(at.take(at.changed("shop", "cus", local, at=100)), Update)
    kept = {**CARD, "tel": (*tel("01"), *tel("02"), "+49 30 1234")}
    assert at.take(at.written(update, kept, at=110)) == []
    assert at.take(at.changed("office", "card", kept, at=120)) == []
    assert at.take(at.changed("shop", "cus", {**local, "note": ()}, at=130)) == []
    update = only(at.take(at.changed("shop", "cus", card("01", "02"), at=140)), Update)
    assert update.fields == {"tel": (*tel("01"), *tel("02"))}


def test_d5_an_element_that_the_app_drops_is_neither_sent_again_nor_taken_for_a_removal() -> None:
    at = bench()
    update = only(at.take(at.changed("shop", "cus", card("01", "02", "03"), at=100)), Update)
    assert at.take(at.written(update, card("01", "02"), at=110)) == []
    back = only(at.take(at.changed("office", "card", card("01", "02", "05"), at=120)), Update)
    assert set(back.fields["tel"]) == {*tel("01"), *tel("02"), *tel("03"), *tel("05")}


def test_d5_a_refused_union_rests_and_a_change_is_tried_again() -> None:
    at = bench()
    (there,) = offline(at, card("01", "02", "03"), card("01", "02", "04"))
    at.take(answer(there, Refused(reason="the app says no", fields=("tel",))))
    assert "phone" in at.link().right.refused
    told = at.take(at.changed("shop", "cus", card("01", "02"), at=200))
    assert [set(each.fields["tel"]) for each in told if isinstance(each, Update)] == [
        {*tel("01"), *tel("02"), *tel("04")}
    ]


def test_d9_emptying_all_numbers_is_passed_on_but_not_what_was_added_meanwhile() -> None:
    at = bench()
    update = only(at.take(at.changed("shop", "cus", card(), at=100)), Update)
    assert update.fields == {"tel": ()}
    at = bench()
    (back,) = offline(at, card(), card("01", "02", "03"))
    told = at.take(at.written(back, card("03"), at=110))
    assert {each.fields["tel"] for each in (back, *told) if isinstance(each, Update)} == {tel("03")}


def test_d9_emails_that_are_all_cleared_stay_on_the_other_side_and_one_of_two_goes() -> None:
    two: Fields = {**CARD, "email": ("ada@example.com", "king@example.com")}
    at = Bench(manifests=dict(BOTH))
    at.paired(two, two)
    update = only(at.take(at.changed("shop", "cus", CARD, at=100)), Update)
    assert update.fields == {"email": ("ada@example.com",)}
    at = Bench(manifests=dict(BOTH))
    at.paired(two, two)
    assert at.take(at.changed("shop", "cus", {**CARD, "email": ()}, at=100)) == []


def test_a2_one_way_the_sources_elements_count() -> None:
    at = Bench(connection=replace(TWO_WAY, direction="left_to_right"), manifests=dict(BOTH))
    at.paired(card("01", "02"), card("01", "02"))
    assert at.take(at.changed("office", "card", card("01", "02", "03"), at=100)) == []
    update = only(at.take(at.changed("shop", "cus", card("01"), at=110)), Update)
    assert update.fields == {"tel": tel("01")}


def test_d5_the_primary_is_the_changed_sides_though_the_other_one_wins() -> None:
    at = bench()
    update = only(at.take(at.changed("office", "card", card("03", "02", "01"), at=100)), Update)
    assert update.fields == {"tel": (*tel("03"), *tel("01"), *tel("02"))}


def test_d9_the_last_value_of_a_field_that_the_target_requires_stays() -> None:
    must = replace(BOOK, fields=tuple(replace(each, required=each.path == "tel") for each in BOOK.fields))
    at = Bench(manifests={"shop": PAPER, "office": must})
    at.paired(card("01"), card("01"))
    assert at.take(at.changed("shop", "cus", card(), at=100)) == []
    assert at.take(at.changed("office", "card", card("01"), at=110)) == []
