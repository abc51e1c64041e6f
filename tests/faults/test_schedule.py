"""A seed is a schedule: the same one always, another one for another seed, and as large as its size says."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from tests.faults.child import _POINTS
from tests.faults.house import MOST_WRITES
from tests.faults.schedule import FULL, MODES, POINTS, QUICK, WIRES, Delete, Edit, Make, Size, drawn

SIZES = pytest.mark.parametrize("size", [FULL, QUICK], ids=["full", "quick"])


@SIZES
def test_the_same_seed_is_the_same_schedule(size: Size) -> None:
    assert drawn(7, size) == drawn(7, size)
    assert drawn(7, size) != drawn(8, size)


@SIZES
def test_it_has_as_many_changes_and_kills_as_its_size_says(size: Size) -> None:
    schedule = drawn(3, size)
    counts = Counter(fault.kind for fault in schedule.faults)
    assert counts["kill"] + counts["point"] == size.kills
    assert counts["stop"] == len(size.stops)
    assert sum(len(change.fields) for change in schedule.changes if isinstance(change, Edit)) >= size.changes
    assert all(0 <= fault.at <= size.seconds for fault in schedule.faults)


def test_the_full_one_is_as_large_as_was_asked_for() -> None:
    assert (FULL.changes, FULL.kills, len(FULL.stops)) == (20_000, 200, 10)
    assert sum(pair.people for pair in FULL.pairs) == 500
    faults = drawn(1, FULL).faults
    assert {(fault.where, fault.more) for fault in faults if fault.kind == "wire"} == {
        (wire, mode) for wire in WIRES for mode in MODES
    }
    killed = {
        (fault.where.partition("-")[0], fault.more.partition(":")[0]) for fault in faults if fault.kind == "point"
    }
    assert killed == {(role, point) for role, points in POINTS.items() for point in points}
    assert max(fault.seconds for fault in faults if fault.kind == "gap") >= 180


@SIZES
def test_a_person_is_edited_only_where_they_are_known_and_deleted_at_most_once(size: Size) -> None:
    schedule = drawn(5, size)
    for number, pair in enumerate(size.pairs):
        people = [change.person for change in schedule.changes if isinstance(change, Edit) and change.pair == number]
        assert set(people) <= set(range(pair.people))
        gone = [change.person for change in schedule.changes if isinstance(change, Delete) and change.pair == number]
        assert len(gone) == len(set(gone)) == size.deletions
        new = [change.person for change in schedule.changes if isinstance(change, Make) and change.pair == number]
        assert sorted(new) == list(range(pair.people, pair.people + size.creates))


def test_f3_no_side_is_written_so_often_that_it_would_be_held() -> None:
    saves: defaultdict[tuple[int, int, str], list[float]] = defaultdict(list)
    for change in drawn(2, FULL).changes:
        if isinstance(change, Edit):
            saves[change.pair, change.person, change.side].append(change.at)
    most = max(sum(begun <= at < begun + 600 for at in times) for times in saves.values() for begun in times)
    assert 2 * most < MOST_WRITES


def test_every_point_is_one_that_processes_have() -> None:
    assert {point for points in POINTS.values() for point in points} == set(_POINTS)
