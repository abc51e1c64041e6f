"""Field mappings (SEMANTICS D1, D4, D5, D7-D10) on the core."""

import pytest
from msgspec.structs import replace

from services.contracts.app import Ability, Field
from services.contracts.commands import Create, Update
from services.contracts.connection import MappingLine
from services.contracts.contact import Address, Fields, PersonName, Side
from services.sync.core.state import Base
from tests.core.bench import ADA, BOOK, CARD, SHOP, TWO_WAY, Bench, only, phone, tel

STRICT_BOOK = replace(
    BOOK,
    fields=tuple(replace(field, required=True) if field.path in ("n", "tel") else field for field in BOOK.fields),
    abilities=BOOK.abilities - {Ability.GUARD},
)


def test_d1_the_default_mapping_joins_the_fields_both_have() -> None:
    config = Bench().state.configs["shop-office"]
    assert [line.id for line in config.lines] == ["name", "email", "phone", "address", "note"]


def test_d1_a_line_that_is_switched_off_flows_neither_way() -> None:
    off = replace(TWO_WAY, mappings=(MappingLine(default="phone", enabled=False),))
    bench = Bench(connection=off)
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)) == []
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("66")}, at=100)) == []


def test_d1_a_field_that_only_one_app_has_takes_no_part() -> None:
    wide = replace(SHOP, fields=(*SHOP.fields, Field(path="size", canonical="size", type="text")))
    bench = Bench(manifests={"shop": wide, "office": BOOK})
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "size": ("L",)}, at=100)) == []


def test_d4_a_name_is_joined_one_way_and_split_the_other() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edited = {**ADA, "name": ("Ada Lovelace",)}
    update = only(bench.take(bench.changed("shop", "cus", edited, at=100)), Update)
    assert update.fields == {"n": (PersonName(given="Ada", family="Lovelace"),)}
    bench.take(bench.written(update, {**CARD, "n": update.fields["n"]}, at=110))
    back = {**CARD, "n": (PersonName(given="Augusta", middle="Ada", family="Lovelace"),)}
    update = only(bench.take(bench.changed("office", "card", back, at=200)), Update)
    assert update.fields == {"name": ("Augusta Ada Lovelace",)}


@pytest.mark.parametrize(
    "name", ["Prof. Dr. Ada de la Cruz Jr.", "María José Ñuñez", "毛泽东", "Madonna", "Lovelace, Ada"]
)
def test_d4_an_echo_of_a_split_name_is_quiet(name: str) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "name": (name,)}, at=100)), Update)
    assert bench.take(bench.written(update, {**CARD, "n": update.fields["n"]}, at=110)) == []
    assert bench.take(bench.changed("office", "card", {**CARD, "n": update.fields["n"]}, at=120)) == []


def test_d5_many_to_one_takes_the_primary() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("office", "card", {**CARD, "tel": (*tel("55"), *tel("01"))})), Create)
    assert create.fields["phone"] == tel("55")


def test_d5_one_to_many_replaces_the_primary_and_keeps_the_others() -> None:
    bench = Bench()
    two = {**CARD, "tel": (*tel("01"), *tel("02"))}
    bench.paired(ADA, two)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert update.fields == {"tel": (*phone("55"), *tel("02"))}


def test_d5_one_to_many_does_not_double_a_value_the_target_has_further_down() -> None:
    bench = Bench()
    bench.paired(ADA, {**CARD, "tel": (*tel("01"), *tel("02"))})
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("02")}, at=100)), Update)
    assert update.fields == {"tel": phone("02")}


def test_d5_clearing_the_single_one_removes_just_that_element() -> None:
    bench = Bench()
    bench.paired(ADA, {**CARD, "tel": (*tel("01"), *tel("02"))})
    without = {key: values for key, values in ADA.items() if key != "phone"}
    update = only(bench.take(bench.changed("shop", "cus", without, at=100)), Update)
    assert update.fields == {"tel": tel("02")}
    assert bench.take(bench.written(update, {**CARD, "tel": tel("02")}, at=110)) == []
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("02")}, at=120)) == []


