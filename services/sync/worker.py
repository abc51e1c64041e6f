"""The sync worker: takes batches of events and receipts in, in transactions with their progress."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import structlog

from services.contracts.app import Manifest
from services.contracts.envelope import Envelope, Unreadable, from_headers, unseal
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    ScanFinished,
    SubscriptionChanged,
)
from services.contracts.receipts import Absent, AccountBack, Found, Receipt
from services.runtime.log import EVENTS, RECEIPTS, FencedError, Log, Record
from services.runtime.log.consume import Batch, consume
from services.runtime.log.errors import is_passing
from services.runtime.log.poison import Poison
from services.runtime.log.progress import Progress
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.runtime.suppression import Suppressions, blank, erased
from services.sync.configs import Configs, MissingAppError, read_configs
from services.sync.core.take import Input
from services.sync.gathering import Gathering
from services.sync.save import park
from services.sync.scans import finish_scan
from services.sync.transact import Cause, transact

GROUP = "sync"
PROGRESS = Progress("sync")
_MOST = 200
"""Records of a transaction, of all partitions together."""
POISON = 20
"""Messages parked in a row although they can be read, from which on it isn't the messages: the worker stops."""

_FRESH = """
INSERT INTO sync.inbox (day, account, event_id)
SELECT DISTINCT current_date, k.a, k.e FROM unnest($1::text[], $2::text[]) k (a, e)
 WHERE NOT EXISTS (SELECT FROM sync.inbox WHERE account = k.a AND event_id = k.e
                      AND day BETWEEN current_date - 4 AND current_date + 1)
RETURNING account, event_id
"""
_BACK = "INSERT INTO sync.wake (link) SELECT id FROM sync.link WHERE wait_reason = 'account' AND wait_on = $1"


class Taken:
    """A log record that was read: a cause, an account's return, the end of a scan, or something unreadable."""

    def __init__(self, record: Record) -> None:
        self.record = record
        envelope = from_headers(record.headers, record.value)
        self.message = envelope if isinstance(envelope, Unreadable) else unseal(envelope)
        self.envelope = envelope if isinstance(envelope, Envelope) else None

    def cause(self, item: Input) -> Cause:
        """Return the input with its place in the log."""
        place = self.record.partition
        envelope = self.envelope
        return Cause(
            item=item,
            type=envelope.type if envelope else "",
            id=envelope.id if envelope else "",
            topic=place.topic,
            partition=place.number,
            position=self.record.offset,
            traceparent=envelope.traceparent if envelope else None,
        )


def _ours(error: Exception) -> bool:
    """Whether the trouble isn't the message's: it is the worker's loop that has to know."""
    return is_passing(error) or isinstance(error, FencedError | MissingAppError)


