"""Moving an archive's messages into another log than the embedded one: each partition's, in their order, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, zip_longest

from services.runtime.archive.error import ArchiveError
from services.runtime.archive.manifest import Export
from services.runtime.archive.places import Moved
from services.runtime.archive.reading import Archive
from services.runtime.log import Message, Partition, Record
from services.runtime.log.open import ManagedLog

_AT_ONCE = 500
_BYTES = 4 << 20


async def publish(
    archive: Archive, export: Export, log: ManagedLog, told: Callable[[str, int], object] = lambda _place, _count: None
) -> Moved:
    """Publish what the archive's log held at its newest export, and return how places have changed.

    The topics must be there. They must be empty, or hold the beginning of the very same messages: what an import that
    was cut short has published isn't published again. Raises `ArchiveError`, and what the log raises.
    """
    shifts: dict[Partition, int] = {}
    ids: dict[str, tuple[str, str]] = {}
    for name, topic in export.topics.items():
        bounds = await log.bounds(name)
        if len(bounds) != len(topic.bounds):
            raise ArchiveError(
                f"The topic {name} has {len(bounds)} partitions, in the archive it has {len(topic.bounds)}: keys would "
                f"change places. Make it anew with {len(topic.bounds)}."
            )
        ids[name] = (topic.id, await log.topic_id(name))
        for number, (first, end) in enumerate(topic.bounds):
            place = Partition(name, number)
            shifts[place] = await _partition(archive, log, place, (first, end), bounds[place])
            told(f"log/{name}/{number}", end - first)
    return Moved(shifts=shifts, ids=ids)


async def _partition(
    archive: Archive, log: ManagedLog, place: Partition, wanted: tuple[int, int], there: tuple[int, int]
) -> int:
    """Publish one partition's messages; return by how much their offsets have grown."""
    first, end = wanted
    begin, done = there
    await _same(archive, log, place, wanted, there)
    batch: list[Message] = []
    size = 0
    following = first + done - begin
    for record in archive.records(place, following, end):
        if record.offset != following:
            raise ArchiveError(
                f"The archive lacks messages of {place.topic}, partition {place.number}, from offset {following} on."
            )
        following += 1
        batch.append(_message(record))
        size += len(record.value)
        if len(batch) >= _AT_ONCE or size >= _BYTES:
            await log.append(place, batch)
            batch, size = [], 0
    await log.append(place, batch)
    if following != end or (await log.bounds(place.topic))[place] != (begin, begin + end - first):
        raise ArchiveError(
            f"{place.topic}, partition {place.number}, doesn't hold what was published: does anybody else write to it? "
            "Stop whoever does, make the topic anew, and import again."
        )
    return begin - first


async def _same(
    archive: Archive, log: ManagedLog, place: Partition, wanted: tuple[int, int], there: tuple[int, int]
) -> None:
    """Raise `ArchiveError` unless what is there is how the archive's messages begin."""
    begin, done = there
    ours: Iterator[Record] = archive.records(place, wanted[0], wanted[1])
    async for batch in log.read(place, begin, done):
        for theirs, own in zip_longest(batch, islice(ours, len(batch))):
            if own is None or theirs is None or _message(theirs) != _message(own):
                raise ArchiveError(
                    f"The topic {place.topic} isn't empty: it has other messages. An archive is imported into new "
                    "topics only: delete them with Kafka's own tools, or name another cluster."
                )


def _message(record: Record) -> Message:
    return Message(key=record.key, headers=record.headers, value=record.value)
