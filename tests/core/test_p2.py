"""Fails when one value stands for both halves of a base, or when agreeing without a write leaves the base behind."""

from services.contracts.commands import Update
from services.contracts.contact import Fields
from services.sync.core.state import Base
from tests.core.bench import ADA, CARD, ONE_WAY, Bench, only, phone, tel, writes


def test_p2_an_app_that_keeps_something_else_than_was_sent_is_left_alone() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edited = {**ADA, "description": ("A very special customer",)}
    update = only(bench.take(bench.changed("shop", "cus", edited, at=100)), Update)
    cut = {**CARD, "note": ("A very spec",)}
    assert bench.take(bench.written(update, cut, at=101)) == []
    assert bench.link().base["note"] == Base("A very special customer", "A very spec")
    assert bench.take(bench.changed("office", "card", cut, at=103)) == []
    assert writes(bench.wait(600)) == []
    other = only(bench.take(bench.changed("shop", "cus", {**edited, "phone": phone("55")}, at=200)), Update)
    assert other.fields == {"tel": phone("55")}


def test_p2_an_edit_of_the_reformatted_value_counts_as_an_edit() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edited = {**ADA, "description": ("A very special customer",)}
    update = only(bench.take(bench.changed("shop", "cus", edited, at=100)), Update)
    bench.take(bench.written(update, {**CARD, "note": ("A very spec",)}, at=101))
    back = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("Regular",)}, at=200)), Update)
    assert (back.aim.account, back.fields) == ("shop", {"description": ("Regular",)})


def test_p2_blanks_case_and_punctuation_are_no_change() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    same: Fields = {"name": ("  Ada   King ",), "email": ("ADA@Example.COM ",), "phone": ("+1 (202) 555-0101",)}
    assert bench.take(bench.changed("shop", "cus", same, at=100)) == []


def test_p2_two_sides_changed_to_the_same_move_only_the_base() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100))
    assert bench.resume() == []
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("01")}, at=200)), Update)
    assert (update.aim.account, update.fields) == ("shop", {"phone": tel("01")})


def test_p2_of_many_values_mapped_to_one_only_the_primary_counts() -> None:
    bench = Bench()
    bench.paired(ADA, {**CARD, "tel": (*tel("01"), *tel("02"))})
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": (*tel("01"), *tel("03"))}, at=100)) == []
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("03")}, at=110)), Update)
    assert update.fields == {"phone": tel("03")}


def test_p2_one_way_with_an_empty_source_sets_no_base() -> None:
    bench = Bench(connection=ONE_WAY)
    without = {key: values for key, values in ADA.items() if key != "phone"}
    bench.paired(without, CARD)
    assert "phone" not in bench.link().base
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert update.fields == {"tel": phone("55")}


def test_p2_the_side_that_changed_is_told_by_its_own_half() -> None:
    bench = Bench()
    bench.paired({**ADA, "description": ("A very special customer",)}, {**CARD, "note": ("A very special customer",)})
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "description": ("One",)}, at=100)), Update)
    bench.take(bench.written(update, {**CARD, "note": ("ONE.",)}, at=101))
    assert bench.take(bench.changed("shop", "cus", {**ADA, "description": (" One ",)}, at=200)) == []
