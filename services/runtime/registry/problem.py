"""What is wrong with a file, where, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "hint"]
"""Only an error keeps a file from being applied. A hint is advice, in one line."""

_QUOTED = 40


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file: line and column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. Neither text holds a secret's value: both may be printed and logged."""

    line: int
    column: int
    severity: Severity
    message: str
    remedy: str = ""


class Report:
    """Collects a file's problems; the same one twice (through an alias) counts once."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}

    def error(self, mark: Mark, message: str, remedy: str) -> None:
        """Note what keeps the file from being applied."""
        self._problems[Problem(mark.line, mark.column, "error", message, remedy)] = None

    def warning(self, mark: Mark, message: str, remedy: str) -> None:
        """Note what is likely a mistake, but can be applied."""
        self._problems[Problem(mark.line, mark.column, "warning", message, remedy)] = None

    def hint(self, mark: Mark, message: str) -> None:
        """Note advice."""
        self._problems[Problem(mark.line, mark.column, "hint", message)] = None

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(problem.severity == "error" for problem in self._problems)

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return self.errors > 0

    def problems(self) -> tuple[Problem, ...]:
        """All of them, in the order of the file."""
        return tuple(sorted(self._problems, key=lambda problem: (problem.line, problem.column)))


def quoted(written: str) -> str:
    """What a person wrote, in one short line between backquotes."""
    line = " ".join(written.split())
    return f"`{line if len(line) <= _QUOTED else line[: _QUOTED - 1] + '…'}`"


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a`, `b` and `c`."""
    names = [f"`{word}`" for word in words]
    return " ".join(filter(None, [", ".join(names[:-1]), last if len(names) > 1 else "", *names[-1:]]))


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def rendered(problems: Iterable[Problem], name: str) -> str:
    """Problems as a compiler prints them, a line each and its remedy under it; `name` is the file's."""
    lines: list[str] = []
    for problem in problems:
        lines.append(f"{name}:{problem.line}:{problem.column}: {problem.severity}: {problem.message}")
        if problem.remedy:
            lines.append(f"  → {problem.remedy}")
    return "\n".join(lines)
