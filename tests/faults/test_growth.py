"""Memory's growth: measured on this process, fitted to a line, and judged."""

from __future__ import annotations

import os

import pytest

from tests.faults.growth import Growth, held, per_ten_minutes


def test_the_slope_is_that_of_the_line_through_noise() -> None:
    samples = [(float(at), 100 + at / 600 + (0.5 if at % 20 else -0.5)) for at in range(0, 1800, 10)]
    assert per_ten_minutes(samples) == pytest.approx(1.0, abs=0.05)
    assert per_ten_minutes([(0.0, 50.0), (10.0, 50.0)]) == 0


def test_one_sample_has_no_slope() -> None:
    with pytest.raises(ValueError, match="two samples"):
        per_ten_minutes([(0.0, 1.0)])


def test_what_was_held_in_the_beginning_does_not_count() -> None:
    warm = [(float(at), 50.0 + at) for at in range(0, 300, 10)]
    steady = [(float(at), 350.0) for at in range(300, 900, 10)]
    growth = Growth(samples={"sync-0": warm + steady})
    assert growth.after(300) == {"sync-0": pytest.approx(0)}
    assert growth.steady(300)
    assert not growth.steady(0)


def test_a_process_that_was_started_again_is_not_steady() -> None:
    growth = Growth()
    for at in range(3):
        growth.sample(at, {"sync-0": os.getpid()})
    assert growth.samples["sync-0"][0][1] > 1
    growth.sample(3, {"sync-0": os.getppid()})
    assert growth.restarted == {"sync-0"}
    assert not growth.steady(0)


def test_a_process_that_is_not_there_holds_nothing() -> None:
    assert held(2**22 + 1) is None
    assert not Growth().steady(0)
