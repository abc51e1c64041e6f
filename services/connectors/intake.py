"""From the command topic into the ledger, and on: nothing here waits for an app (PROTOCOL P16)."""

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

import msgspec
import structlog

from services.connectors import ledger, reads
from services.connectors.entry import Entry, Task, accept
from services.connectors.parked import set_aside
from services.connectors.publish import Outgoing, enqueue, parked, written
from services.contracts.commands import Create, Find, Look, Tag, Untag, Update
from services.contracts.envelope import Envelope, Unreadable, from_headers, unseal
from services.runtime.clock import Clock
from services.runtime.log import Record, commands_topic
from services.runtime.log.consume import Batch
from services.runtime.log.poison import Poison
from services.runtime.metrics import Metrics
from services.runtime.store import Connection, Store
from services.runtime.suppression import Suppressions, blank, is_erased
from services.runtime.tracing.carried import carried

CHANNEL = "contactsync_connectors"
"""NOTIFY's channel: an account has something to do, whichever process works it off."""
_INCARNATION = "SELECT n FROM registry.incarnation"
_NOTIFY = "SELECT pg_notify($1, account) FROM unnest($2::text[]) AS t (account)"


class Intake:
    """Takes the commands to the accounts of one app in.

    `wake` is told which accounts have something new, after each committed batch.
    """

    def __init__(
        self, app: str, store: Store, clock: Clock, wake: Callable[[Iterable[str]], None], metrics: Metrics
    ) -> None:
        self._app = app
        self._store = store
        self._clock = clock
        self._wake = wake
        self._metrics = metrics
        self._unreadable = Poison()
        self._suppressions = Suppressions()

    async def handle(self, batch: Batch) -> None:
        """Move one batch into the ledger, in one transaction with its progress; then wake the workers."""

        async def work(tx: Connection) -> frozenset[str]:
            accounts = await self.take(tx, batch.records)
            await batch.advance(tx)
            return accounts

        self._wake(await self._store.retrying(work))

    async def take(self, tx: Connection, records: Sequence[Record]) -> frozenset[str]:
        """Write the records' commands into the ledger; return the accounts that have something to do.

        A message that can't be read, or isn't a command to this app, goes to `contacts.parked` with the reason.
        """
        accounts: set[str] = set()
        tasks: list[Task] = []
        asked: list[tuple[Look | Find, str | None]] = []
        records = await self._kept(tx, records)
        found = [self._read(record) for record in records]
        self._unreadable.count(commands_topic(self._app), [isinstance(each, Unreadable) for each in found])
        for record, command in zip(records, found, strict=True):
            match command:
                case Unreadable(reason=reason):
                    account = record.key.decode("utf-8", "replace").replace("\0", "\ufffd")
                    structlog.get_logger().warning("command_parked", app=self._app, reason="unreadable")
                    self._metrics.parked.labels(topic=record.partition.topic, reason="unreadable").inc()
                    await enqueue(tx, account, [parked(record, reason)])
                    await set_aside(tx, record, reason)
                    accounts.add(account)
                case Task() as task:
                    tasks.append(task)
                    accounts.add(task.command.aim.account)
                case read:
                    asked.append((read, carried(record.headers)))
                    accounts.add(read.account)
        await self._writes(tx, tasks)
        # Sorted, so that two batches lock in one order.
        for read, trace in sorted(asked, key=lambda each: (each[0].account, msgspec.json.encode(each[0]))):
            await reads.ask(tx, read, app=self._app, now=self._clock.now(), traceparent=trace)
        await tx.execute(_NOTIFY, CHANNEL, sorted(accounts))
        return frozenset(accounts)

    async def _kept(self, tx: Connection, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records that aren't about anybody who was forgotten; those that are lose their content."""
        suppressed = await self._suppressions.held(tx)
        kept: list[Record] = []
        for record in records:
            if suppressed.refuses(record):
                await blank(tx, [record])
            elif not is_erased(record):
                kept.append(record)
        return kept

    async def _writes(self, tx: Connection, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        incarnation: int = await tx.fetchval(_INCARNATION)
        stored = await ledger.locked(tx, [(task.command.aim.link, task.command.aim.side) for task in tasks])
        present: dict[tuple[str, str], Entry] = dict(stored)
        for task in tasks:
            aim = task.command.aim
            place = (aim.link, aim.side)
            now = self._clock.now()
            before = present.get(place)
            after, reports = accept(before, task, app=self._app, now=now, incarnation=incarnation)
            if after is not None:
                await (ledger.add(tx, after) if before is None else ledger.save(tx, before, after))
                present[place] = after
            said: list[Outgoing] = [
                written(told, outcome, app=self._app, now=now, traceparent=task.traceparent)
                for told, outcome in reports
            ]
            await enqueue(tx, aim.account, said)

    def _read(self, record: Record) -> Task | Look | Find | Unreadable:
        envelope = from_headers(record.headers, record.value)
        if isinstance(envelope, Unreadable):
            return envelope
        message = unseal(envelope)
        match message:
            case Unreadable() | Look() | Find():
                return message
            case Create() | Update() | Tag() | Untag():
                return self._task(message, envelope)
            case _:
                return Unreadable(reason=f"a {envelope.type} isn't a command")

    def _task(self, command: Create | Update | Tag | Untag, envelope: Envelope) -> Task | Unreadable:
        try:
            link = str(UUID(command.aim.link))
        except ValueError:
            link = ""
        if link != command.aim.link:
            return Unreadable(reason=f"a {envelope.type} whose link isn't a UUID in its usual form")
        return Task(
            type=envelope.type,
            command=command,
            decided_at=envelope.time,
            traceparent=envelope.traceparent,
        )
