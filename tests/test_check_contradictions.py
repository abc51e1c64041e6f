"""Conditions that are said to exclude each other do: judged by what the core makes of them."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from services.connectors import discover
from services.contracts.contact import Contact
from services.contracts.rule import FieldIs, Operator
from services.runtime.registry.conditions import OPERATORS
from services.runtime.registry.contradictions import comparable, excluding
from services.sync.core.rules import _field_is

STRIPE = discover()["stripe"].manifest
GOOGLE = discover()["google_contacts"].manifest
TEXTS = st.sampled_from(["a", "A", "ab", "b ", "ba", "aba", "5", "5.0", "6", "2026-01-01", "2026-01-02", "ß", "ss"])


@st.composite
def conditions(draw: st.DrawFn, path: str) -> FieldIs:
    operator: Operator = draw(st.sampled_from(OPERATORS))
    most = {"one_of": 3, "is_empty": 0, "is_not_empty": 0}.get(operator, 1)
    values = draw(st.lists(TEXTS, min_size=min(most, 1), max_size=most))
    if operator in {"greater", "less"} and comparable(values[0]) is None:
        values = ["5"]
    return FieldIs(path=path, operator=operator, values=tuple(values))


@settings(max_examples=1500, deadline=None)
@given(conditions("metadata.p"), conditions("metadata.p"), st.lists(TEXTS, max_size=1))
def test_b5_no_value_fits_two_conditions_that_are_said_to_exclude_each_other(
    one: FieldIs, two: FieldIs, values: list[str]
) -> None:
    contact = Contact(fields={"metadata.p": tuple(values)})
    if excluding([one, two], STRIPE):
        assert not (_field_is(one, contact, STRIPE) and _field_is(two, contact, STRIPE))


@settings(max_examples=1500, deadline=None)
@given(conditions("emailAddresses"), conditions("emailAddresses"), st.lists(TEXTS, max_size=3))
def test_b5_nor_do_several_values_of_a_field(one: FieldIs, two: FieldIs, values: list[str]) -> None:
    contact = Contact(fields={"emailAddresses": tuple(values)})
    if excluding([one, two], GOOGLE):
        assert not (_field_is(one, contact, GOOGLE) and _field_is(two, contact, GOOGLE))


def test_both_readings_of_dates_and_numbers_are_told_apart() -> None:
    assert comparable("5") == comparable("5.0")
    assert comparable("2026-01-01") == comparable("2026-01-01T01:00:00+01:00") == comparable("2026-01-01t00:00z")
    assert comparable("5") != comparable("2026-01-01")
    for neither in ("", "soon", "nan", "inf", "1e999", "12,5", "22.11.2026"):
        assert comparable(neither) is None, neither


@given(st.text(max_size=40) | st.dates().map(str) | st.datetimes().map(datetime.isoformat) | st.floats().map(str))
def test_no_text_makes_a_comparison_raise(text: str) -> None:
    found = comparable(text)
    assert found is None or found[0] in {"number", "moment"}