@pytest.mark.parametrize("winner", ["left", "right"])
def test_d7_at_first_pairing_the_winners_value_counts_and_an_empty_one_erases_nothing(winner: Side) -> None:
    bench = Bench(connection=replace(TWO_WAY, winner=winner), scanned=frozenset())
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55"), "description": ("shop's",)}))
    told = bench.take(bench.changed("office", "card", {**CARD, "adr": (Address(city="Bath"),)}))
    updates = {command.aim.account: command.fields for command in told if isinstance(command, Update)}
    filled: dict[str, Fields] = {"shop": {"address": (Address(city="Bath"),)}, "office": {"note": ("shop's",)}}
    if winner == "left":
        filled["office"] = {"tel": phone("55"), **filled["office"]}
    else:
        filled["shop"] = {"phone": tel("01"), **filled["shop"]}
    assert updates == filled


def test_d8_one_side_changed_counts_whoever_wins() -> None:
    bench = Bench(connection=replace(TWO_WAY, winner="left"))
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)), Update)
    assert (update.aim.account, update.fields) == ("shop", {"phone": tel("55")})


@pytest.mark.parametrize(("winner", "account"), [("left", "office"), ("right", "shop")])
def test_d8_both_changed_and_the_winner_counts(winner: Side, account: str) -> None:
    bench = Bench(connection=replace(TWO_WAY, winner=winner))
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("66")}, at=200))
    update = only(bench.resume(), Update)
    assert update.aim.account == account
    assert set(update.fields.values()) == {phone("55") if winner == "left" else tel("66")}


def test_d8_different_fields_changed_on_both_sides_all_flow() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.take(bench.changed("office", "card", {**CARD, "note": ("VIP",)}, at=100))
    told = bench.resume()
    assert {command.aim.account: command.fields for command in told if isinstance(command, Update)} == {
        "office": {"tel": phone("55")},
        "shop": {"description": ("VIP",)},
    }


def test_d9_clearing_a_field_is_a_change_like_any_other() -> None:
    bench = Bench()
    bench.paired({**ADA, "description": ("VIP",)}, {**CARD, "note": ("VIP",)})
    update = only(bench.take(bench.changed("office", "card", CARD, at=100)), Update)
    assert update.fields == {"description": ()}


def test_d9_blanks_count_as_cleared() -> None:
    bench = Bench()
    bench.paired({**ADA, "description": ("VIP",)}, {**CARD, "note": ("VIP",)})
    update = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("  ",)}, at=100)), Update)
    assert update.fields == {"description": ()}


def test_d9_a_field_the_target_requires_is_not_cleared() -> None:
    bench = Bench(manifests={"shop": SHOP, "office": STRICT_BOOK})
    bench.paired(ADA, CARD)
    without = {key: values for key, values in ADA.items() if key != "phone"}
    assert bench.take(bench.changed("shop", "cus", without, at=100)) == []
    assert bench.link().base["phone"] == Base("", "+12025550101")


def test_d9_an_email_is_never_cleared() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    without = {key: values for key, values in ADA.items() if key != "email"}
    assert bench.take(bench.changed("shop", "cus", without, at=100)) == []
    refilled = {**without, "email": ("ada@example.com",)}
    assert bench.take(bench.changed("shop", "cus", refilled, at=200)) == []


def test_d10_a_value_too_long_is_refused_with_the_reason_and_the_others_are_written() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edited = {**CARD, "note": ("x" * 41,), "tel": tel("55")}
    update = only(bench.take(bench.changed("office", "card", edited, at=100)), Update)
    assert update.fields == {"phone": tel("55")}
    assert "41 characters" in bench.link().left.refused["note"].reason
    assert "x" * 5 not in bench.link().left.refused["note"].reason


def test_d10_a_create_leaves_out_what_the_target_cannot_hold_and_says_so() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("x" * 41,)})), Create)
    assert "description" not in create.fields
    bench.take(bench.written(create, ADA, at=10, contact_id="cus"))
    assert "note" in bench.link().left.refused


def test_d10_exactly_the_limit_is_written_and_never_cut() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("x" * 40,)}, at=100)), Update)
    assert update.fields == {"description": ("x" * 40,)}


def test_d10_once_shortened_it_is_written() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", {**CARD, "note": ("x" * 41,)}, at=100)) == []
    update = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("short",)}, at=200)), Update)
    assert update.fields == {"description": ("short",)}
    bench.take(bench.written(update, {**ADA, "description": ("short",)}, at=210))
    assert bench.link().left.refused == {}
