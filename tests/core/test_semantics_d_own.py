"""Fails when a line of one's own isn't mapped as the file says: custom fields, directions, switches (D2, D10)."""

import itertools

import pytest
from msgspec.structs import replace

from services.contracts.app import CustomFields, Field
from services.contracts.commands import Create, Update
from services.contracts.connection import Connection, Direction, MappingLine
from services.contracts.contact import Address, PersonName, Side, Value
from tests.core.bench import ADA, BOOK, CARD, SHOP, TWO_WAY, Bench, only, writes

CUSTOM_SHOP = replace(SHOP, custom=CustomFields(prefix="metadata.", title="metadata key", max_length=10))
CUSTOM_BOOK = replace(BOOK, custom=CustomFields(prefix="custom.", title="custom field"))
PRODUCT = MappingLine(left="metadata.product", right="custom.product")


def bench(*lines: MappingLine, direction: Direction = "two_way") -> Bench:
    connection: Connection = replace(TWO_WAY, mappings=lines, direction=direction)
    return Bench(connection=connection, manifests={"shop": CUSTOM_SHOP, "office": CUSTOM_BOOK})


def test_d2_a_metadata_key_arrives_in_a_custom_field_with_the_create() -> None:
    at = bench(PRODUCT)
    create = only(at.take(at.changed("shop", "cus", {**ADA, "metadata.product": ("syncbox",)})), Create)
    assert create.fields["custom.product"] == ("syncbox",)


def test_d2_a_line_of_ones_own_goes_both_ways_and_its_echo_is_quiet() -> None:
    at = bench(PRODUCT)
    at.paired(ADA, CARD)
    there = only(at.take(at.changed("shop", "cus", {**ADA, "metadata.product": ("syncbox",)}, at=100)), Update)
    assert (there.aim.account, there.fields) == ("office", {"custom.product": ("syncbox",)})
    now = {**CARD, "custom.product": ("syncbox",)}
    assert at.take(at.written(there, now, at=110)) == []
    assert at.take(at.changed("office", "card", now, at=120)) == []
    back = only(at.take(at.changed("office", "card", {**CARD, "custom.product": ("other",)}, at=200)), Update)
    assert (back.aim.account, back.fields) == ("shop", {"metadata.product": ("other",)})


@pytest.mark.parametrize(
    ("line", "connection", "into"),
    [
        ("left_to_right", "two_way", {"right"}),
        ("right_to_left", "two_way", {"left"}),
        ("two_way", "two_way", {"left", "right"}),
        (None, "right_to_left", {"left"}),
        ("left_to_right", "left_to_right", {"right"}),
        ("left_to_right", "right_to_left", set()),
    ],
)
def test_d2_a_line_follows_the_connections_direction_or_is_narrowed(
    line: Direction | None, connection: Direction, into: set[Side]
) -> None:
    at = bench(replace(PRODUCT, direction=line), direction=connection)
    at.paired(ADA, CARD)
    moved = at.take(at.changed("shop", "cus", {**ADA, "metadata.product": ("a",)}, at=100))
    assert {write.aim.side for write in writes(moved)} == into & {"right"}
    at = bench(replace(PRODUCT, direction=line), direction=connection)
    at.paired(ADA, CARD)
    moved = at.take(at.changed("office", "card", {**CARD, "custom.product": ("b",)}, at=100))
    assert {write.aim.side for write in writes(moved)} == into & {"left"}


def test_d2_a_line_that_is_off_does_nothing_and_takes_over_when_it_is_on_again() -> None:
    at = bench(replace(PRODUCT, enabled=False))
    at.paired(ADA, CARD)
    assert at.take(at.changed("shop", "cus", {**ADA, "metadata.product": ("syncbox",)}, at=100)) == []
    at.configure(replace(at.connection, mappings=(PRODUCT,)), version=2)
    assert only(at.sweep(), Update).fields == {"custom.product": ("syncbox",)}


def test_d2_a_custom_field_takes_a_standard_fields_place() -> None:
    at = bench(MappingLine(default="note", enabled=False), MappingLine(left="metadata.remark", right="note"))
    at.paired(ADA, CARD)
    update = only(at.take(at.changed("office", "card", {**CARD, "note": ("hello",)}, at=100)), Update)
    assert update.fields == {"metadata.remark": ("hello",)}


def test_d10_a_value_too_long_for_a_custom_field_is_refused_and_the_others_are_written() -> None:
    at = bench(PRODUCT)
    at.paired(ADA, CARD)
    changed = {**CARD, "custom.product": ("x" * 11,), "note": ("short",)}
    update = only(at.take(at.changed("office", "card", changed, at=100)), Update)
    assert update.fields == {"description": ("short",)}
    refusal = at.link().left.refused["metadata.product=custom.product"]
    assert "11 characters" in refusal.reason


