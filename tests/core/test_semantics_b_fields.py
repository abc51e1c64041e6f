"""Conditions on fields (SEMANTICS B5): how each kind of value compares."""

import pytest

from services.contracts.contact import Address, Fields, PersonName
from services.contracts.rule import Condition, FieldIs, Operator
from services.sync.core.rules import judge
from tests.core.scene import config, known, left, right

HOME = Address(line1="1 Main Street", city="São Paulo", postal_code="01310", country="BR")
FULL: Fields = {
    "name": ("Ada King",),
    "email": ("Ada@Example.com",),
    "phone": ("+1 (202) 555-0101",),
    "address": (HOME,),
    "tier": ("  Gold Plus ",),
    "memo": ("",),
    "metadata.points": ("10",),
    "metadata.since": ("2026-03-01",),
    "metadata.seen": ("2026-03-01T12:00:00+02:00",),
}
MANY: Fields = {
    "n": (PersonName(given="Ada", family="King", suffix="PhD"),),
    "email": ("ada@example.com", "ADA@work.example"),
    "tel": ("+12025550101", "+44 20 7946 0958"),
    "adr": (HOME, Address(city="Gent", country="BE")),
}


def says(condition: Condition, fields: Fields = FULL) -> bool | None:
    """What the shop's rule says of a contact of the shop."""
    return judge(config(left(condition)), "left", known(fields), there=None).holds


def office_says(condition: Condition, fields: Fields = MANY) -> bool | None:
    """What the office's rule says of a contact of the office."""
    return judge(config(right(condition)), "right", known(fields, account="office"), there=None).holds


