"""How values compare and convert: by example and as laws."""

from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.app import Field, FieldType
from services.contracts.contact import Address, Contact, PersonName, Value, Values
from services.sync.core.identity import normal_address
from services.sync.core.mapping import (
    Flow,
    Line,
    agree,
    convert,
    convertible,
    normal,
    normal_phone,
    normal_view,
    wanted_values,
)
from services.sync.core.state import Base
from services.sync.core.values import Want, merge
from tests.core.bench import Bench

TYPES: tuple[FieldType, ...] = get_args(FieldType)
texts = st.text(max_size=20)
phones = st.one_of(texts, st.text("+0123456789 ()-./;,#*xext", max_size=20))
mails = st.one_of(texts, st.builds("{}@{}".format, texts, texts))
persons = st.builds(PersonName, prefix=texts, given=texts, middle=texts, family=texts, suffix=texts, full=texts)
places = st.builds(Address, line1=texts, line2=texts, city=texts, state=texts, postal_code=texts, country=texts)


def values_of(type_: FieldType) -> st.SearchStrategy[Value]:
    kinds: dict[FieldType, st.SearchStrategy[Value]] = {
        "text": texts,
        "email": mails,
        "phone": phones,
        "name": persons,
        "address": places,
    }
    return kinds[type_]


def line(
    left: FieldType, right: FieldType, *, many: bool = False, both_many: bool = False, flow: Flow = "both"
) -> Line:
    return Line(
        id="x",
        left=Field(path="l", canonical="x", type=left, multi=both_many),
        right=Field(path="r", canonical="x", type=right, multi=many or both_many),
        flow=flow,
    )


@given(phones)
@example("+1 202 555 0101 ext. 5")
@example("0800 FLOWERS")
@settings(max_examples=300, deadline=None)
def test_normalizing_a_phone_number_twice_changes_nothing(text: str) -> None:
    assert normal_phone(normal_phone(text)) == normal_phone(text)


@given(mails)
@settings(max_examples=300, deadline=None)
def test_normalizing_an_address_twice_changes_nothing(text: str) -> None:
    assert normal(normal(text, "email"), "email") == normal(text, "email")
    assert normal_address(normal_address(text)) == normal_address(text)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_normalizing_a_text_twice_changes_nothing(text: str) -> None:
    assert normal(normal(text, "text"), "text") == normal(text, "text")


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        ("phone", "+1 (202) 555-0101", "+12025550101"),
        ("phone", "(202) 555-0101", "202 555 0101"),
        ("email", " Ada@Example.COM ", "ada@example.com"),
        ("text", "a\r\nb ", "a\nb"),
        ("text", "Jose\u0301", "José"),
    ],
)
def test_these_are_the_same(type_: FieldType, one: str, other: str) -> None:
    assert normal(one, type_) == normal(other, type_)


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        ("phone", "+12025550101", "+12025550102"),
        ("phone", "+1 202 555 0101 ext. 5", "+1 202 555 0101"),
        ("text", "a\nb", "a b"),
        ("text", "Ada", "ada"),
        ("email", "a.da@example.com", "ada@example.com"),
    ],
)
def test_these_are_not(type_: FieldType, one: str, other: str) -> None:
    assert normal(one, type_) != normal(other, type_)


def test_parts_of_names_and_addresses_do_not_run_into_each_other() -> None:
    assert normal(PersonName(given="A B"), "name") != normal(PersonName(given="A", family="B"), "name")
    assert normal(Address(city="A"), "address") != normal(Address(state="A"), "address")
    assert normal(Address(country=" gb"), "address") == normal(Address(country="GB"), "address")


PAIRS = [(a, b) for a in TYPES for b in TYPES if convertible(a, b)]


@given(st.data(), st.sampled_from(PAIRS), st.booleans())
@settings(max_examples=300, deadline=None)
def test_after_writing_what_is_wanted_both_sides_agree(
    data: st.DataObject, types: tuple[FieldType, FieldType], many: bool
) -> None:
    rule = line(*types, many=many)
    source = tuple(data.draw(st.lists(values_of(types[0]), max_size=1)))
    present = tuple(data.draw(st.lists(values_of(types[1]), max_size=3 if many else 1)))
    wanted = wanted_values(rule, "right", source, present)
    if normal_view(source, rule, "left"):
        assert agree(rule, source, wanted, None)
        again = wanted_values(rule, "right", source, wanted)
        assert normal_view(again, rule, "right") == normal_view(wanted, rule, "right")


@given(st.data(), st.sampled_from(TYPES))
@settings(max_examples=200, deadline=None)
def test_equal_contacts_are_never_a_want(data: st.DataObject, type_: FieldType) -> None:
    rule = line(type_, type_)
    values: Values = tuple(data.draw(st.lists(values_of(type_), max_size=2)))
    config = Bench().state.configs["shop-office"]
    left, right = Contact(fields={"l": values}), Contact(fields={"r": values})
    for base in (None, Base("a", "b"), Base("", "")):
        assert not isinstance(merge(config, rule, left, right, base), Want)


@given(st.data(), st.sampled_from([("text", "name"), ("text", "text"), ("phone", "phone")]))
@settings(max_examples=200, deadline=None)
def test_a_base_at_the_present_values_wants_nothing(data: st.DataObject, types: tuple[FieldType, FieldType]) -> None:
    rule = line(*types)
    left: Values = tuple(data.draw(st.lists(values_of(types[0]), max_size=1)))
    right: Values = tuple(data.draw(st.lists(values_of(types[1]), max_size=1)))
    config = Bench().state.configs["shop-office"]
    base = Base(normal_view(left, rule, "left"), normal_view(right, rule, "right"))
    verdict = merge(config, rule, Contact(fields={"l": left}), Contact(fields={"r": right}), base)
    assert not isinstance(verdict, Want)


@given(st.lists(phones, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_and_repetition_of_many_values_do_not_count(values: list[str], random: object) -> None:
    rule = line("phone", "phone", both_many=True)
    mixed = sorted(values, key=lambda value: value[::-1])
    assert normal_view(tuple(values), rule, "left") == normal_view((*mixed, *values), rule, "right")


@given(persons)
@settings(max_examples=100, deadline=None)
def test_a_name_converted_to_text_and_back_is_the_name(name: PersonName) -> None:
    text = convert(name, "name", "text", None)
    assert isinstance(text, str)
    if text:
        assert normal(convert(text, "text", "name", name), "name") == normal(name, "name")


def test_writing_a_value_into_many_keeps_the_others_in_their_order() -> None:
    rule = line("phone", "phone", many=True)
    assert wanted_values(rule, "right", ("+1",), ("+2", "+3", "+1")) == ("+1", "+3")
    assert wanted_values(rule, "right", (), ("+2", "+3")) == ("+3",)
    assert wanted_values(rule, "left", ("+2", "+3"), ("+1",)) == ("+2",)


def test_types_that_do_not_convert_have_no_line() -> None:
    assert not convertible("address", "text")
    assert not convertible("text", "email")
    assert convertible("email", "text")
