"""Where an archive's parts are: in a folder, or one after the other in a file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from services.runtime.archive.error import ArchiveError
from services.runtime.archive.manifest import Manifest, Part, decoded, encoded
from services.runtime.archive.part import PartWriter

MANIFEST = "manifest.json"
SUFFIX = ".zst"
# A skippable frame, which `zstd -d` passes over: RFC 8878, section 3.1.2 (https://www.rfc-editor.org/rfc/rfc8878).
_SKIPPABLE = 0x184D2A5C
_NAME = b"contactsync.1\0\0\0"
_FOOTER = struct.Struct("<II16sQQ32s")
_LARGEST_MANIFEST = 256 << 20


class Container(Protocol):
    """An archive that is being written."""

    previous: Manifest | None
    """What it held before."""

    def part(self, stream: str, name: str, export: int) -> contextlib.AbstractContextManager[PartWriter]:
        """Begin a part; one at a time. The block's end closes its file, and `PartWriter.close` its lines."""
        ...

    def finish(self, manifest: Manifest) -> None:
        """Make what was written valid, all at once."""
        ...


def is_folder(path: Path) -> bool:
    """Whether an archive at `path` is a folder: everything is but a name that ends with `.zst`."""
    return path.is_dir() or path.suffix != SUFFIX


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Container]:
    """Begin an archive at `path`, or add to the folder that is one. What isn't finished counts for nothing.

    Raises `ArchiveError` for a file that is there already, and for a folder with other things in it.
    """
    if is_folder(path):
        yield _FolderWriter(path)
        return
    if path.exists():
        raise ArchiveError(f"{path} is there already. Name another file, or a folder: that can be added to.")
    with writing_anew(path) as container:
        yield container


@contextlib.contextmanager
def writing_anew(path: Path) -> Iterator[Container]:
    """Begin a one-file archive that takes the place of what is at `path` when it is finished."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with _private(unfinished) as file:
            yield _FileWriter(file, unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _private(path: Path) -> BinaryIO:
    """Make a file anew: contacts' data is for this user only."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


@contextlib.contextmanager
def folder_part(path: Path) -> Iterator[BinaryIO]:
    """Open a part's file anew; at the end it is on the disk."""
    with _private(path) as file:
        yield file
        _settle(file)


def settle_folder(folder: Path, before: Manifest | None, now: Manifest) -> None:
    """Let the folder's archive be `now`, and delete the parts that it doesn't have any more."""
    new = folder / f"{MANIFEST}.new"
    with folder_part(new) as file:
        file.write(encoded(now))
    new.replace(folder / MANIFEST)
    kept = {part.path for part in now.parts}
    for part in () if before is None else before.parts:
        if part.path not in kept:
            (folder / part.path).unlink(missing_ok=True)


class _FolderWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / MANIFEST).exists():
            self.previous: Manifest | None = manifest_of(folder)
        elif any(each.name != "0001" for each in folder.iterdir()):
            raise ArchiveError(f"{folder} has other things in it. Name a folder that is new, empty, or an archive.")
        else:
            self.previous = None
        self._mine = folder / f"{1 if self.previous is None else self.previous.newest.number + 1:04}"
        shutil.rmtree(self._mine, ignore_errors=True)  # of an export that was never finished
        self._mine.mkdir(mode=0o700)

    @contextlib.contextmanager
    def part(self, stream: str, name: str, export: int) -> Iterator[PartWriter]:
        file = self._mine / f"{name.replace('/', '-')}.ndjson{SUFFIX}"
        with folder_part(file) as opened:
            yield PartWriter(opened, stream, f"{self._mine.name}/{file.name}", export)

    def finish(self, manifest: Manifest) -> None:
        settle_folder(self._folder, self.previous, manifest)
        if not any(self._mine.iterdir()):
            self._mine.rmdir()


class _FileWriter:
    def __init__(self, file: BinaryIO, unfinished: Path, path: Path) -> None:
        self.previous: Manifest | None = None
        self._file = file
        self._unfinished = unfinished
        self._path = path

    @contextlib.contextmanager
    def part(self, stream: str, name: str, export: int) -> Iterator[PartWriter]:
        yield PartWriter(self._file, stream, name, export)

    def finish(self, manifest: Manifest) -> None:
        start = self._file.tell()
        data = zstandard.ZstdCompressor(write_checksum=True).compress(encoded(manifest))
        self._file.write(data)
        content = _FOOTER.size - 8
        self._file.write(
            _FOOTER.pack(_SKIPPABLE, content, _NAME, start, len(data), hashlib.sha256(data).digest()),
        )
        _settle(self._file)
        self._unfinished.replace(self._path)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def manifest_of(path: Path) -> Manifest:
    """Return the manifest of the archive at `path`. Raises `ArchiveError`, and `OSError` for what can't be opened."""
    if path.is_dir():
        if not (path / MANIFEST).exists():
            raise ArchiveError(f"{path} is no archive: it has no {MANIFEST}. Was its export ended before it was done?")
        return decoded((path / MANIFEST).read_bytes())
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _FOOTER.size:
            raise ArchiveError(f"{path} is no archive, or was cut off.")
        file.seek(size - _FOOTER.size)
        magic, _, name, start, length, digest = _FOOTER.unpack(file.read(_FOOTER.size))
        if (magic, name) != (_SKIPPABLE, _NAME) or start + length + _FOOTER.size != size:
            raise ArchiveError(f"{path} is no archive of contactsync, or was cut off: its end is missing.")
        file.seek(start)
        data = file.read(length)
    if hashlib.sha256(data).digest() != digest:
        raise ArchiveError(f"The list of parts at the end of {path} is damaged. Take another copy of the archive.")
    return decoded(zstandard.ZstdDecompressor().decompress(data, max_output_size=_LARGEST_MANIFEST))


@contextlib.contextmanager
def part_file(path: Path, part: Part) -> Iterator[BinaryIO]:
    """Open the file that holds the part, at its beginning. Raises `ArchiveError` if it isn't there."""
    folder = path.is_dir()
    if folder and (Path(part.path).is_absolute() or ".." in Path(part.path).parts):
        raise ArchiveError(f"The part {part.path} is said to be outside of the archive. Nothing was read.")
    try:
        file = (path / part.path if folder else path).open("rb")
    except FileNotFoundError:
        raise ArchiveError(f"The part {part.path} is missing. Take another copy of the archive.") from None
    with file:
        if not folder:
            file.seek(part.start)
        yield file