class Worker:
    """Consumes `contacts.events` and `contacts.receipts`."""

    def __init__(
        self, store: Store, log: Log, manifests: Mapping[str, Manifest], on_commit: Callable[[], None]
    ) -> None:
        self._store = store
        self._log = log
        self._manifests = manifests
        self._on_commit = on_commit
        self._poison = 0
        self._gathering = Gathering(self._folded, most=_MOST)
        self._unreadable = Poison()
        self._suppressions = Suppressions()

    async def run(self, member: str) -> NoReturn:
        """Consume for ever as `member`."""
        try:
            await consume(
                self._log,
                self._store,
                PROGRESS,
                group=GROUP,
                topics=(EVENTS, RECEIPTS),
                member=member,
                handle=self.handle,
                max_records=_MOST,
            )
        finally:
            await self._gathering.close()

    async def configs(self, database: Database) -> Configs:
        """Read the connections in force, without locking them (P11)."""
        return await read_configs(database, self._manifests)

    async def handle(self, batch: Batch) -> None:
        """Take a batch in. The ends of scans and returns of accounts go alone: they lock what others share."""
        waiting = deque(Taken(record) for record in batch.records)
        unreadable = [isinstance(each.message, Unreadable) and not erased(each.envelope) for each in waiting]
        self._unreadable.count(batch.partition.topic, unreadable)
        while waiting:
            if isinstance(waiting[0].message, ScanFinished | AccountBack):
                taken = waiting.popleft()
                await self._alone(batch, taken)
                batch = batch.rest(taken.record.offset + 1)
                continue
            run: list[Taken] = []
            while waiting and not isinstance(waiting[0].message, ScanFinished | AccountBack):
                run.append(waiting.popleft())
            batch = await self._together(batch, run)
            self._on_commit()

    async def _together(self, batch: Batch, run: Sequence[Taken]) -> Batch:
        """Fold the run in one transaction, or one by one where that fails; return the rest of the batch."""
        upto = run[-1].record.offset + 1
        try:
            if await self._fold(batch, run):
                self._poison = 0
                return batch.rest(upto)
        except Exception as error:
            if _ours(error):
                raise
        structlog.get_logger().info("batch_split", topic=batch.partition.topic, count=len(run))
        for one in run:
            await self._one(batch, one)
            batch = batch.rest(one.record.offset + 1)
        return batch

    async def _one(self, batch: Batch, one: Taken) -> None:
        """Fold one record; park it if that is impossible. Many in a row are our mistake, and stop the worker."""
        try:
            while not await self._fold(batch, [one]):
                continue
            self._poison = 0
        except Exception as error:
            if _ours(error) or self._poison >= POISON:
                raise
            await self._aside(batch, one, error)

    async def _aside(self, batch: Batch, one: Taken, error: Exception) -> None:
        self._poison += 1
        structlog.get_logger().exception(
            "message_parked", topic=batch.partition.topic, offset=one.record.offset, error=type(error).__name__
        )

        async def work(database: Database) -> None:
            await batch.advance(database, one.record.offset + 1)
            await park(database, one.record, f"it can't be taken in ({type(error).__name__})")

        await self._store.retrying(work)

    async def _fold(self, batch: Batch, run: Sequence[Taken]) -> bool:
        return await self._gathering.put((batch, run), len(run))

    async def _folded(self, shares: Sequence[tuple[Batch, Sequence[Taken]]]) -> bool:
        """Fold runs of several partitions in one transaction with their progress."""

        async def begin(database: Database) -> list[Cause]:
            for batch, run in shares:
                await batch.advance(database, run[-1].record.offset + 1)
            return await self._fresh(database, [taken for _, run in shares for taken in run])

        return await transact(self._store, self.configs, begin)

    async def _fresh(self, database: Database, run: Sequence[Taken]) -> list[Cause]:
        """Return the causes to fold; what can't be read is parked."""
        causes: list[Cause] = []
        events: list[tuple[str, str, Cause]] = []
        suppressed = await self._suppressions.held(database)
        for taken in run:
            message = taken.message
            match message:
                case Unreadable() if erased(taken.envelope):
                    continue
                case _ if not isinstance(message, Unreadable) and suppressed.covers(message):
                    await blank(database, [taken.record])
                case Unreadable():
                    await park(database, taken.record, message.reason)
                case ContactChanged() | ContactDeleted() | ContactTouched() | ContactMerged() | SubscriptionChanged():
                    cause = taken.cause(message)
                    events.append((message.account, cause.id, cause))
                case Receipt() | Found() | Absent():
                    causes.append(taken.cause(message))
                case _:
                    await park(database, taken.record, f"{type(message).__name__} doesn't belong in this topic")
        return causes + await self._new(database, events)

    async def _new(self, database: Database, events: list[tuple[str, str, Cause]]) -> list[Cause]:
        """Note the events in the inbox and return those that weren't there."""
        if not events:
            return []
        accounts, ids = [event[0] for event in events], [event[1] for event in events]
        fresh = {(row["account"], row["event_id"]) for row in await database.fetch(_FRESH, accounts, ids)}
        causes: dict[tuple[str, str], Cause] = {}
        for account, event_id, cause in events:
            if (account, event_id) in fresh:
                causes.setdefault((account, event_id), cause)
        return list(causes.values())

    async def _alone(self, batch: Batch, taken: Taken) -> None:
        upto = taken.record.offset + 1
        partitions = await self._log.partitions(EVENTS)

        async def work(database: Database) -> None:
            await batch.advance(database, upto)
            if isinstance(taken.message, ScanFinished):
                await finish_scan(database, taken.message, taken.record.partition.number, partitions)
            elif isinstance(taken.message, AccountBack):
                await database.execute(_BACK, taken.message.account)

        try:
            await self._store.retrying(work)
        except Exception as error:
            if _ours(error) or self._poison >= POISON:
                raise
            await self._aside(batch, taken, error)
        self._on_commit()
