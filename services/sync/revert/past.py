"""What was sent and how it was answered, with the values, from the log."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Contact
from services.contracts.envelope import Unreadable, from_headers, unseal
from services.contracts.receipts import Receipt, Unchanged, Written
from services.runtime.log import RECEIPTS, Partition, Record, commands_topic
from services.sync.revert.chosen import Key

_SKEW = timedelta(minutes=10)
"""How far the clocks of the log and of the database may be apart."""
_WHOLE = 2_000
"""Records among which no earlier one is looked for: reading them all is as fast."""
_PROBE = 20
_WRITES = ("command.create", "command.update", "command.tag", "command.untag")


class Readable(Protocol):
    """A log that can be read from anywhere."""

    async def bounds(self, topic: str) -> Mapping[Partition, tuple[int, int]]:
        """Return each partition's first offset still there and the offset its next record will get."""
        ...

    def read(self, place: Partition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """Yield the records of [start, end)."""
        ...


async def sent(log: Readable, apps: Collection[str], since: datetime, wanted: Collection[Key]) -> dict[Key, Write]:
    """Return the commands of these writes that the log still holds. `since`: when the first of them was decided."""
    missing, found = set(wanted), dict[Key, Write]()
    for app in sorted(apps):
        async for record in _records(log, commands_topic(app), since):
            command = _read(record, _WRITES)
            if not isinstance(command, Create | Update | Tag | Untag):
                continue
            key = command.aim.link, command.aim.side, command.aim.version
            if key in missing:
                found[key] = command
                missing.discard(key)
            if not missing:
                return found
    return found


async def shown(log: Readable, since: datetime, wanted: Collection[Key]) -> dict[Key, Contact]:
    """Return the contact as the answers to these writes showed it, where they did and the log still holds them."""
    missing, found = set(wanted), dict[Key, Contact]()
    async for record in _records(log, RECEIPTS, since) if missing else _none():
        receipt = _read(record, ("receipt.write",))
        if not isinstance(receipt, Receipt):
            continue
        key = receipt.aim.link, receipt.aim.side, receipt.aim.version
        outcome = receipt.outcome
        if key in missing and isinstance(outcome, Written | Unchanged):
            missing.discard(key)
            replayed = isinstance(outcome, Written) and outcome.replayed
            if outcome.seen is not None and not replayed:
                found[key] = outcome.seen.contact
        if not missing:
            break
    return found


async def _none() -> AsyncIterator[Record]:
    return
    yield


def _read(record: Record, types: Collection[str]) -> object:
    envelope = from_headers(record.headers, record.value)
    if isinstance(envelope, Unreadable) or envelope.type not in types:
        return None
    message = unseal(envelope)
    # The app's own object may be large, and isn't needed.
    return replace(message, object=msgspec.Raw(b"null")) if isinstance(message, Update) else message


async def _records(log: Readable, topic: str, since: datetime) -> AsyncIterator[Record]:
    for place, (first, end) in sorted((await log.bounds(topic)).items()):
        start = await _from(log, place, first, end, since - _SKEW)
        async for batch in log.read(place, start, end):
            for record in batch:
                yield record


async def _from(log: Readable, place: Partition, first: int, end: int, since: datetime) -> int:
    """Return an offset before which nothing is as young as `since`."""
    low, high = first, end
    while high - low > _WHOLE:
        middle = (low + high) // 2
        record = await _first(log, place, middle, high)
        if record is None or record.time >= since:
            high = middle  # with a gap, more is read than needed
        else:
            low = record.offset
    return low


async def _first(log: Readable, place: Partition, start: int, end: int) -> Record | None:
    """Return the first record of the span; None where a gap hides it."""
    found: Record | None = None
    async for batch in log.read(place, start, min(end, start + _PROBE)):
        found = found or next(iter(batch), None)
    return found
