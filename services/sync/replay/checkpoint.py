"""A checkpoint: everything sync knew at one moment, in a file, for an audit to go on from. Holds contacts' data."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import zstandard

from services.runtime.store import Connection as Database
from services.sync.replay.inputs import Row, rows
from services.sync.replay.present import world_of
from services.sync.replay.world import World

VERSION = 1
_MOMENT = """
SELECT coalesce(max(number), 0) AS number, pg_current_snapshot()::text AS snapshot,
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at
  FROM sync.input
"""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """When it was taken, and what comes after it."""

    v: int = VERSION
    number: int
    """The highest number of an input that it holds."""
    snapshot: str
    """What was visible then: inputs that weren't come after it, whatever their numbers."""
    at: int
    """Microseconds since 1970."""

    @property
    def after(self) -> tuple[int, str]:
        """What `pasts` goes on after."""
        return self.number, self.snapshot


class _End(msgspec.Struct, frozen=True, kw_only=True):
    rows: int
    sha256: str


class DamagedError(Exception):
    """The file isn't a whole checkpoint."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} can't be used: {why}. Write a new one with `contactsync replay --checkpoint FILE`.")


async def head_of(database: Database) -> Head:
    """Return the present moment's head. The transaction has to be a repeatable read."""
    row = await database.fetchrow(_MOMENT)
    if row is None:
        raise AssertionError("an aggregate has one row")
    return Head(number=row["number"], snapshot=row["snapshot"], at=row["at"])


async def take(database: Database, path: Path) -> Head:
    """Write what sync knows now to a file. The transaction has to be a repeatable read."""
    head = await head_of(database)
    write(path, head, (await world_of(database)).rows())
    return head


def write(path: Path, head: Head, content: Iterable[Row]) -> None:
    """Write a checkpoint, readable by nobody else; a file of that name is replaced once this one is whole."""
    encode = msgspec.json.Encoder().encode
    beside = path.with_name(f"{path.name}.part")
    told, count = hashlib.sha256(), 0
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with zstandard.ZstdCompressor().stream_writer(file, closefd=False) as out:
            out.write(encode(head) + b"\n")
            for row in content:
                line = encode(row) + b"\n"
                told.update(line)
                out.write(line)
                count += 1
            out.write(encode(_End(rows=count, sha256=told.hexdigest())) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read(path: Path) -> tuple[Head, World]:
    """Read a checkpoint. Raises `DamagedError`, `OSError`."""
    world, told, count = World(), hashlib.sha256(), 0
    try:
        lines = _lines(path)
        head = msgspec.json.decode(next(lines, b""), type=Head)
        if head.v != VERSION:
            raise DamagedError(path, f"it is of version {head.v}, this contactsync reads {VERSION}")
        last = next(lines, b"")
        for line in lines:
            world.put(rows.decode(last))
            told.update(last + b"\n")
            last, count = line, count + 1
        end = msgspec.json.decode(last, type=_End)
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise DamagedError(path, "it is cut short, or no checkpoint") from error
    if (end.rows, end.sha256) != (count, told.hexdigest()):
        raise DamagedError(path, "its checksum doesn't fit its content")
    return head, world


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        rest = b""
        while chunk := stream.read(1 << 20):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        if rest:
            yield rest
