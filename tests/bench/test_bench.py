"""Fails when the bench no longer measures, or tells what it measured wrongly."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tests.bench import peers
from tests.bench.__main__ import PARTS
from tests.bench.deciding import hand, ours
from tests.bench.deliveries import SIZES, event
from tests.bench.place import address_of
from tests.bench.rounds import repeated, rounds
from tests.bench.row import Measured, Row, Run, Target
from tests.bench.table import Report, joined, markdown, text, write


def measured(*values: float) -> Measured:
    return Measured(name="it", runs=tuple(Run(value, value / 1000) for value in values))


def row(target: Target | None = None, *, limit: Measured | None = None) -> Row:
    limit = measured(1, 2, 4) if limit is None else limit
    return Row(id="B1", workload="work", unit="µs", ours=measured(2, 3, 4), limit=limit, target=target)


def test_a_ratio_is_the_median_over_pairs_of_runs() -> None:
    assert row().ratios(measured(1, 2, 4)) == (2, 1.5, 1)
    assert row().to_limit == 1.5
    assert row().ratios(measured(2)) == (1, 1.5, 2)


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target(most=1.5), "met"),
        (Target(most=1.4), "missed"),
        (Target(least=1.5), "met"),
        (Target(least=1.6), "missed"),
        (Target(most=1.0, plus=1.0, unit="ms"), "met"),
        (Target(of="value", most=2.9), "missed"),
        (Target(of="peer", most=9), "-"),
        (None, "-"),
    ],
)
def test_a_target_is_met_or_missed(target: Target | None, verdict: str) -> None:
    assert row(target).verdict == verdict


def test_a_row_without_its_limit_says_so_and_has_no_verdict() -> None:
    alone = row(Target(most=1), limit=Measured(name="a broker", missing="no Java"))
    assert (alone.to_limit, alone.verdict) == (None, "-")
    report = Report(machine="here", command="make bench", began="now", seconds=1, rows=(alone,))
    assert "a broker, not measured: no Java" in markdown(report)


def test_the_table_is_written_with_json_beside_it(tmp_path: Path) -> None:
    missed = msgspec.structs.replace(row(Target(most=1)), cause="the cause.")
    report = Report(
        machine="here", command="make bench", began="now", seconds=1, rows=(missed,), broken=(("B2", "why"),)
    )
    write(report, tmp_path / "new" / "bench.md")
    page = (tmp_path / "new" / "bench.md").read_text("utf-8")
    assert "| 3 (2 to 4) | 2 (1 to 4) | 1.50 |" in page
    assert "What stands in the way: the cause." in page
    assert "**B2** BROKEN: why" in page
    assert "B2 BROKEN: why" in text(report)
    assert msgspec.json.decode((tmp_path / "new" / "bench.json").read_bytes(), type=Report) == report


def test_a_page_may_keep_other_parts_of_an_earlier_run(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    write(Report(machine="here", command="make bench", began="then", seconds=1, rows=(row(),)), page)
    later = msgspec.structs.replace(row(), id="B10")
    both = joined(Report(machine="here", command="make bench", began="now", seconds=1, rows=(later,)), page)
    assert [(each.id, each.when) for each in both.rows] == [("B1", "in a run of then UTC"), ("B10", "")]
    again = joined(Report(machine="here", command="make bench", began="now", seconds=1, rows=(row(),)), page)
    assert [(each.id, each.when) for each in again.rows] == [("B1", "")]


async def test_every_competitor_runs_once_in_every_round_and_none_is_always_first() -> None:
    order: list[str] = []

    def of(name: str) -> Run:
        order.append(name)
        return Run(len(order))

    runs = await rounds(2, ours=lambda: of("ours"), limit=lambda: of("limit"))
    assert order == ["ours", "limit", "limit", "ours"]
    assert runs["ours"] == (Run(1), Run(4))


@pytest.mark.parametrize("size", SIZES)
def test_a_delivery_has_the_size_that_its_row_says(size: int) -> None:
    assert abs(len(event(1, size, created=1_790_000_000)) - size) <= size * 0.02


def test_b4_both_competitors_decide_and_are_timed() -> None:
    assert repeated(ours(), 0.01)().value > 0
    assert repeated(hand(), 0.01)().value > 0


def test_a_database_is_another_one_of_the_same_server() -> None:
    assert address_of("postgresql:///one?host=/tmp/x", "two") == "postgresql:///two?host=/tmp/x"
    assert address_of("postgresql://u:p@h:1/one", "two") == "postgresql://u:p@h:1/two"


def test_every_part_has_a_name_of_its_own() -> None:
    assert len({part.id for part in PARTS} | {part.module for part in PARTS}) == 2 * len(PARTS)


def test_the_peers_are_pinned_with_hashes_and_name_no_address() -> None:
    lines = peers.LOCK.read_text("utf-8").replace("\\\n", " ").splitlines()
    assert lines
    assert [line for line in lines if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    assert "://" not in peers.LOCK.read_text("utf-8")
