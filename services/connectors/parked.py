"""Commands that were set aside, kept for a person to look at, put back into their topic, or drop."""

from collections.abc import Sequence

from services.connectors.publish import Outgoing, enqueue, header_pairs, header_text
from services.contracts.envelope import Headers
from services.runtime.log import Message, Record
from services.runtime.store import Connection
from services.runtime.store import Record as Row

_KEEP = """
INSERT INTO connectors.parked (topic, partition, position, reason, key, headers, value, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now())
"""
_LIST = """
SELECT id, topic, partition, position, reason, headers, at, length(value) AS size FROM connectors.parked ORDER BY id
"""
_ONE = "SELECT *, length(value) AS size FROM connectors.parked WHERE id = $1"
_TAKE = "DELETE FROM connectors.parked WHERE id = $1 RETURNING *"


async def set_aside(tx: Connection, record: Record, reason: str) -> None:
    """Keep a message that can't be read, with the reason."""
    place = record.partition
    rows = header_text(record.headers)
    # A reason may quote a header, and a text column holds no NUL.
    told = reason.replace("\0", "\ufffd")
    await tx.execute(_KEEP, place.topic, place.number, record.offset, told, record.key, rows, record.value)


async def listed(tx: Connection) -> Sequence[Row]:
    """What is set aside, oldest first: id, topic, partition, position, reason, headers, at, size (bytes)."""
    return await tx.fetch(_LIST)


async def kept(tx: Connection, id: int) -> Row | None:
    """One message with its body (`value`); None if it isn't there."""
    return await tx.fetchrow(_ONE, id)


async def release(tx: Connection, id: int) -> Row | None:
    """Put a message back into its topic, under a new offset; None if it isn't there (any more)."""
    row = await tx.fetchrow(_TAKE, id)
    if row is not None:
        message = Message(key=row["key"], headers=headers_of(row), value=row["value"])
        account = row["key"].decode("utf-8", "replace").replace("\0", "\ufffd")
        await enqueue(tx, account, [Outgoing(topic=row["topic"], message=message)])
    return row


async def drop(tx: Connection, id: int) -> Row | None:
    """Delete a message for good; None if it isn't there (any more)."""
    return await tx.fetchrow(_TAKE, id)


def headers_of(row: Row) -> Headers:
    """The message's headers, as they came."""
    return header_pairs(row["headers"])
