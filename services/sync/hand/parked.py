"""Events and receipts that were set aside: kept for a person to look at, put back into their topic, or drop."""

from collections.abc import Sequence

from services.contracts.envelope import Headers
from services.runtime.store import Connection as Database
from services.runtime.store import Record as Row
from services.sync.core.state import Decision
from services.sync.hand.word import noted
from services.sync.save import decode_headers

_LIST = """
SELECT id, topic, partition, position, reason, headers, at, length(value) AS size FROM sync.parked ORDER BY id
"""
_ONE = "SELECT *, length(value) AS size FROM sync.parked WHERE id = $1"
_TAKE = "DELETE FROM sync.parked WHERE id = $1 RETURNING *"
_OUTBOX = "INSERT INTO sync.outbox (topic, key, headers, value, at) VALUES ($1, $2, $3, $4, now())"


async def listed(database: Database) -> Sequence[Row]:
    """What is set aside, oldest first: id, topic, partition, position, reason, headers, at, size (bytes)."""
    return await database.fetch(_LIST)


async def kept(database: Database, id: int) -> Row | None:
    """One message with its body (`value`); None if it isn't there."""
    return await database.fetchrow(_ONE, id)


async def release(database: Database, id: int) -> Row | None:
    """Put a message back into its topic, under a new offset; None if it isn't there (any more)."""
    row = await database.fetchrow(_TAKE, id)
    if row is not None:
        # Without its key it may come into another partition: versions, not places, order what is said of a contact.
        await database.execute(_OUTBOX, row["topic"], row["key"] or b"", row["headers"], row["value"])
    return row


async def drop(database: Database, id: int) -> Row | None:
    """Delete a message for good; None if it isn't there (any more)."""
    return await database.fetchrow(_TAKE, id)


async def note(database: Database, row: Row, id: str, *, released: bool) -> None:
    """Journal what a person decided about a message, whoever had set it aside. `id` is how a person names it."""
    reason = f"a person {'put back' if released else 'dropped'} a message that was set aside: {row['reason']}"
    outcome = "released" if released else "dropped"
    decision = Decision(link="", connection="", config_version=0, outcome=outcome, reason=reason)
    place = row["topic"], row["partition"], row["position"]
    await noted(database, decision, id, place=place)


def headers_of(row: Row) -> Headers:
    """The message's headers, as they came."""
    return decode_headers(row["headers"])
