"""Reading an archive: its tables' rows and its log's records, as streams of any length."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar, overload

import msgspec

from services.runtime.archive.container import manifest_of, part_file
from services.runtime.archive.error import ArchiveError
from services.runtime.archive.line import Row, record_of
from services.runtime.archive.manifest import Manifest, Part
from services.runtime.archive.part import lines
from services.runtime.log import Partition, Record

T = TypeVar("T")


class _Numbered(msgspec.Struct, frozen=True):
    number: int


_number = msgspec.json.Decoder(_Numbered).decode


class Archive:
    """An archive on disk. Everything is read anew whenever it is asked for; nothing is kept in memory.

    Whatever reads raises `ArchiveError` where a part isn't what was written, at the latest after its last line.
    """

    def __init__(self, path: Path) -> None:
        """Raises `ArchiveError`, and `OSError` if there is nothing at `path`."""
        self.path = path
        self.manifest: Manifest = manifest_of(path)

    def verify(self, told: Callable[[Part], object] = lambda _: None) -> None:
        """Read every part to its end, and its lines as JSON. `told` hears of each part that is good."""
        for part in self.manifest.parts:
            for _ in self._decoded(part, msgspec.json.decode):
                pass
            told(part)

    @overload
    def rows(self, table: str, *, export: int | None = None) -> Iterator[Row]: ...
    @overload
    def rows(self, table: str, type: type[T], *, export: int | None = None) -> Iterator[T]: ...
    def rows(self, table: str, type: object = Row, *, export: int | None = None) -> Iterator[object]:
        """Yield the rows of `sync.journal` or another table as `type` (a msgspec struct with the columns wanted).

        Of a table that grows by number all that was ever exported, in the order of numbers, each once. Of another the
        state at an export: the newest, or that of the number `export`.
        """
        parts = self.manifest.of(table)
        decode = msgspec.json.Decoder(type).decode
        if any(part.first is not None for part in parts):
            return self._in_order([part for part in parts if part.rows], decode)
        at = self.manifest.newest.number if export is None else export
        return chain.from_iterable(self._decoded(part, decode) for part in parts if part.export == at)

    def records(self, place: Partition, start: int = 0, end: int | None = None) -> Iterator[Record]:
        """Yield the records of a partition with offsets from `start` to before `end`, in order."""
        for part in self.manifest.of(f"log/{place.topic}/{place.number}"):
            if part.last is None or part.last < start:
                continue
            for record in self._decoded(part, lambda text: record_of(place, text)):
                if end is not None and record.offset >= end:
                    return
                if record.offset >= start:
                    yield record

    def lines(self, part: Part) -> Iterator[bytes]:
        """Yield a part's lines as they are."""
        with part_file(self.path, part) as file:
            yield from lines(file, part)

    def _decoded(self, part: Part, decode: Callable[[bytes], T]) -> Iterator[T]:
        return (row for _, row in self._both(part, decode))

    def _both(self, part: Part, decode: Callable[[bytes], T]) -> Iterator[tuple[bytes, T]]:
        for number, line in enumerate(self.lines(part), 1):
            try:
                row = decode(line)
            except (msgspec.MsgspecError, ValueError) as error:
                raise ArchiveError(
                    f"The part {part.path}, line {number}, isn't what a contactsync writes ({type(error).__name__}). "
                    "Take another copy of the archive."
                ) from None
            yield line, row

    def _in_order(self, parts: Iterable[Part], decode: Callable[[bytes], T]) -> Iterator[T]:
        for together in _overlapping(parts):
            if len(together) == 1:
                yield from self._decoded(together[0], decode)
                continue
            last = -1
            streams = [self._both(part, decode) for part in together]
            for number, row in heapq.merge(*map(_keyed, streams), key=_first):
                # A row that was under way during one export may stand in the next one's part once more.
                if number != last:
                    yield row
                last = number


def _keyed(stream: Iterator[tuple[bytes, T]]) -> Iterator[tuple[int, T]]:
    return ((_number(line).number, row) for line, row in stream)


def _first(pair: tuple[int, object]) -> int:
    return pair[0]


def _overlapping(parts: Iterable[Part]) -> Iterator[Sequence[Part]]:
    """Group the parts so that the numbers of one group end before those of the next begin."""
    group: list[Part] = []
    end = -1
    for part in sorted(parts, key=lambda part: part.first or 0):
        if group and (part.first or 0) > end:
            yield group
            group = []
        group.append(part)
        end = max(end, part.last or 0)
    if group:
        yield group
