"""One partition that somebody owns: its records are handled when a story says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec

from services.runtime.log import Log, Partition, Record
from services.runtime.log.lane import Batch, Handle
from services.runtime.log.progress import Progress
from services.runtime.store import Store

_RECORDS = """
SELECT "offset", key, headers, value, at FROM log.record WHERE topic = $1 AND partition = $2 AND "offset" >= $3
ORDER BY "offset"
"""


class Share:
    """An owner's view of a partition: from where it goes on, and under which claim."""

    def __init__(
        self, store: Store, log: Log, place: Partition, progress: Progress, group: str, handle: Handle
    ) -> None:
        self.place = place
        self.position = 0
        self._store = store
        self._log = log
        self._progress = progress
        self._group = group
        self._handle = handle
        self._epoch = 0

    async def claim(self) -> Self:
        """Become the owner: earlier ones are fenced."""
        log_id = await self._log.topic_id(self.place.topic)
        async with self._store.transaction() as database:
            claim = await self._progress.claim(database, self._group, self.place, log_id, 0)
        self._epoch, self.position = claim
        return self

    async def fetch(self) -> Sequence[Record]:
        """What the log has from the position on."""
        rows = await self._store.fetch(_RECORDS, *self.place, self.position)
        return [
            Record(
                partition=self.place,
                offset=row["offset"],
                key=row["key"],
                headers=msgspec.msgpack.decode(row["headers"], type=tuple[tuple[str, bytes], ...]),
                value=row["value"],
                time=row["at"],
            )
            for row in rows
        ]

    async def handle(self, records: Sequence[Record]) -> None:
        """Handle what was fetched. Raises `FencedError` if somebody else is the owner by now."""
        batch = Batch(self.place, self._epoch, self.position, records, self._progress, self._group, lambda _: None)
        await self._handle(batch)
        self.position = batch.end

    async def go_on(self) -> int:
        """Handle what the log has; return how many records that was."""
        records = await self.fetch()
        if records:
            await self.handle(records)
        return len(records)
