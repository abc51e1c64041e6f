"""Directions, options and pauses (SEMANTICS A2, A6) on the core."""

from msgspec.structs import replace

from services.contracts.commands import Update
from services.contracts.rule import Rule
from tests.core.bench import ADA, CARD, ONE_WAY, TWO_WAY, Bench, only, phone, tel, writes


def test_a2_one_way_a_change_on_the_target_is_neither_copied_back_nor_undone() -> None:
    bench = Bench(connection=ONE_WAY)
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55"), "note": ("mine",)}, at=100)) == []
    assert writes(bench.wait(86_400)) == []


def test_a2_one_way_a_change_of_another_field_at_the_source_leaves_the_targets_edit() -> None:
    bench = Bench(connection=ONE_WAY)
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100))
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "description": ("VIP",)}, at=200)), Update)
    assert update.fields == {"note": ("VIP",)}


def test_a2_one_way_the_next_change_of_that_field_at_the_source_overwrites_it() -> None:
    bench = Bench(connection=ONE_WAY)
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100))
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=200)), Update)
    assert update.fields == {"tel": phone("66")}
    assert update.expected == {"tel": tel("55")}


def test_a2_one_way_the_source_wins_whatever_the_winner() -> None:
    bench = Bench(connection=replace(ONE_WAY, winner="right"))
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "cus", ADA))
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")})), Update)
    assert (update.aim.account, update.fields) == ("office", {"tel": phone("01")})


def test_a2_one_way_the_source_wins_where_both_changed() -> None:
    bench = Bench(connection=replace(ONE_WAY, winner="right"))
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100))
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=101.5)), Update)
    assert update.aim.account == "office"


def test_a2_one_way_creates_only_on_the_target() -> None:
    bench = Bench(connection=ONE_WAY)
    assert bench.take(bench.changed("office", "card", CARD)) == []
    assert bench.link().status == "outside"


def test_a2_rules_choose_who_is_paired_and_direction_where_values_flow() -> None:
    bench = Bench(connection=replace(TWO_WAY, rules=(Rule(source="left"),)))
    assert bench.take(bench.changed("office", "card", CARD)) == []
    bench.take(bench.changed("shop", "cus", ADA))
    assert bench.link().status == "active"
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)), Update)
    assert update.aim.account == "shop"


def test_a6_pausing_takes_in_and_stops_effects_and_resuming_writes_each_side_once() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    for turn in range(10, 20):
        assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone(str(turn))}, at=100 * turn)) == []
        assert bench.take(bench.changed("office", "card", {**CARD, "note": (f"note {turn}",)}, at=100 * turn)) == []
    told = writes(bench.resume())
    assert {(write.aim.account, str(write.fields)) for write in told if isinstance(write, Update)} == {
        ("office", str({"tel": phone("19")})),
        ("shop", str({"description": ("note 19",)})),
    }
    assert len(told) == 2


def test_a6_an_edit_undone_during_the_pause_is_no_change() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.take(bench.changed("shop", "cus", ADA, at=200))
    assert bench.resume() == []


def test_a6_a_deletion_during_the_pause_is_tagged_after_it() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(600) == []
    bench.resume()
    assert [type(write).__name__ for write in writes(bench.wait(3))] == ["Tag"]
