"""What commands print: tables on a terminal, aligned plain text otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(text: str) -> None:
    """Print a line to the standard output."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Print a line to the standard error."""
    sys.stderr.write(f"{text}\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows under their columns' names. Nothing in a cell is taken for markup."""
    if sys.stdout.isatty():
        drawn = Table(title=title or None, title_justify="left")
        for column in columns:
            drawn.add_column(column)
        for row in rows:
            drawn.add_row(*(Text(visible(cell)) for cell in row))
        Console().print(drawn)
        return
    if title:
        say(title)
    lines = [list(columns), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    for line in lines:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def age(span: timedelta | None) -> str:
    """A span in its largest unit: `5 s`, `3 min`, `7 h`, `12 d`; a dash for none."""
    if span is None:
        return "-"
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def visible(cell: str) -> str:
    """A contact's text may hold anything: control characters stay out of the terminal."""
    return "".join(character if character.isprintable() else "·" for character in cell)
