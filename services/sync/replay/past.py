"""History as the database and the log have it: transactions in their order, with their decisions and messages."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from services.contracts.envelope import Unreadable
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    SubscriptionChanged,
)
from services.contracts.receipts import Absent, Found, Receipt
from services.runtime.log import Partition, Record
from services.runtime.store import Connection as Database
from services.runtime.store import Record as Row
from services.runtime.suppression import Bygone, erased
from services.sync.configs import Told
from services.sync.explain.detail import Detail
from services.sync.replay.audit import Missing, Past
from services.sync.replay.difference import Outcome
from services.sync.replay.inputs import Entry, Message, bodies
from services.sync.transact import Cause
from services.sync.worker import Taken

FORGOTTEN = "forgotten"
"""The reason that stands in the journal instead of one that told of a person who was forgotten."""
TOGETHER = 100
"""Transactions that are read at a time."""
Read = Callable[[Partition, int, int], AsyncIterator[Sequence[Record]]]
"""Yields the records of a partition from an offset up to another one, in order, for no group."""

_INPUTS = """
SELECT number, now, config, effect, body FROM sync.input
 WHERE $1::bigint IS NULL OR number > $1 OR NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot) ORDER BY number
"""
_COUNT = """
SELECT count(*) FROM sync.input
 WHERE $1::bigint IS NULL OR number > $1 OR NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
"""
_CONFIGS = "SELECT fingerprint, body FROM sync.input_config"
_WHOLE = "SELECT whole FROM sync.input_start"
_JOURNAL = """
SELECT tx, input, cause, link::text, connection, config_version, outcome, reason, detail FROM sync.journal
 WHERE tx BETWEEN $1 AND $2 AND input <> 'person' ORDER BY number
"""

_details = msgspec.json.Decoder(Detail)


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the journal."""

    tx: int | None
    input: str
    cause: str
    link: str | None
    connection: str | None
    config_version: int | None
    outcome: str
    reason: str
    detail: Detail | None

    def told(self) -> Outcome:
        """Return it in the form in which decisions are compared."""
        detail = self.detail or Detail()
        seen = detail.seen
        return Outcome(
            input=self.input,
            cause=self.cause,
            link=self.link or "",
            connection=self.connection or "",
            outcome=self.outcome,
            reason=self.reason,
            lines=detail.lines,
            writes=detail.writes,
            config_version=self.config_version or 0,
            contact=None if seen is None else (seen.account, seen.contact),
        )


class NotThereError(Exception):
    """The log doesn't hold what history needs: it begins later, or is another one."""

    def __init__(self, place: Partition, position: int, why: str) -> None:
        super().__init__(
            f"{place.topic}, partition {place.number}: history needs the message at {position}, {why}. Start from a "
            "newer checkpoint (--from)."
        )


class Messages:
    """The content of messages, asked for in the order in which they were taken in: each partition is read once."""

    def __init__(self, read: Read, bounds: Mapping[Partition, tuple[int, int]], bygone: Bygone | None = None) -> None:
        self._read = read
        self._bygone = bygone or Bygone()
        self._bounds = bounds
        self._streams: dict[Partition, AsyncIterator[Sequence[Record]]] = {}
        self._waiting: dict[Partition, deque[Record]] = {}
        self._next: dict[Partition, int] = {}

    async def of(self, message: Message, number: int) -> Cause | Missing:
        """Return the message, taken in by that transaction, as a cause. Raises `NotThereError`."""
        place = Partition(message.topic, message.partition)
        record = await self._at(place, message.position)
        if record is None:
            return Missing(message=message)
        taken = Taken(record)
        if erased(taken.envelope):
            return Missing(message=message)
        if isinstance(taken.message, Unreadable):
            return Missing(message=message, unread=taken.message.reason)
        if taken.envelope is not None and taken.envelope.id != message.id:
            raise NotThereError(place, message.position, "but another one stands there: it isn't the log of then")
        if self._bygone.covers(taken.message, number):
            return Missing(message=message)
        match taken.message:
            case (
                ContactChanged() | ContactDeleted() | ContactTouched() | ContactMerged() | SubscriptionChanged() as fact
            ):
                return taken.cause(fact)
            case Receipt() | Found() | Absent() as answer:
                return taken.cause(answer)
            case _:
                raise AssertionError(f"{place} at {message.position} isn't what was taken in")

    async def _at(self, place: Partition, position: int) -> Record | None:
        first, end = self._bounds.get(place, (0, 0))
        if position < first:
            raise NotThereError(place, position, f"but the log begins at {first}")
        if position >= end:
            raise NotThereError(place, position, f"but the log ends at {end}: it isn't the log of then")
        if place not in self._streams or position < self._next[place]:
            self._streams[place] = self._read(place, position, end)
            self._waiting[place] = deque()
        waiting = self._waiting[place]
        self._next[place] = position + 1
        while True:
            while waiting and waiting[0].offset < position:
                waiting.popleft()
            if waiting:
                return waiting.popleft() if waiting[0].offset == position else None
            more = await anext(self._streams[place], None)
            if more is None:
                return None
            waiting.extend(more)


