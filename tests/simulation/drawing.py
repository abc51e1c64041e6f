"""What Hypothesis draws from: contacts, edits, faults, moments, and what a story is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
)

T = TypeVar("T")
Key = tuple[str, str]
"""(account, contact id)."""
Edit = tuple[Key, str, str]
"""Whose field is changed, what a person calls it, and what kind of value it gets."""
FAULTS = {"answered": 1.0, "throttled": 0.05, "request lost": 0.15, "answer lost": 0.3}
"""What becomes of a request -> the draw that says so in `Writing.work`."""
THEMES: dict[str, dict[str, bool]] = {
    "edits": {},
    "deletions": {"deletions": True, "merges": True},
    "shared addresses": {"shared": True, "emails": True, "deletions": True, "merges": True},
    "directions": {"directions": True, "emails": True},
    "rules": {"rules": True, "deletions": True},
    "hands": {"hands": True, "shared": True, "emails": True, "deletions": True, "merges": True},
    "two connections": {"twin": True, "shared": True, "emails": True, "deletions": True, "merges": True},
}
"""What a story is about: the model knows what to say of each, not of all at once."""
TILL = "till-office"


class Drawn(Random):
    """Answers as Hypothesis has drawn before: one chance for every question, one time for every request."""

    def __init__(self, chance: float, micros: int) -> None:
        super().__init__(0)
        self.chance, self.micros = chance, micros

    def random(self) -> float:
        """Return the chance drawn."""
        return self.chance

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """Return the time drawn, below `start`."""
        return self.micros % start


@dataclass
class Tally:
    """What was tried."""

    steps: int = 0
    stories: int = 0
    idle: int = 0
    """Steps that had nothing to work on: not counted as made."""
    rules: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        often = ", ".join(f"{name} {times}" for name, times in sorted(self.rules.items()))
        return f"{self.steps} steps in {self.stories} stories (and {self.idle} that changed nothing): {often}"


people: Bundle[Key] = Bundle("people")
NAMES = st.sampled_from(["name", "phone", "note"])
KINDS = st.sampled_from(["new", "new", "new", "clear", "forbidden", "long"])
EDITS: st.SearchStrategy[Edit] = st.tuples(people, NAMES, KINDS)
MEANWHILE = st.none() | EDITS
TIMES = st.sampled_from([0, 1_000, 50_000, 250_000])
ADDRESSES = st.sampled_from(["a@example.test", "b@example.test", "c@example.test"])
INDEX = st.integers(0, 15)
CALM = ("deliver", "work", "poll", "sweep")
OUTCOMES = st.sampled_from(["answered", "answered", *FAULTS])
MOVES = st.tuples(st.sampled_from([*CALM, "deliver", "wait"]), INDEX, OUTCOMES)


def one_of(things: Sequence[T], which: int) -> T:
    """Return the thing that was drawn."""
    return things[which % len(things)]
