"""Fails when today's code decides otherwise about a recorded history, and shows where (P17)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.golden.history import FOLDER, Step, difference, read, replayed
from tests.golden.stories import STORIES

NAMES = sorted(path.stem for path in FOLDER.glob("*.ndjson"))


def test_g5_every_story_has_its_history() -> None:
    assert sorted(STORIES) == NAMES
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_g5_history_is_decided_as_it_was(name: str) -> None:
    steps = read(FOLDER / f"{name}.ndjson")
    changed = difference(steps, replayed(steps))
    assert not changed, f"\n{changed}\nIf that is meant: python -m tests.golden.record {name}"


def _otherwise(step: Step) -> Step:
    first = step.decided[0]
    return replace(step, decided=(replace(first, outcome="tag", reason="another reason"), *step.decided[1:]))


def test_g5_a_changed_decision_is_shown_where_it_is() -> None:
    steps = read(FOLDER / "conflict.ndjson")
    at = next(number for number, step in enumerate(steps) if step.sent)
    recorded = [_otherwise(step) if number == at else step for number, step in enumerate(steps)]
    told = difference(recorded, replayed(recorded))
    assert told.startswith(f"step {at + 1}, ")
    assert "-    because another reason" in told
    assert "\n+    because " in told
    assert told.count("step ") == 1


def test_g5_a_changed_value_of_a_command_is_shown() -> None:
    steps = read(FOLDER / "create.ndjson")
    at = next(number for number, step in enumerate(steps) if step.sent)
    sent = steps[at].sent[0]
    body = bytes(sent.body).replace(b"Ada", b"Eva")
    recorded = [
        replace(step, sent=(replace(sent, body=body),)) if number == at else step for number, step in enumerate(steps)
    ]
    lines = difference(recorded, replayed(steps)).splitlines()
    assert [line for line in lines if line.startswith("-") and "Eva" in line]
    assert [line for line in lines if line.startswith("+") and "Ada" in line]