async def whole(database: Database) -> bool:
    """Whether the inputs begin with an empty store."""
    return bool(await database.fetchval(_WHOLE))


async def count(database: Database, after: tuple[int, str] | None) -> int:
    """Return how many transactions there are. `after`: as in `pasts`."""
    return int(await database.fetchval(_COUNT, *(after or (None, None))))


async def pasts(
    database: Database, messages: Messages, told: dict[str, Told], *, after: tuple[int, str] | None = None
) -> AsyncIterator[Past]:
    """Yield the transactions in their order; fill `told` with what the registry said.

    `after`: a number and a snapshot, as a checkpoint has them: what it holds already is left out. The database's
    transaction has to be a repeatable read.
    """
    for row in await database.fetch(_CONFIGS):
        told[row["fingerprint"]] = msgspec.json.decode(row["body"], type=Told)
    run: list[Entry] = []
    async for row in database.cursor(_INPUTS, *(after or (None, None)), prefetch=TOGETHER):
        run.append(_entry(row))
        if len(run) == TOGETHER:
            for past in await _read(database, messages, run):
                yield past
            run = []
    for past in await _read(database, messages, run):
        yield past


async def _read(database: Database, messages: Messages, run: Sequence[Entry]) -> list[Past]:
    if not run:
        return []
    outcomes: dict[int, list[Outcome]] = {entry.number: [] for entry in run}
    for row in await database.fetch(_JOURNAL, run[0].number, run[-1].number):
        if row["tx"] in outcomes:
            outcomes[row["tx"]].append(_outcome(row))
    found = []
    for entry in run:
        items = [item for item in entry.body.items if isinstance(item, Message)]
        contents = [await messages.of(item, entry.number) for item in items]
        found.append(past_of(entry, outcomes[entry.number], contents))
    return found


def past_of(entry: Entry, outcomes: Sequence[Outcome], contents: Sequence[Cause | Missing]) -> Past:
    """Return a transaction as it was. For inputs that went with a person, one stands that is missing."""
    if any(each.reason == FORGOTTEN for each in outcomes) and not any(isinstance(each, Missing) for each in contents):
        gone = Message(topic="", partition=0, position=0, id="")
        entry = replace(entry, body=replace(entry.body, items=(*entry.body.items, gone)))
        contents = (*contents, Missing(message=gone))
    return Past(entry=entry, outcomes=tuple(outcomes), messages=tuple(contents))


def _entry(row: Row) -> Entry:
    return Entry(
        number=row["number"],
        now=row["now"],
        config=row["config"],
        effect=row["effect"],
        body=bodies.decode(row["body"]),
    )


def _outcome(row: Row) -> Outcome:
    detail = None if row["detail"] is None else _details.decode(row["detail"])
    return Written(
        tx=row["tx"],
        input=row["input"],
        cause=row["cause"],
        link=row["link"],
        connection=row["connection"],
        config_version=row["config_version"],
        outcome=row["outcome"],
        reason=row["reason"],
        detail=detail,
    ).told()
