"""The model and the verdict: what has to be on both sides, whoever says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from tests.faults.accounts import Account, Looked, Row
from tests.faults.generator import Generator, address
from tests.faults.model import FIELDS, Model, number_in, numbers_in, worded
from tests.faults.schedule import QUICK, Delete, Edit, Make, Schedule, drawn
from tests.faults.verdict import Finding, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable

LEFT, RIGHT = ("l0", "p0-0@example.com", "note"), ("r0", "p0-0@example.com", "note")


@pytest.mark.parametrize("name", FIELDS)
def test_a_value_holds_its_number_however_it_is_written(name: str) -> None:
    for number in (1, 9_999, 10_000, 123_456):
        value = worded(name, number)
        assert number_in(name, value) == number
        assert number_in(name, f" {value} ") == number
        assert numbers_in(f"{{'x': '{value}'}}".encode()) == {number}
    assert number_in("phone", "+1 (212) 200-0042") == 42
    assert numbers_in(b"(212) 2000042") == set()
    assert number_in(name, "") is None


def test_an_edit_that_saw_another_one_overrules_it_on_whichever_side() -> None:
    model = Model()
    model.edited(LEFT, 1)
    model.saw(RIGHT, 1)
    model.edited(RIGHT, 2)
    assert model.standing((LEFT, RIGHT)) == {2}
    model.edited(LEFT, 3)  # without having seen 2
    assert model.standing((LEFT, RIGHT)) == {2, 3}
    model.saw(LEFT, 2)
    model.edited(LEFT, 4)
    assert model.standing((LEFT, RIGHT)) == {4}


def test_who_saw_an_edit_saw_what_that_had_seen() -> None:
    model = Model()
    for number in (1, 2, 3):
        model.edited(LEFT, number)
    model.saw(RIGHT, 3)
    model.edited(RIGHT, 4)
    assert model.past[4] == {1, 2, 3}
    model.saw(RIGHT, 99)  # nobody's
    assert model.standing((LEFT, RIGHT)) == {4}


@dataclass
class Paper:
    """An account that nobody keeps in step with any other."""

    name: str
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    tagged: set[str] = field(default_factory=set)
    more: list[Row] = field(default_factory=list)

    async def everybody(self) -> Sequence[Row]:
        rows = [Row(email, email, fields, email in self.tagged) for email, fields in self.rows.items()]
        return [*rows, *self.more]

    async def make(self, email: str, fields: Mapping[str, str]) -> None:
        self.rows[email] = dict(fields)

    async def edit(self, email: str, fields: Mapping[str, str], looked: Looked) -> bool:
        if email not in self.rows:
            return False
        looked(dict(self.rows[email]))
        self.rows[email] |= fields
        return True

    async def delete(self, email: str) -> bool:
        return self.rows.pop(email, None) is not None

    async def bring_back(self, email: str) -> bool:
        return False

    def writes(self) -> int:
        return 0

    def deletions(self) -> int:
        return 0

    def carried(self) -> set[int]:
        return set()


async def told(after: Callable[[Paper, Paper], None], *changes: Edit | Make | Delete) -> list[str]:
    """What is found wrong after the changes, and what `after` does for contactsync."""
    left, right, model = Paper("l0"), Paper("r0"), Model()
    generator = Generator([(cast("Account", left), cast("Account", right))], model)
    await generator.settle_in(Schedule(0, QUICK, ((("left", "right"),),), (), (), (0,)))
    assert left.rows == right.rows
    for change in changes:
        await generator._one(change)
    after(left, right)
    found = await judge([(left, right)], model, generator.made, generator.gone)
    return [f"{finding.kind} {finding.about}".strip() for finding in found]


def nothing(left: Paper, right: Paper) -> None:
    """Nothing is done."""


EDIT = Edit(0, 0, 0, "left", ("note",))
WHO = address(0, 0)


async def test_equal_sides_that_hold_the_last_edit_are_right() -> None:
    def in_step(left: Paper, right: Paper) -> None:
        right.rows[WHO] = dict(left.rows[WHO])

    assert await told(in_step, EDIT, EDIT) == []


async def test_an_edit_that_is_on_neither_side_is_lost_and_one_that_is_on_one_side_diverges() -> None:
    def undone(left: Paper, right: Paper) -> None:
        left.rows[WHO] = dict(right.rows[WHO])

    assert await told(undone, EDIT) == ["lost note"]
    assert await told(nothing, EDIT) == ["diverged note"]


async def test_of_two_edits_that_have_not_seen_each_other_either_may_win() -> None:
    other = Edit(0, 0, 0, "right", ("note",))
    for winner in ("left", "right"):

        def one_wins(left: Paper, right: Paper, winner: str = winner) -> None:
            rows = (left if winner == "left" else right).rows[WHO]
            left.rows[WHO], right.rows[WHO] = dict(rows), dict(rows)

        assert await told(one_wins, EDIT, other) == []


async def test_who_was_made_and_is_on_one_side_only_is_lost_and_who_is_there_twice_is_a_duplicate() -> None:
    def twice(left: Paper, right: Paper) -> None:
        right.rows[address(0, 1)] = dict(left.rows[address(0, 1)])
        right.more.append(Row("again", address(0, 1), right.rows[WHO], tagged=False))

    make = Make(0, 0, 1, ("left",))
    assert await told(nothing, make) == ["lost"]
    found = await told(twice, make)
    assert "duplicates" in found


async def test_a_deletion_has_to_be_tagged_on_the_left_and_made_again_nowhere() -> None:
    gone = Delete(0, 0, 0, None)

    def tagged(left: Paper, right: Paper) -> None:
        left.tagged.add(WHO)

    def made_again(left: Paper, right: Paper) -> None:
        right.rows[WHO] = dict(left.rows[WHO])

    assert await told(tagged, gone) == []
    assert await told(nothing, gone) == ["lost"]
    assert await told(made_again, gone) == ["duplicates"]
    assert await told(tagged) == ["diverged"]


def test_the_line_says_what_the_issue_asks_for() -> None:
    verdict = Verdict(kills=200, changes=20_000)
    assert verdict.good
    assert verdict.line(4) == (
        "faults: seed=4 kills=200 changes=20000 lost=0 duplicates=0 diverged=0 hard_deletes=0 stale_commits=0 "
        "writes_after_quiescence=0"
    )
    wrong = Verdict(findings=[Finding("lost", "c0", "x", "note", "")])
    assert not wrong.good
    assert " lost=1 " in wrong.line(4)
    assert not Verdict(writes_after_quiescence=1).good
    assert not Verdict(unrest="a write").good


def test_a_schedule_is_played_by_its_people() -> None:
    assert {type(change) for change in drawn(1, QUICK).changes} == {Edit, Make, Delete}
