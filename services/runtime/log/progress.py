"""Progress: how far a group has handled each partition, kept by the owner beside what it handled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString, NamedTuple

from services.runtime.log import FencedError, Partition
from services.runtime.store import Connection

TABLE = """
CREATE TABLE {schema}.progress (
    grp text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    epoch bigint NOT NULL,
    next_offset bigint NOT NULL,
    log_id text NOT NULL,
    PRIMARY KEY (grp, topic, partition)
);
COMMENT ON TABLE {schema}.progress IS 'How far each partition is handled; in the transactions that handle it';
COMMENT ON COLUMN {schema}.progress.epoch IS 'Rises with each owner: an earlier one''s transactions are refused';
COMMENT ON COLUMN {schema}.progress.next_offset IS 'The first offset that is not handled yet';
COMMENT ON COLUMN {schema}.progress.log_id IS
    'The log''s own id of the topic: in a topic made anew offsets mean other messages';
"""
"""What an owner's migration says, with its schema's name put in."""

_CLAIM = """
INSERT INTO {schema}.progress AS p (grp, topic, partition, epoch, next_offset, log_id)
VALUES ($1, $2, $3, 1, $4, $5)
ON CONFLICT (grp, topic, partition) DO UPDATE SET epoch = p.epoch + 1 WHERE p.log_id = excluded.log_id
RETURNING epoch, next_offset
"""
_ADVANCE = """
UPDATE {schema}.progress SET next_offset = $6
WHERE grp = $1 AND topic = $2 AND partition = $3 AND epoch = $4 AND next_offset = $5
"""
_READ = "SELECT epoch, next_offset FROM {schema}.progress WHERE grp = $1 AND topic = $2 AND partition = $3"
_ALL = "SELECT topic, partition, next_offset, log_id FROM {schema}.progress WHERE grp = $1"
_ADOPT = """
UPDATE {schema}.progress SET log_id = $4, next_offset = $5, epoch = epoch + 1
WHERE grp = $1 AND topic = $2 AND partition = $3
"""


class ForeignLogError(Exception):
    """The progress was made with another log than the one that is there now."""


class Claim(NamedTuple):
    """A right to handle a partition, from an offset on."""

    epoch: int
    next_offset: int


class Progress:
    """The table `<schema>.progress`. Every method runs in the caller's transaction."""

    def __init__(self, schema: LiteralString) -> None:
        self._claim, self._advance, self._read, self._all, self._adopt = (
            query.replace("{schema}", schema) for query in (_CLAIM, _ADVANCE, _READ, _ALL, _ADOPT)
        )

    async def claim(
        self, connection: Connection, group: str, partition: Partition, log_id: str, first_offset: int
    ) -> Claim:
        """Become the partition's owner: what earlier owners have not committed yet is refused from here on.

        A partition that is new to the group starts at `first_offset`. Raises `ForeignLogError` when the
        progress belongs to another log than `log_id`.
        """
        row = await connection.fetchrow(self._claim, group, *partition, first_offset, log_id)
        if row is None:
            raise ForeignLogError(
                f"The topic {partition.topic} isn't the one that {group} has worked on: the log was made anew, or "
                "the database restored beside another log. Nothing was read. `contactsync log adopt` accepts the "
                "log that is there now."
            )
        return Claim(row["epoch"], row["next_offset"])

    async def advance(
        self, connection: Connection, group: str, partition: Partition, *, epoch: int, start: int, upto: int
    ) -> None:
        """Move the partition's progress from `start` to `upto`, the first offset not handled.

        Raises `FencedError` when another owner has claimed it, or the progress isn't at `start`: the
        transaction must not be committed.
        """
        if await connection.execute(self._advance, group, *partition, epoch, start, upto) != "UPDATE 1":
            raise FencedError(
                f"{partition.topic}, partition {partition.number}: {group} has another owner by now than the one "
                f"with epoch {epoch} at offset {start}."
            )

    async def read(self, connection: Connection, group: str, partition: Partition) -> Claim | None:
        """Return the present owner's epoch and how far the partition is handled; None when never claimed."""
        row = await connection.fetchrow(self._read, group, *partition)
        return None if row is None else Claim(row["epoch"], row["next_offset"])

    async def all(self, connection: Connection, group: str) -> Mapping[Partition, int]:
        """Return how far each partition of the group is handled."""
        rows = await connection.fetch(self._all, group)
        return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def foreign(
        self, connection: Connection, group: str, log_id: str, bounds: Mapping[Partition, tuple[int, int]]
    ) -> frozenset[Partition]:
        """Return the partitions that the group can't go on with: of another log, or past what the log still has.

        `log_id` and `bounds` are one topic's, as the log has them now.
        """
        return frozenset(
            place
            for row in await connection.fetch(self._all, group)
            if (place := Partition(row["topic"], row["partition"])) in bounds
            and (row["log_id"] != log_id or not bounds[place][0] <= row["next_offset"] <= bounds[place][1])
        )

    async def adopt(self, connection: Connection, group: str, log_id: str, offsets: Mapping[Partition, int]) -> None:
        """Go on with the topic `log_id` at `offsets`, whatever was there before; a person has decided so."""
        for partition, offset in sorted(offsets.items()):
            await connection.execute(self._adopt, group, *partition, log_id, offset)
