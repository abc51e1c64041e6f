"""Connections, directions, activation and pauses (SEMANTICS A1, A2, A4-A6) on the core."""

from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.contact import Fields
from services.contracts.rule import Rule
from tests.core.bench import ADA, CARD, ONE_WAY, SHOP, TWO_WAY, Bench, only, phone, tel, writes
from tests.core.scene import ALL_BACK, GOLD, IS_GOLD, VIP, alone, gold, left, pair_of, right

BOB: Fields = {**CARD, "email": ("bob@example.com",)}


def test_a1_an_account_serves_several_connections_each_by_its_own_rules() -> None:
    third = replace(TWO_WAY, name="second-shop", left="second", right="shop", rules=(Rule(source="right"),))
    manifests = {**Bench().manifests, "second": SHOP}
    bench = Bench(
        connection=replace(TWO_WAY, rules=()), manifests=manifests, scanned=frozenset(manifests), more=(third,)
    )
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert (create.aim.connection, create.aim.account) == ("second-shop", "second")
    assert bench.link_of("shop", "cus").status == "outside"


def test_a4_in_one_way_a_rule_of_the_opposite_direction_takes_nobody() -> None:
    scene = alone(right(), direction="left_to_right")
    assert scene.person("office", "bob", BOB) == []
    assert scene.person("shop", "cus", ADA) == []
    assert {link.status for link in scene.bench.links()} == {"outside"}
    assert scene.bench.state.decisions[0].reason == "the connection doesn't write to the other side"


def test_a4_in_one_way_a_rule_of_the_opposite_direction_pairs_and_keeps_nobody() -> None:
    scene = pair_of(gold(), ALL_BACK, direction="left_to_right")
    assert scene.link().paired
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.link().status == "outside"


def test_a4_in_one_way_a_rule_of_the_opposite_direction_does_nothing() -> None:
    scene = pair_of(left(), Rule(source="right", actions=(VIP,)), direction="left_to_right")
    assert scene.written == []


def test_a5_nothing_is_created_before_both_first_scans_have_ended_and_then_it_is_live() -> None:
    scene = alone(left(IS_GOLD))
    scene.bench.state.scanned = frozenset()
    assert scene.person("shop", "cus", GOLD) == []
    assert scene.bench.finish_scan("shop") == []
    assert isinstance(only(scene.bench.finish_scan("office"), Create), Create)
    assert isinstance(only(scene.person("shop", "cus2", {**GOLD, "email": ("x@example.com",)}), Create), Create)


def test_a5_a_changed_connection_reconsiders_every_contact_from_what_is_known() -> None:
    scene = alone(left(IS_GOLD))
    assert scene.person("shop", "cus", ADA) == []
    assert scene.person("shop", "eve", {**ADA, "email": ("eve@example.com",)}) == []
    made = scene.configure(left())
    assert [type(each) for each in made] == [Create, Create]


def test_a5_a_changed_connection_lets_go_whom_its_rules_no_longer_take() -> None:
    scene = pair_of(left())
    assert scene.carry_out(scene.configure(left(IS_GOLD))) == []
    assert scene.link().status == "active"
    scene = pair_of(left(), shop=ADA)
    assert scene.carry_out(scene.configure(left(IS_GOLD))) == []
    assert scene.link().status == "outside"


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
