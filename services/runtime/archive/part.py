"""One part of an archive: compressed lines, written and read as a stream, and checked against their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import zstandard

from services.runtime.archive.error import ArchiveError
from services.runtime.archive.manifest import Part

_LEVEL = 6
_CHUNK = 128 * 1024
_LONGEST = 64 << 20
"""Bytes of one line at most: a record of the log has 4 MiB, and an escaped byte takes up to six."""


class PartWriter:
    """Writes lines into `file` from where it stands; `close` tells what was written. The file stays open."""

    def __init__(self, file: BinaryIO, stream: str, path: str, export: int) -> None:
        self._file = file
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
        self._digest = hashlib.sha256()
        self._stream, self._path, self._export = stream, path, export
        self._start = file.tell()
        self._size = 0
        self.rows = 0
        self._first: int | None = None
        self._last: int | None = None

    def line(self, text: bytes, number: int | None = None) -> None:
        """Write one line, `text` being without its end. `number`: its place in a stream that grows by number."""
        self._put(self._compressor.compress(text + b"\n"))
        self.rows += 1
        if number is not None:
            self._first = number if self._first is None else min(self._first, number)
            self._last = number if self._last is None else max(self._last, number)

    def close(self) -> Part:
        """End the part."""
        self._put(self._compressor.flush())
        return Part(
            stream=self._stream,
            path=self._path,
            start=self._start,
            size=self._size,
            sha256=self._digest.hexdigest(),
            rows=self.rows,
            first=self._first,
            last=self._last,
            export=self._export,
        )

    def _put(self, data: bytes) -> None:
        if data:
            self._file.write(data)
            self._digest.update(data)
            self._size += len(data)


class _Compressed:
    """A part's bytes as they are in the file, and their digest."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file = file
        self.left = part.size
        self._sha256 = part.sha256
        self._digest = hashlib.sha256()
        self.cut = False

    def read(self, size: int) -> bytes:
        data = self._file.read(min(size, self.left))
        self.cut = not data and self.left > 0
        self.left -= len(data)
        self._digest.update(data)
        return data

    def good(self) -> bool:
        """Whether the whole part was read, and is what was written."""
        while self.left and self.read(_CHUNK):
            continue
        return not self.left and self._digest.hexdigest() == self._sha256


def lines(file: BinaryIO, part: Part) -> Iterator[bytes]:
    """Yield the part's lines from `file`, which is read from where it stands.

    Raises `ArchiveError` where the part is cut or can't be decompressed, and at its end if it isn't what was written;
    so nothing may be made of its lines for good before the last one was read.
    """
    source, kept, number = _Compressed(file, part), b"", 0
    # Little at a time, whatever it is decompressed from: a line that repeats itself takes next to nothing.
    stream = zstandard.ZstdDecompressor().stream_reader(cast("BinaryIO", source), read_size=_CHUNK, closefd=False)
    while True:
        try:
            text = stream.read(_CHUNK)
        except zstandard.ZstdError:
            raise ArchiveError(f"The part {part.path} can't be decompressed after line {number}. {_REMEDY}") from None
        if not text:
            break
        *whole, kept = (kept + text).split(b"\n")
        for line in whole:
            number += 1
            yield line
        if len(kept) > _LONGEST:
            raise ArchiveError(f"The part {part.path}, line {number + 1}, is too long to be one of ours. {_REMEDY}")
    if source.cut:
        raise ArchiveError(f"The part {part.path} is cut off after line {number}. {_REMEDY}")
    if not source.good():
        raise ArchiveError(f"The part {part.path} isn't what was written: its SHA-256 differs. {_REMEDY}")
    if kept or number != part.rows:
        raise ArchiveError(f"The part {part.path} should have {part.rows} lines and has {number}. {_REMEDY}")


_REMEDY = "Nothing was imported from it; take another copy of the archive."
