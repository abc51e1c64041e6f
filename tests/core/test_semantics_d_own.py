"""Fails when a line of one's own isn't mapped as the file says: custom fields, directions, switches (D2, D10)."""

import pytest
from msgspec.structs import replace

from services.contracts.app import CustomFields
from services.contracts.commands import Create, Update
from services.contracts.connection import Connection, Direction, MappingLine
from services.contracts.contact import Side
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
