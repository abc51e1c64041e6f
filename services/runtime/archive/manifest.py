"""The list of an archive's parts, and what the installation was like at each export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal

import msgspec

from services.runtime.archive.error import ArchiveError
from services.runtime.log import Partition

FORMAT = 1


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of a stream: lines of JSON, compressed by themselves."""

    stream: str
    """`sync.link`, or `log/contacts.events/0`."""
    path: str
    """Its file in the folder; in a one-file archive the name that errors call it by."""
    start: int = 0
    """Where it begins in a one-file archive, in bytes."""
    size: int
    """Bytes, compressed."""
    sha256: str
    """Of the compressed bytes, so that `sha256sum` can say the same."""
    rows: int
    first: int | None = None
    """The lowest number or offset in it, where the stream grows by number."""
    last: int | None = None
    export: int
    """Which export wrote it."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was exported."""

    columns: tuple[str, ...]
    json: tuple[str, ...] = ()
    """Those of its columns that hold JSON."""
    days: tuple[date, ...] = ()
    """Of a table that is kept by day: the days that it held then."""


class Sequence(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sequence stood."""

    value: int
    called: bool


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of the log."""

    id: str
    bounds: tuple[tuple[int, int], ...]
    """Of each partition: the first offset that the archive holds of what the log held then, and the next one."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What one export found."""

    number: int
    at: datetime
    running: bool
    """Whether a contactsync was at work: it may have gone on since."""
    whole: bool
    """Whether it has the installation's state; else it is history only."""
    credentials: bool
    since: datetime | None = None
    until: datetime | None = None
    snapshot: str
    """PostgreSQL's pg_current_snapshot() of everything that comes from the store."""
    incarnation: int
    migrations: tuple[str, ...]
    tables: Mapping[str, Table] = {}
    sequences: Mapping[str, Sequence] = {}
    topics: Mapping[str, Topic] = {}

    def bounds(self) -> dict[Partition, tuple[int, int]]:
        """Return the bounds of every partition."""
        return {
            Partition(name, number): bounds
            for name, topic in self.topics.items()
            for number, bounds in enumerate(topic.bounds)
        }


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds."""

    format: int = FORMAT
    database: str
    """Names the database that it comes from; an export into a folder goes on with the same one only."""
    log: Literal["embedded", "kafka"]
    exports: tuple[Export, ...]
    parts: tuple[Part, ...]

    @property
    def newest(self) -> Export:
        """The latest export."""
        return self.exports[-1]

    @property
    def snapshot(self) -> str:
        """The latest export's snapshot."""
        return self.newest.snapshot

    def of(self, stream: str) -> list[Part]:
        """Return the parts of a stream, in the order in which they were written."""
        return [part for part in self.parts if part.stream == stream]


class _Signed(msgspec.Struct, frozen=True):
    sha256: str
    manifest: msgspec.Raw


class _Head(msgspec.Struct, frozen=True):
    format: int


def encoded(manifest: Manifest) -> bytes:
    """Return the manifest as one line of JSON with its own digest."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Signed(hashlib.sha256(body).hexdigest(), msgspec.Raw(body))) + b"\n"


def decoded(text: bytes) -> Manifest:
    """Return the manifest. Raises `ArchiveError` for one that was changed, cut, or made by a newer contactsync."""
    try:
        signed = msgspec.json.decode(text, type=_Signed)
        body = bytes(signed.manifest)
        if hashlib.sha256(body).hexdigest() != signed.sha256:
            raise ArchiveError("The archive's list of parts was changed or damaged. Take another copy of the archive.")
        if (made := msgspec.json.decode(body, type=_Head).format) > FORMAT:
            raise ArchiveError(
                f"The archive has format {made}, and this contactsync knows formats up to {FORMAT}. Update contactsync."
            )
        return msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"The archive's list of parts can't be read ({type(error).__name__}). Take another copy of the archive."
        ) from None