def field(path: str, operator: Operator, *values: str) -> FieldIs:
    return FieldIs(path=path, operator=operator, values=values)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (field("tier", "equals", "gold plus"), True),
        (field("tier", "equals", "  GOLD PLUS  "), True),
        (field("tier", "equals", "gold"), False),
        (field("tier", "not_equals", "Gold Plus"), False),
        (field("tier", "not_equals", "gold"), True),
        (field("tier", "contains", "LD PL"), True),
        (field("tier", "contains", "silver"), False),
        (field("tier", "starts_with", "gOLD"), True),
        (field("tier", "starts_with", "plus"), False),
        (field("tier", "ends_with", "PLUS"), True),
        (field("tier", "ends_with", "gold"), False),
        (field("tier", "one_of", "silver", "gold plus"), True),
        (field("tier", "one_of", "silver", "gold"), False),
        (field("tier", "is_empty"), False),
        (field("tier", "is_not_empty"), True),
        (field("name", "equals", "ada king"), True),
        (field("name", "ends_with", "king"), True),
    ],
)
def test_b5_text_compares_without_case_and_blanks_around_it(condition: FieldIs, *, holds: bool) -> None:
    assert says(condition) is holds


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("equals", False),
        ("not_equals", True),
        ("contains", False),
        ("starts_with", False),
        ("ends_with", False),
        ("one_of", False),
        ("greater", False),
        ("less", False),
        ("is_empty", True),
        ("is_not_empty", False),
    ],
)
@pytest.mark.parametrize("path", ["memo", "nothing.like.it", "metadata.unknown", "address.state"])
def test_b5_a_field_that_is_empty_or_missing_is_only_empty_and_not_equal(
    path: str, operator: Operator, *, holds: bool
) -> None:
    values = () if operator in ("is_empty", "is_not_empty") else ("x",)
    assert says(field(path, operator, *values)) is holds


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (field("email", "equals", " ADA@example.COM "), True),
        (field("email", "not_equals", "ada@EXAMPLE.com"), False),
        (field("email", "ends_with", "@Example.com"), True),
        (field("email", "starts_with", "ADA@"), True),
        (field("email", "one_of", "bob@example.com", "Ada@example.com"), True),
        (field("phone", "equals", "+12025550101"), True),
        (field("phone", "equals", "+1-202-555-0101"), True),
        (field("phone", "equals", "+1 202 555 0199"), False),
        (field("phone", "not_equals", "+1 202 555 0101"), False),
        (field("phone", "starts_with", "+1"), True),
        (field("phone", "starts_with", "+1 202"), True),
        (field("phone", "starts_with", "+44"), False),
        (field("phone", "contains", "555-01"), True),
        (field("phone", "ends_with", "01 01"), True),
    ],
)
def test_b5_email_and_phone_compare_normalized(condition: FieldIs, *, holds: bool) -> None:
    assert says(condition) is holds


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (field("address.city", "equals", "são paulo"), True),
        (field("address.city", "equals", "Sa\u0303o Paulo"), True),
        (field("address.country", "equals", "br"), True),
        (field("address.country", "one_of", "BE", "BR"), True),
        (field("address.postal_code", "starts_with", "013"), True),
        (field("address.line2", "is_empty"), True),
        (field("address.line1", "is_not_empty"), True),
        (field("address", "contains", "main street"), True),
        (field("address", "is_not_empty"), True),
        (field("address.planet", "is_empty"), True),
    ],
)
def test_b5_a_part_of_an_address(condition: FieldIs, *, holds: bool) -> None:
    assert says(condition) is holds


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (field("n", "contains", "ADA KING"), True),
        (field("n", "equals", "Ada"), False),
        (field("n.given", "equals", "ADA"), True),
        (field("n.family", "starts_with", "k"), True),
        (field("n.suffix", "is_not_empty"), True),
        (field("n.middle", "is_empty"), True),
        (field("n.given", "not_equals", "Bob"), True),
    ],
)
def test_b5_a_part_of_a_name(condition: FieldIs, *, holds: bool) -> None:
    assert office_says(condition) is holds


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (field("email", "equals", "ada@WORK.example"), True),
        (field("email", "not_equals", "ada@work.example"), False),
        (field("email", "not_equals", "bob@work.example"), True),
        (field("email", "ends_with", "@work.example"), True),
        (field("tel", "starts_with", "+44"), True),
        (field("tel", "equals", "+442079460958"), True),
        (field("adr.country", "equals", "be"), True),
        (field("adr.country", "not_equals", "BE"), False),
        (field("adr.city", "one_of", "Gent", "Brugge"), True),
        (field("adr.postal_code", "is_empty"), False),
        (field("email", "is_empty"), False),
    ],
)
def test_b5_any_of_several_values_may_fit_and_for_the_negated_none_may(condition: FieldIs, *, holds: bool) -> None:
    assert office_says(condition) is holds


@pytest.mark.parametrize(
    ("path", "operator", "value", "holds"),
    [
        ("metadata.points", "greater", "9", True),
        ("metadata.points", "greater", "10", False),
        ("metadata.points", "less", "10.5", True),
        ("metadata.points", "less", "9", False),
        ("metadata.points", "greater", "-1e3", True),
        ("metadata.points", "greater", "2020-01-01", False),
        ("metadata.points", "less", "many", False),
        ("metadata.since", "greater", "2026-02-28", True),
        ("metadata.since", "greater", "2026-03-01", False),
        ("metadata.since", "less", "2026-03-01T00:00:01Z", True),
        ("metadata.since", "less", "2026-02-28", False),
        ("metadata.seen", "greater", "2026-03-01T09:59:59Z", True),
        ("metadata.seen", "less", "2026-03-01T10:00:01Z", True),
        ("metadata.seen", "less", "2026-03-01t10:00:01z", True),
        ("metadata.since", "greater", "5", False),
        ("tier", "greater", "a", False),
        ("tier", "less", "z", False),
    ],
)
def test_b5_greater_and_less_compare_numbers_and_dates_and_nothing_else(
    path: str, operator: Operator, value: str, *, holds: bool
) -> None:
    assert says(field(path, operator, value)) is holds


def test_b5_a_custom_field_is_compared_like_a_text() -> None:
    assert says(field("metadata.points", "equals", " 10 ")) is True
    assert says(field("metadata.points", "one_of", "9", "11")) is False
    assert says(field("metadata.Points", "is_empty")) is True, "a key is typed exactly"