def test_d9_clearing_a_custom_field_is_passed_on_and_setting_it_again_too() -> None:
    at = bench(PRODUCT)
    at.paired({**ADA, "metadata.product": ("syncbox",)}, {**CARD, "custom.product": ("syncbox",)})
    update = only(at.take(at.changed("shop", "cus", ADA, at=100)), Update)
    assert (update.aim.account, update.fields) == ("office", {"custom.product": ()})
    assert at.take(at.written(update, CARD, at=110)) == []
    update = only(at.take(at.changed("shop", "cus", {**ADA, "metadata.product": ("b",)}, at=200)), Update)
    assert update.fields == {"custom.product": ("b",)}


def test_d9_a_required_field_is_not_cleared_through_a_line_of_ones_own() -> None:
    must = replace(CUSTOM_BOOK, fields=(*BOOK.fields, Field(path="title", canonical=None, type="text", required=True)))
    line = MappingLine(left="metadata.title", right="title")
    connection = replace(TWO_WAY, mappings=(line,))
    at = Bench(connection=connection, manifests={"shop": CUSTOM_SHOP, "office": must})
    at.paired({**ADA, "metadata.title": ("Dr",)}, {**CARD, "title": ("Dr",)})
    assert at.take(at.changed("shop", "cus", ADA, at=100)) == []


def test_d5_a_single_custom_field_replaces_the_first_of_many_and_keeps_the_others() -> None:
    many = replace(BOOK, custom=CustomFields(prefix="custom.", title="custom field", multi=True))
    at = Bench(connection=replace(TWO_WAY, mappings=(PRODUCT,)), manifests={"shop": CUSTOM_SHOP, "office": many})
    at.paired({**ADA, "metadata.product": ("a",)}, {**CARD, "custom.product": ("a", "b")})
    update = only(at.take(at.changed("shop", "cus", {**ADA, "metadata.product": ("c",)}, at=100)), Update)
    assert update.fields == {"custom.product": ("c", "b")}
    now = {**CARD, "custom.product": ("c", "b")}
    assert at.take(at.written(update, now, at=110)) == []
    update = only(at.take(at.changed("shop", "cus", ADA, at=200)), Update)
    assert update.fields == {"custom.product": ("b",)}


def test_b10_an_email_that_a_line_of_ones_own_carries_is_held() -> None:
    at = bench(MappingLine(default="email", enabled=False), MappingLine(left="email", right="email"))
    at.paired(ADA, CARD)
    assert at.take(at.changed("office", "card", {**CARD, "email": ("new@example.com",)}, at=100)) == []
    assert set(at.link().left.held) == {"email=email"}


def test_b10_at_first_pairing_a_line_of_ones_own_leaves_unequal_emails_alone() -> None:
    at = bench(MappingLine(default="email", enabled=False), MappingLine(left="email", right="email"))
    at.paired(ADA, {**CARD, "email": ("king@example.com", "ada@example.com")})
    assert at.link().left.held == {}
    assert not [each for each in at.sent if isinstance(each, Update)]


EXTRA: tuple[Field, ...] = (
    Field(path="t", canonical=None, type="text"),
    Field(path="p", canonical=None, type="phone"),
    Field(path="e", canonical=None, type="email"),
    Field(path="nm", canonical=None, type="name"),
    Field(path="a", canonical=None, type="address"),
)
VALUES: dict[str, Value] = {
    "t": "Ada King",
    "p": "+1 202 555 0101",
    "e": "king@example.com",
    "nm": PersonName(given="Ada", family="King"),
    "a": Address(city="Bath"),
}
BECOMES: dict[tuple[str, str], Value] = {
    **{(path, path): value for path, value in VALUES.items()},
    ("t", "nm"): PersonName(given="Ada", family="King"),
    ("nm", "t"): "Ada King",
    ("t", "p"): "Ada King",
    ("p", "t"): "+1 202 555 0101",
    ("e", "t"): "king@example.com",
}


@pytest.mark.parametrize(("left", "right"), list(itertools.product(VALUES, VALUES)))
def test_d6_a_value_becomes_one_of_the_other_type_where_that_can_be(left: str, right: str) -> None:
    apps = {
        "shop": replace(SHOP, fields=(*SHOP.fields, *EXTRA)),
        "office": replace(BOOK, fields=(*BOOK.fields, *EXTRA)),
    }
    connection = replace(TWO_WAY, mappings=(MappingLine(left=left, right=right),))
    for source, fields, path, target in (("shop", ADA, left, right), ("office", CARD, right, left)):
        at = Bench(connection=connection, manifests=apps)
        at.paired(ADA, CARD)
        name = "cus" if source == "shop" else "card"
        told = at.take(at.changed(source, name, {**fields, path: (VALUES[path],)}, at=100))
        if (path, target) not in BECOMES:
            assert told == []
            continue
        update = only(told, Update)
        assert update.fields == {target: (BECOMES[path, target],)}
        there = {**(CARD if source == "shop" else ADA), **update.fields}
        assert at.take(at.written(update, there, at=110)) == []
        account, other = ("office", "card") if source == "shop" else ("shop", "cus")
        assert at.take(at.changed(account, other, there, at=120)) == []
