"""The requests that the account received, for tests to count."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from services.connectors.stripe.sandbox.form import Tree

Outcome = Literal["open", "answered", "replayed", "refused", "failed", "dropped"]
"""`refused` by Stripe's rules, `failed` by a scripted fault, `dropped` without an answer."""


@dataclass
class Received:
    """One request: when, what, under which idempotency key, and what came of it.

    `executed` says whether it was carried out, whatever the answer; `events` counts the events it caused: a
    write that was executed without any changed nothing.
    """

    at: float
    method: str
    path: str
    request_id: str
    idempotency_key: str | None = None
    params: Tree = field(default_factory=dict)
    status: int | None = None
    outcome: Outcome = "open"
    executed: bool = False
    events: int = 0


class Requests:
    """The journal, in order of arrival."""

    def __init__(self) -> None:
        self._received: list[Received] = []

    def __iter__(self) -> Iterator[Received]:
        return iter(self._received)

    def __len__(self) -> int:
        return len(self._received)

    def __getitem__(self, at: int) -> Received:
        return self._received[at]

    def add(self, received: Received) -> None:
        """Note a request that arrives."""
        self._received.append(received)

    def to(self, method: str = "*", path: str = "*") -> list[Received]:
        """The requests of a method and a path pattern."""
        return [each for each in self if fnmatchcase(each.method, method) and fnmatchcase(each.path, path)]

    def writes(self, path: str = "*") -> list[Received]:
        """The POST and DELETE requests that were carried out: replays and refusals are none."""
        return [each for each in self.to("*", path) if each.method != "GET" and each.executed]

    def clear(self) -> None:
        """Start counting anew."""
        self._received.clear()
