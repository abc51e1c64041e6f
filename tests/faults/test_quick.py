"""The quick campaign: everything that can go wrong once, over 300 changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.campaign import run
from tests.faults.report import report
from tests.faults.schedule import QUICK, drawn

SEED = 7


@pytest.mark.skipif(
    "CONTACTSYNC_TEST_FAULTS" not in os.environ,
    reason="the quick campaign takes three minutes of a machine of its own: CONTACTSYNC_TEST_FAULTS=1, or make faults",
)
async def test_kills_and_outages_lose_nothing_and_double_nothing(kafka_here: None, open_folder: Path) -> None:
    schedule = drawn(SEED, QUICK)
    ended = await run(schedule, open_folder / "faults")
    assert ended.verdict.good, report(ended)
    assert ended.verdict.kills == QUICK.kills
    assert ended.verdict.changes >= QUICK.changes
    assert ended.exits["SIGKILL"] == QUICK.kills
    assert ended.parked >= ended.poisoned
    # Each kind came, and each was over before the judgement.
    assert {fault.kind for fault in schedule.faults} <= {name.partition(" ")[0] for name in ended.faults}
