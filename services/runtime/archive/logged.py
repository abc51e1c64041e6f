"""The log's share of an archive: every record that it holds, and after an earlier export what is new."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from msgspec.structs import replace

from services.runtime.archive.error import ArchiveError
from services.runtime.archive.line import of_record
from services.runtime.archive.manifest import Manifest, Topic
from services.runtime.archive.stream import Span, Writer
from services.runtime.log import Partition, Record
from services.runtime.log.open import ManagedLog
from services.runtime.log.postgres_read import read
from services.runtime.store import Connection
from services.runtime.suppression import Suppressed, Suppressions, blanked

_TOPICS = "SELECT name, id::text FROM log.topic ORDER BY name"
_BOUNDS = "SELECT number, first_offset, next_offset FROM log.partition WHERE topic = $1 ORDER BY number"
_UNREAD = """
SELECT topic, partition, min(next_offset) AS next_offset
  FROM (SELECT topic, partition, next_offset FROM sync.progress
        UNION ALL SELECT topic, partition, next_offset FROM connectors.progress) p GROUP BY 1, 2
"""


async def write_log(
    database: Connection,
    log: ManagedLog | None,
    topics: Sequence[str],
    writer: Writer,
    span: Span,
    before: Manifest | None,
) -> Mapping[str, Topic]:
    """Write the records, partition by partition, and return where each begins and ends.

    `log`: None for the embedded one, which is read in the transaction. Another is read up to where it ends now, which
    is after the transaction's snapshot: what the snapshot tells of is in the archive.
    """
    unread = {Partition(row[0], row[1]): row[2] for row in await database.fetch(_UNREAD)}
    known = {} if before is None else before.newest.topics
    there = await _there(database, log, topics)
    suppressed = await Suppressions().current(database) if there else Suppressed()
    written: dict[str, Topic] = {}
    for name, id_, bounds in there:
        if name in known and known[name].id != id_:
            raise ArchiveError(
                f"The topic {name} was made anew since the last export: what is here doesn't continue the archive. "
                "Name a new folder."
            )
        earlier = known[name].bounds if name in known else ()
        found = []
        for number, (first, end) in enumerate(bounds):
            place = Partition(name, number)
            begun, done = earlier[number] if number < len(earlier) else (first, first)
            records = _records(database, log, place, max(first, done), end)
            wanted = _Wanted(span, unread.get(place, first))
            begin, stop = await _write(writer, place, records, wanted, end, suppressed)
            # Where this export goes on from the last one, what is in the archive of it counts, too.
            found.append((max(first, begun) if done > first else begin, stop))
        written[name] = Topic(id=id_, bounds=tuple(found))
    return written


async def _there(
    database: Connection, log: ManagedLog | None, topics: Sequence[str]
) -> list[tuple[str, str, list[tuple[int, int]]]]:
    """Return each topic's name, id and bounds by partition."""
    if log is None:
        return [
            (row["name"], row["id"], [(each[1], each[2]) for each in await database.fetch(_BOUNDS, row["name"])])
            for row in await database.fetch(_TOPICS)
        ]
    return [
        (name, await log.topic_id(name), [ends for _, ends in sorted((await log.bounds(name)).items())])
        for name in sorted(topics)
    ]


def _records(
    database: Connection, log: ManagedLog | None, place: Partition, start: int, end: int
) -> AsyncIterator[Sequence[Record]]:
    return read(database, place, start, end) if log is None else log.read(place, start, end)


class _Wanted:
    """Which records are exported: from one on, all up to another. A partition's times never fall."""

    def __init__(self, span: Span, unread: int) -> None:
        self._span = span
        self._unread = unread

    def begun(self, record: Record) -> bool:
        """Whether the record is the first one wanted, or later. What is unread belongs to the state."""
        since, until = self._span.since, self._span.until
        return since is None or record.time >= since or (until is None and record.offset >= self._unread)

    def over(self, record: Record) -> bool:
        """Whether no more are wanted."""
        return self._span.until is not None and record.time >= self._span.until


async def _write(
    writer: Writer,
    place: Partition,
    records: AsyncIterator[Sequence[Record]],
    wanted: _Wanted,
    end: int,
    suppressed: Suppressed,
) -> tuple[int, int]:
    """Write those that are wanted; return the first one's offset and where they end, `end` unless that is earlier.

    Another log than the embedded one still holds what people wrote who were forgotten: it is left out.
    """
    first: int | None = None
    with writer.stream(f"log/{place.topic}/{place.number}") as put:
        async for batch in records:
            for record in batch:
                if wanted.over(record):
                    return (record.offset if first is None else first), record.offset
                if first is None:
                    if not wanted.begun(record):
                        continue
                    first = record.offset
                if suppressed.refuses(record):
                    record = replace(record, key=b"", headers=blanked(record.headers), value=b"")  # noqa: PLW2901 - instead
                put(of_record(record), record.offset)
    return (end if first is None else first), end
