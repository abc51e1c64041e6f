"""Laws of fields with several values on both sides (D5): fails when an addition is lost or a removal comes back."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.contracts.app import Field
from services.contracts.connection import Connection, Direction
from services.contracts.contact import Contact, Side, Values
from services.sync.core.mapping import Config, Line, compile_config, elements, normal_view
from services.sync.core.state import Base
from services.sync.core.values import Want, merge
from tests.core.bench import BOOK, TWO_WAY, tel

PAPER = replace(BOOK, name="paper_app", fields=tuple(replace(each, guarded=False) for each in BOOK.fields))
BOTH = {"shop": PAPER, "office": BOOK}
SIDES: tuple[Side, Side] = ("left", "right")
NUMBERS = [f"+120255501{n:02}" for n in range(8)]


def spelt(number: str, how: int) -> str:
    """The number in one of the forms that people write it in."""
    return (number, f"{number[:2]} ({number[2:5]}) {number[5:]}", f"{number[:5]}-{number[5:8]}.{number[8:]} ")[how]


def config(winner: Side = "left", direction: Direction = "two_way", left: Field | None = None) -> tuple[Config, Line]:
    fields = tuple(left if left and each.path == left.path else each for each in BOOK.fields)
    connection: Connection = replace(TWO_WAY, winner=winner, direction=direction)
    manifests = {"shop": replace(PAPER, fields=fields), "office": BOOK}
    made = compile_config(connection, 1, manifests, paused=False)
    return made, next(line for line in made.lines if line.id == "phone")


class Pair:
    """Both sides of one line, written as the step writes them: one after the other, bases moved by receipts."""

    def __init__(self, winner: Side = "left", left_type: Field | None = None) -> None:
        self.config, self.line = config(winner, left=left_type)
        self.holds: dict[Side, Values] = {"left": (), "right": ()}
        self.base: Base | None = None
        self.writes: list[Side] = []

    def keys(self, side: Side) -> set[str]:
        return set(elements(self.holds[side], self.line, side))

    def once(self) -> bool:
        """Decide once and carry the write out; whether there was one."""
        left, right = (Contact(fields={"tel": self.holds[side]}) for side in SIDES)
        verdict = merge(self.config, self.line, left, right, self.base)
        if not isinstance(verdict, Want):
            self.base = getattr(verdict, "base", self.base)
            return False
        self.holds[verdict.target] = verdict.values
        back = normal_view(verdict.values, self.line, verdict.target)
        source = verdict.write.source
        self.base = Base(source, back) if verdict.target == "right" else Base(back, source)
        self.writes.append(verdict.target)
        return True

    def settle(self) -> None:
        for _ in range(4):
            if not self.once():
                assert not self.once()
                return
        raise AssertionError("it doesn't come to rest")


numbers = st.lists(st.tuples(st.sampled_from(NUMBERS), st.integers(0, 2)), max_size=6, unique_by=lambda each: each[0])
winners = st.sampled_from(SIDES)
TEXT = Field(path="tel", canonical="phone", type="text", multi=True)
types = st.sampled_from([None, TEXT])


def written(chosen: Iterable[tuple[str, int]]) -> Values:
    return tuple(spelt(number, how) for number, how in chosen)


@given(numbers, numbers, numbers, winners, types)
@settings(max_examples=400, deadline=None)
def test_d5_additions_survive_removals_are_passed_on_and_both_sides_come_to_the_same(
    first: list[tuple[str, int]],
    left: list[tuple[str, int]],
    right: list[tuple[str, int]],
    winner: Side,
    left_type: Field | None,
) -> None:
    pair = Pair(winner, left_type)
    pair.holds = {"left": written(first), "right": written(reversed(first))}
    pair.settle()
    assert pair.writes == []
    before = pair.keys("left")
    pair.holds = {"left": written(left), "right": written(right)}
    edited = {side: pair.keys(side) for side in SIDES}
    pair.settle()
    added = (edited["left"] | edited["right"]) - before
    kept = before & edited["left"] & edited["right"]
    assert pair.keys("left") == pair.keys("right") == added | kept
    assert len(pair.writes) == sum(edited[side] != added | kept for side in SIDES)


@given(numbers, numbers, numbers, numbers, winners)
@settings(max_examples=300, deadline=None)
def test_d5_an_edit_between_both_writes_counts_as_well(
    first: list[tuple[str, int]],
    left: list[tuple[str, int]],
    right: list[tuple[str, int]],
    more: list[tuple[str, int]],
    winner: Side,
) -> None:
    pair = Pair(winner)
    pair.holds = {"left": written(first), "right": written(first)}
    pair.settle()
    before = pair.keys("left")
    pair.holds = {"left": written(left), "right": written(right)}
    removed = before - (pair.keys("left") & pair.keys("right"))
    pair.once()
    fresh = {number for number, _ in more}
    for side in SIDES:
        had = pair.keys(side)
        pair.holds[side] = (*pair.holds[side], *(text for text in written(more) if not had & {str(text).strip()}))
    pair.settle()
    assert pair.keys("left") == pair.keys("right")
    assert fresh <= pair.keys("left")
    assert not (removed - fresh) & pair.keys("left")


@given(numbers, numbers, winners)
@settings(max_examples=200, deadline=None)
def test_d5_at_first_pairing_all_elements_of_both_survive(
    left: list[tuple[str, int]], right: list[tuple[str, int]], winner: Side
) -> None:
    pair = Pair(winner)
    pair.holds = {"left": written(left), "right": written(right)}
    everything = pair.keys("left") | pair.keys("right")
    first = next(iter(elements(pair.holds[winner], pair.line, winner)), None)
    same = pair.keys("left") == pair.keys("right")
    pair.settle()
    assert pair.keys("left") == pair.keys("right") == everything
    if first and not same:
        for side in set(pair.writes):
            assert next(iter(elements(pair.holds[side], pair.line, side))) == first


@given(numbers, numbers, numbers, winners, st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_d5_neither_the_order_nor_the_spelling_decides_which_elements_stay(
    first: list[tuple[str, int]],
    left: list[tuple[str, int]],
    right: list[tuple[str, int]],
    winner: Side,
    random: object,
) -> None:
    ends = []
    for turned in (False, True):
        pair = Pair(winner)
        pair.holds = {"left": written(first), "right": written(first)}
        pair.settle()
        pair.holds = {"left": written(left), "right": written(right)}
        if turned:
            pair.holds = {side: tuple(reversed([f" {text}" for text in pair.holds[side]])) for side in SIDES}
        pair.settle()
        ends.append(pair.keys("left"))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("resting", SIDES)
def test_p15_the_side_that_refused_it_comes_last(resting: Side) -> None:
    made, line = config()
    left, right = (Contact(fields={"tel": tel(digits)}) for digits in ("03", "04"))
    verdict = merge(made, line, left, right, Base("", ""), resting=frozenset({resting}))
    assert isinstance(verdict, Want)
    assert verdict.target != resting


def test_d5_what_one_side_adds_stays_though_the_other_had_it_before_and_removed_it() -> None:
    made, line = config()
    left, right = (Contact(fields={"tel": numbers}) for numbers in (tel("01"), (*tel("01"), *tel("02"))))
    base = Base(normal_view((*tel("01"), *tel("02")), line, "left"), normal_view(tel("01"), line, "right"))
    verdict = merge(made, line, left, right, base)
    assert isinstance(verdict, Want)
    assert (verdict.target, verdict.values) == ("left", (*tel("01"), *tel("02")))


def test_d5_a_form_that_the_app_made_is_an_element_of_its_own_once_the_other_is_there_too() -> None:
    made, line = config()
    left = Contact(fields={"tel": ("030 1234", *tel("01"))})
    right = Contact(fields={"tel": ("030 1234", "+49 30 1234")})
    base = Base(normal_view(("030 1234",), line, "left"), normal_view(("+49 30 1234",), line, "right"))
    verdict = merge(made, line, left, right, base)
    assert isinstance(verdict, Want)
    assert set(verdict.values) == {"030 1234", "+49 30 1234", *tel("01")}
