"""Streams on their way into an archive."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from services.runtime.archive.container import Container
from services.runtime.archive.manifest import Part
from services.runtime.archive.part import PartWriter

ROWS = 100_000
"""Lines in a part at most."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported."""

    since: datetime | None = None
    """Leave out older history, but nothing that is still to be read."""
    until: datetime | None = None
    """Leave out later history, and then the state, too."""
    credentials: bool = False
    """Take the sealed credentials along."""


class Writer:
    """Writes streams into a container, in parts of a bounded length."""

    def __init__(self, container: Container, export: int, told: Callable[[str, int], object]) -> None:
        self._container = container
        self.export = export
        self._told = told
        self.parts: list[Part] = []

    @contextlib.contextmanager
    def stream(self, stream: str, name: str = "") -> Iterator[Callable[[bytes, int | None], None]]:
        """Give the function that takes a stream's lines, each with its number if the stream grows by numbers."""
        with contextlib.ExitStack() as stack:
            part: PartWriter | None = None
            count = 0

            def end() -> None:
                nonlocal part
                if part is not None:
                    self.parts.append(part.close())
                    stack.close()
                    part = None

            def put(line: bytes, number: int | None = None) -> None:
                nonlocal part, count
                if part is None:
                    of = f"{name or stream}-{count:05}"
                    part = stack.enter_context(self._container.part(stream, of, self.export))
                    count += 1
                part.line(line, number)
                if part.rows >= ROWS:
                    end()
                    self._told(stream, ROWS)

            yield put
            if part is not None:
                self._told(stream, part.rows)
            end()
