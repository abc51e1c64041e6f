"""Reading the embedded log without being a member of any group: a span of one partition, from anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from services.contracts.envelope import Headers
from services.runtime.log import Partition, Record
from services.runtime.store import Record as Row

_SPAN = """
SELECT "offset", key, headers, value, at FROM log.record
 WHERE topic = $1 AND partition = $2 AND "offset" >= $3 AND "offset" < $4 ORDER BY "offset" LIMIT $5
"""
_CHUNK = 1_000
_headers = msgspec.msgpack.Decoder(Headers).decode


class Asked(Protocol):
    """A store, or a transaction of it."""

    async def fetch(self, query: str, /, *arguments: object) -> list[Row]:
        """Return all rows of one statement."""
        ...


async def read(database: Asked, place: Partition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
    """Yield the records of [start, end) that retention has left, in order, some at a time."""
    while start < end:
        rows = await database.fetch(_SPAN, *place, start, end, _CHUNK)
        if not rows:
            return
        yield [
            Record(
                partition=place,
                offset=row["offset"],
                key=row["key"],
                headers=_headers(row["headers"]),
                value=row["value"],
                time=row["at"],
            )
            for row in rows
        ]
        start = rows[-1]["offset"] + 1
