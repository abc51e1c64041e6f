"""The requests that the sandbox received, for tests to count."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Outcome = Literal["open", "answered", "refused", "failed", "dropped", "replayed"]
"""`refused` by the API's rules, `failed` by a scripted fault, `dropped` without an answer, `replayed` by requestid."""


@dataclass
class Received:
    """One request and what came of it. `executed`: whether a change was carried out, whatever the answer."""

    at: float
    method: str
    path: str
    params: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    status: int | None = None
    outcome: Outcome = "open"
    executed: bool = False


class Requests:
    """The journal, in order of arrival."""

    def __init__(self) -> None:
        self._received: list[Received] = []

    def __iter__(self) -> Iterator[Received]:
        return iter(self._received)

    def __len__(self) -> int:
        return len(self._received)

    def add(self, received: Received) -> None:
        """Note a request that arrives."""
        self._received.append(received)

    def to(self, method: str = "*", path: str = "*") -> list[Received]:
        """The requests of a method and a path pattern."""
        return [each for each in self if fnmatchcase(each.method, method) and fnmatchcase(each.path, path)]

    def writes(self) -> list[Received]:
        """The changes that were carried out."""
        return [each for each in self if each.executed]

    def clear(self) -> None:
        """Start counting anew."""
        self._received.clear()
