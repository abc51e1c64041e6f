"""Progress of long work: on a terminal a line that moves, otherwise nothing but the command's answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def working(title: str) -> Iterator[Callable[[str, int], object]]:
    """Show the work under way. What it gives takes what is being worked on, and how many of it were done."""
    if not sys.stderr.isatty():
        yield lambda _what, _count: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} lines"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)

        def told(what: str, count: int) -> None:
            progress.update(task, description=f"{title} {what}", advance=count)

        yield told
