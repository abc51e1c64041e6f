"""Rewriting an archive: what a person's erasure takes out of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from services.runtime.archive.container import folder_part, settle_folder, writing_anew
from services.runtime.archive.manifest import Part
from services.runtime.archive.part import PartWriter
from services.runtime.archive.reading import Archive

Change: TypeAlias = Callable[[str, bytes], bytes | None]
"""Takes a stream's name and a line, and returns what the line is to be: the same, another, or None for no line."""


class _Placed(msgspec.Struct, frozen=True):
    number: int | None = None
    offset: int | None = None


_placed = msgspec.json.Decoder(_Placed).decode


def rewrite(path: Path, change: Change) -> int:
    """Apply `change` to every line of the archive, and return how many lines it changed.

    `change` must give a line of the log another value rather than none: offsets have no gaps. Only when all of it is
    written does the new text take the old one's place, which is then deleted; until then the archive is as it was.
    Raises `ArchiveError` for an archive that can't be read.
    """
    archive = Archive(path)
    return _folder(archive, change) if path.is_dir() else _file(archive, change)


def _folder(archive: Archive, change: Change) -> int:
    changed, parts = 0, []
    for part in archive.manifest.parts:
        found = sum(change(part.stream, line) != line for line in archive.lines(part))
        changed += found
        parts.append(_part_anew(archive, part, change) if found else part)
    if changed:
        settle_folder(archive.path, archive.manifest, replace(archive.manifest, parts=tuple(parts)))
    return changed


def _part_anew(archive: Archive, part: Part, change: Change) -> Part:
    known = {each.path for each in archive.manifest.parts}
    name = part.path.removesuffix(".ndjson.zst")
    path = next(way for n in range(1, len(known) + 2) if (way := f"{name}-{n}.ndjson.zst") not in known)
    with folder_part(archive.path / path) as file:
        writer = PartWriter(file, part.stream, path, part.export)
        _write(writer, part, _changed(archive, part, change))
        return writer.close()


def _file(archive: Archive, change: Change) -> int:
    changed, parts = 0, []
    with writing_anew(archive.path) as container:
        for part in archive.manifest.parts:
            with container.part(part.stream, part.path, part.export) as writer:
                before: list[int] = []
                _write(writer, part, _changed(archive, part, change, before))
                parts.append(writer.close())
                changed += len(before)
        if changed:
            container.finish(replace(archive.manifest, parts=tuple(parts)))
    return changed


def _changed(archive: Archive, part: Part, change: Change, told: list[int] | None = None) -> Iterator[bytes]:
    for number, line in enumerate(archive.lines(part)):
        new = change(part.stream, line)
        if told is not None and new != line:
            told.append(number)
        if new is not None:
            yield new


def _write(writer: PartWriter, part: Part, lines: Iterator[bytes]) -> None:
    for line in lines:
        place = _placed(line) if part.first is not None else _Placed()
        writer.line(line, place.offset if place.number is None else place.number)
