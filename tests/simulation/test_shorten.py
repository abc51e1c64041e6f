"""A story that ends wrong is found, and told as a short one: here the list of events keeps to itself what got lost."""

from __future__ import annotations

import pytest

from tests.simulation.features import Features
from tests.simulation.play import play, shorten
from tests.simulation.reading import Reading

GAPING = Features(between=True, gaps=True)
LONGEST = 60
"""Lines of a story that a person reads in one go."""


def test_a_lost_hour_that_nobody_asks_for_is_noticed_and_shortened_to_a_readable_story(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Reading, "catch_up", lambda self: self.unheard.clear())
    seed, whole = next((seed, ended) for seed in range(100) if (ended := play(seed, GAPING)).wrong)
    short = shorten(seed, GAPING)
    assert short.wrong[0].split(":")[0] == whole.wrong[0].split(":")[0]
    assert len(short.story) < len(whole.story)
    assert len(short.story) <= LONGEST
    assert any("lost: webhook" in line for line in short.story)
    assert any("a person edits shop" in line for line in short.story)
