"""What the demo shows: one line per event, decision and write, in the order in which they happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

_STYLES = {"event": "cyan", "decided": "yellow", "written": "green", "refused": "red", "held": "magenta"}
_LAG = 0.3
"""Seconds that a line is kept back: what comes from the journal is heard of a moment later than requests."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened at `at` (unix seconds) in `account`."""

    at: float
    kind: str
    account: str
    who: str
    what: str
    note: str = ""


class Screen:
    """Prints to the standard output; in colours on a terminal."""

    def __init__(self) -> None:
        self._waiting: list[Line] = []
        self._console = Console(highlight=False) if sys.stdout.isatty() else None

    def add(self, line: Line) -> None:
        """Show a line, in its place."""
        self._waiting.append(line)

    def flush(self, *, everything: bool = False) -> None:
        """Print the lines that nothing earlier can come before any more."""
        until = time.time() - (0.0 if everything else _LAG)
        due = sorted((line for line in self._waiting if everything or line.at <= until), key=lambda line: line.at)
        self._waiting = [line for line in self._waiting if not everything and line.at > until]
        for line in due:
            self._print(line)

    async def settle(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Print everything that has happened so far; `catch_up` fetches what isn't known yet."""
        await catch_up()
        self.flush(everything=True)

    def say(self, text: str = "", style: str = "") -> None:
        """Print a text."""
        if self._console is None:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
        else:
            self._console.print(Text(text, style=style), soft_wrap=True)

    def _print(self, line: Line) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(line.at))
        note = f"({line.note})" if line.note else ""
        parts = (
            (f"  {clock} ", "dim"),
            (f" {line.kind:<8}", _STYLES.get(line.kind, "")),
            (f" {line.account:<11}", "bold"),
            (f" {visible(line.who):<30}", ""),
            (f" {visible(line.what)}", ""),
            (f"  {note}" if note else "", "dim"),
        )
        if self._console is None:
            self.say("".join(text for text, _ in parts).rstrip())
        else:
            self._console.print(Text.assemble(*parts), soft_wrap=True)


def visible(text: str) -> str:
    """A contact's text may hold anything: control characters stay out of the terminal."""
    return "".join(character if character.isprintable() else "·" for character in text)
