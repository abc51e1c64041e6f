"""Fails when the measurement of the audit no longer measures anything: a small history, told and audited."""

from __future__ import annotations

from pathlib import Path

from tests.bench.replay import measure, write


def test_g5_a_small_history_is_audited_and_measured(tmp_path: Path) -> None:
    write(tmp_path / "history", 2_000)
    found = measure(tmp_path / "history")
    assert found.events >= 2_000
    assert (found.differences, found.writes) == (0, 0)
    assert len(found.memory) == 10
    assert "audited at" in found.told()
