"""The short ways that most lines of most decisions take come to what the long ones do."""

from __future__ import annotations

from typing import get_args
from uuid import uuid5

from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.app import Field, FieldType
from services.contracts.contact import Address, Contact, PersonName, Value, Values
from services.contracts.envelope import NAMESPACE, derived
from services.sync.core.mapping import Line, compile_config, looked_at, normal, normal_view, observed
from services.sync.core.state import Base
from services.sync.core.values import UNCHANGED, Rest, merge, unchanged
from tests.core.bench import BOOK, SHOP, TWO_WAY

TEXTS = (
    *(
        "",
        " ",
        "Ada",
        " Ada  King ",
        "Ada\nKing",
        "Ada\r\nKing ",
        "Jose\u0301",
        "Jos\u00e9",
        "\x1fA",
        "x\x0by",
        "a\u2028b",
    ),
    *("+1 202 555 0101", "+12025550101", "0101", "Ada@Example.com", "ada@example.com", "\u00df@x.y", "ss@x.y"),
)
CONFIG = compile_config(TWO_WAY, 1, {"shop": SHOP, "office": BOOK}, paused=False)
texts = st.sampled_from(TEXTS)
values: st.SearchStrategy[Value] = st.one_of(
    texts,
    st.builds(PersonName, given=texts, family=texts, full=texts),
    st.builds(Address, line1=texts, city=texts, country=texts),
)
fields: st.SearchStrategy[Values] = st.lists(values, max_size=3).map(tuple)
types = st.sampled_from(get_args(FieldType))


def line(left: FieldType, right: FieldType, *, many: bool) -> Line:
    def field(type_: FieldType) -> Field:
        return Field(path="it", canonical="it", type=type_, multi=many)

    return Line(id="it", left=field(left), right=field(right), flow="both")


@given(st.lists(st.text() | st.integers(), max_size=4))
def test_a_derived_id_is_the_uuid_that_its_causes_name(causes: list[str | int]) -> None:
    assert derived(*causes) == str(uuid5(NAMESPACE, "\x1f".join(str(cause) for cause in causes)))


@given(fields, types, st.booleans())
@settings(max_examples=500, deadline=None)
def test_looking_once_finds_what_looking_twice_does(here: Values, type_: FieldType, many: bool) -> None:
    contact, both = Contact(fields={"it": here}), line(type_, type_, many=many)
    seen = tuple(value for value in here if normal(value, type_))
    assert looked_at(contact, both.left, whole=both.whole) == (seen, normal_view(seen, both, "left"))
    assert observed(contact, both, "left") == seen


@given(fields, fields, types, st.booleans(), st.data())
@settings(max_examples=500, deadline=None)
def test_p3_a_line_counts_as_unchanged_when_a_merge_would_let_it_rest(
    one: Values, two: Values, type_: FieldType, many: bool, data: st.DataObject
) -> None:
    left, right, both = Contact(fields={"it": one}), Contact(fields={"it": two}), line(type_, type_, many=many)
    halves = [
        data.draw(
            st.sampled_from(
                (looked_at(left, both.left, whole=both.whole)[1], looked_at(right, both.right, whole=both.whole)[1], "")
            )
        )
        for _ in range(2)
    ]
    base = Base(*halves)
    verdict = merge(CONFIG, both, left, right, base)
    assert unchanged(both, left, right, base) == (isinstance(verdict, Rest) and verdict.reason == UNCHANGED)
