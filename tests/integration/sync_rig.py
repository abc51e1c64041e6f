"""Sync on a real Postgres, with every message in the test's hand: batches are given to workers, commands read back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from services.contracts.app import Manifest
from services.contracts.commands import Command, Create
from services.contracts.connection import Connection, Options
from services.contracts.contact import SIDES
from services.contracts.envelope import (
    Envelope,
    Message,
    Unreadable,
    from_headers,
    unseal,
)
from services.runtime.log import EVENTS, PARKED, RECEIPTS, Partition, Record, commands_topic
from services.runtime.log import Message as Posted
from services.runtime.log.lane import Batch
from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Connection as Database
from services.runtime.store import Record as Row
from services.runtime.store import Store
from services.sync.core.state import Link
from services.sync.journal import moment
from services.sync.save import decode_headers
from services.sync.sweeper import Sweeper
from services.sync.worker import GROUP, PROGRESS, Worker
from tests.core.bench import BOOK, SECOND, SHOP, order
from tests.integration.sync_messages import (
    DAY,
    changed,
    message,
    of,
    shop,
    writes,
    written,
)

PARTITIONS = 4
TOPICS = {
    EVENTS: PARTITIONS,
    RECEIPTS: PARTITIONS,
    PARKED: 1,
    commands_topic("shop_app"): 1,
    commands_topic("book_app"): 1,
}
MANIFESTS: Mapping[str, Manifest] = {"shop_app": SHOP, "book_app": BOOK}
APPS = {"shop": "shop_app", "office": "book_app", "second": "shop_app", "annex": "book_app"}
PAIR = Connection(name="pair", left="shop", right="office", options=Options(sync_deletions="both", most_writes=0))

_LOCKED = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
_UNLOCKED = "SELECT id, state FROM sync.link WHERE status <> 'ended' ORDER BY id FOR UPDATE SKIP LOCKED"
_CHANGED = "UPDATE sync.link SET state = $2, wait_since = $3, reconsider_at = $4, unsettled_since = $5 WHERE id = $1"
_OLDER_LOOKS = """
UPDATE sync.contact SET updated_at = updated_at - make_interval(secs => $1::bigint / 1e6),
    state = jsonb_set(state::jsonb, '{looking,asked}', to_jsonb((state#>>'{looking,asked}')::bigint - $1::bigint))::json
WHERE looking
"""
_TOUCHED = frozenset({"updated_at", "since", "id"})
_COUNTED = (
    "contact", "contact_address", "link", "reservation", "wake", "suspect", "journal", "outbox", "parked", "inbox"
)  # fmt: skip


class Owner:
    """One partition, owned: gives batches of messages to its worker, one after the other."""

    def __init__(self, rig: Rig, worker: Worker, place: Partition, epoch: int, start: int) -> None:
        self.rig = rig
        self.worker = worker
        self.place = place
        self.epoch = epoch
        self.position = start
        self._reached = start

    def records(self, *messages: Message | Posted) -> list[Record]:
        """The messages as records from the present position on."""
        posted = [one if isinstance(one, Posted) else message(one) for one in messages]
        return [
            Record(
                partition=self.place,
                offset=self.position + at,
                key=one.key,
                headers=one.headers,
                value=one.value,
                time=DAY,
            )
            for at, one in enumerate(posted)
        ]

    def batch(self, records: Sequence[Record]) -> Batch:
        return Batch(self.place, self.epoch, self.position, records, PROGRESS, GROUP, self._reach)

    async def take(self, *messages: Message | Posted) -> None:
        """Hand the messages to the worker as one batch."""
        batch = self.batch(self.records(*messages))
        await self.worker.handle(batch)
        assert self._reached == batch.end
        self.position = batch.end

    def _reach(self, offset: int) -> None:
        self._reached = offset


class Rig:
    """An installation of sync without its loops."""

    def __init__(self, store: Store, log: PostgresLog) -> None:
        self.store = store
        self.log = log
        self.commits = 0
        self.worker = Worker(store, log, MANIFESTS, self._committed)
        self.sweeper = Sweeper(store, MANIFESTS, self._committed)

    def _committed(self) -> None:
        self.commits += 1

    async def prepare(self, *connections: Connection, scanned: bool = True) -> None:
        """Put the accounts and the connections into the registry."""
        await self.log.create_topics(TOPICS)
        await self.store.execute("INSERT INTO registry.config (applied_by, source, content) VALUES ('test', '', '{}')")
        for name, app in APPS.items():
            await self.store.execute(
                "INSERT INTO registry.account (name, app, config_version) VALUES ($1, $2, 1)", name, app
            )
            if scanned:
                await self.store.execute("INSERT INTO sync.account (account, scanned_at) VALUES ($1, now())", name)
        for connection in connections:
            await self.connect(connection)

    async def connect(self, connection: Connection) -> None:
        """Put a connection into force, under the next version."""
        await self.store.execute(
            "INSERT INTO registry.connection (name, config_version, body) VALUES ($1, 1, $2)"
            " ON CONFLICT (name) DO UPDATE SET version = connection.version + 1, body = excluded.body",
            connection.name,
            msgspec.json.encode(connection).decode(),
        )

    async def own(self, topic: str = EVENTS, number: int = 0, *, worker: Worker | None = None) -> Owner:
        """Claim a partition: an earlier owner is fenced."""
        place = Partition(topic, number)
        log_id = await self.log.topic_id(topic)
        async with self.store.transaction() as database:
            epoch, start = await PROGRESS.claim(database, GROUP, place, log_id, 0)
        return Owner(self, worker or self.worker, place, epoch, start)

    # What sync knows ------------------------------------------------------------------------------------------

    async def links(self, connection: str = "pair", *, ended: bool = False) -> list[Link]:
        """The links that haven't ended, in the order of sight."""
        rows = await self.store.fetch(
            "SELECT state FROM sync.link WHERE connection = $1 AND (status <> 'ended' OR $2) ORDER BY seq",
            connection,
            ended,
        )
        return [msgspec.json.decode(row["state"], type=Link) for row in rows]

    async def link(self, connection: str = "pair") -> Link:
        (found,) = await self.links(connection)
        return found

    async def commands(self) -> list[Command]:
        """What stands in the outbox for apps, oldest first."""
        rows = await self.store.fetch("SELECT headers, value FROM sync.outbox WHERE topic <> $1 ORDER BY id", PARKED)
        return [_command(row) for row in rows]

    async def drain(self) -> list[Command]:
        """Take what stands in the outbox for apps."""
        rows = await self.store.fetch(
            "WITH gone AS (DELETE FROM sync.outbox WHERE topic <> $1 RETURNING *) SELECT * FROM gone ORDER BY id",
            PARKED,
        )
        return [_command(row) for row in rows]

    async def journal(self) -> list[Row]:
        return await self.store.fetch("SELECT * FROM sync.journal ORDER BY number")

    async def counts(self) -> dict[str, int]:
        """How many rows each table of sync has."""
        found = {}
        for table in _COUNTED:
            found[table] = await self.store.fetchval(f"SELECT count(*) FROM sync.{table}")  # noqa: S608 - our tables
        return found

    async def content(self) -> dict[str, list[str]]:
        """Everything sync knows, row by row, without the times at which rows were touched."""
        found = {}
        for table in _COUNTED:
            rows = await self.store.fetch(f"SELECT * FROM sync.{table}")  # noqa: S608 - our tables
            found[table] = sorted(str([value for name, value in row.items() if name not in _TOUCHED]) for row in rows)
        return found

    async def sweep(self, most: int = 50) -> int:
        """Sweep until there is nothing to do; return how many sweeps had something."""
        for done in range(most):
            if not await self.sweeper.sweep():
                return done
        raise AssertionError("the sweeper doesn't come to rest")

    async def pass_time(self, seconds: float) -> None:
        """Let every link's clocks be that much further, as if it had waited."""
        back = round(seconds * SECOND)

        def older(link: Link) -> Link:
            wait = None if link.wait is None else replace(link.wait, since=link.wait.since - back)
            due = None if link.reconsider_at is None else link.reconsider_at - back
            link = replace(link, wait=wait, reconsider_at=due)
            for side in SIDES:
                half = link.half(side)
                if half.pending is not None:
                    sent = replace(half.pending, sent=half.pending.sent - back)
                    link = link.with_half(side, replace(half, pending=sent))
            return link

        await self._change_links(older)
        await self.store.execute(_OLDER_LOOKS, back)

    async def make_due(self) -> None:
        """Let every link's time have come."""
        await self._change_links(lambda link: replace(link, reconsider_at=order(0).start))

    async def _change_links(self, change: Callable[[Link], Link]) -> None:
        async with self.store.transaction() as database:
            for row in await database.fetch(_UNLOCKED):
                link = change(msgspec.json.decode(row["state"], type=Link))
                since = moment(link.wait.since if link.wait else None)
                state = msgspec.json.encode(link).decode()
                sent = [half.pending.sent for half in (link.left, link.right) if half.pending is not None]
                times = since, moment(link.reconsider_at), moment(min(sent, default=None))
                await database.execute(_CHANGED, row["id"], state, *times)

    async def locked(self, sessions: int, seconds: float = 10.0) -> None:
        """Wait until so many sessions wait for locks."""
        async with asyncio.timeout(seconds):
            while await self.store.fetchval(_LOCKED) < sessions:  # noqa: ASYNC110 - the server knows, and doesn't tell
                await asyncio.sleep(0.005)

    async def waiting_for(self, holder: Database, seconds: float = 10.0) -> None:
        """Wait until some session waits for `holder`'s."""
        pid = await holder.fetchval("SELECT pg_backend_pid()")
        async with asyncio.timeout(seconds):
            while not await self.store.fetchval(_BLOCKED, pid):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def holding(self, statement: str, *arguments: object) -> AsyncIterator[Database]:
        """A transaction of somebody else's that has run `statement` and goes on holding its locks."""
        async with self.store.transaction() as database:
            await database.execute(statement, *arguments)
            yield database


@contextlib.asynccontextmanager
async def rig(store: Store, *connections: Connection, scanned: bool = True) -> AsyncIterator[Rig]:
    async with PostgresLog.open(store) as log:
        made = Rig(store, log)
        await made.prepare(*(connections or (PAIR,)), scanned=scanned)
        yield made


@contextlib.asynccontextmanager
async def workers(made: Rig, count: int = 2) -> AsyncIterator[list[asyncio.Task[None]]]:
    """So many members that consume for real, each with its own store and log; none may have failed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        tasks: list[asyncio.Task[None]] = []
        for at in range(count):
            store = await stack.enter_async_context(Store.open(made.store.dsn, max_size=6))
            log = await stack.enter_async_context(PostgresLog.open(store))
            worker = Worker(store, log, MANIFESTS, lambda: None)
            tasks.append(asyncio.create_task(worker.run(f"member-{at}")))
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()


async def drained(made: Rig) -> bool:
    """Whether everything that was published is handled."""
    ends = {place: end for topic in (EVENTS, RECEIPTS) for place, (_, end) in (await made.log.bounds(topic)).items()}
    rows = await made.store.fetch("SELECT topic, partition, next_offset FROM sync.progress")
    return {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows} == ends


def _command(row: Row) -> Command:
    envelope = from_headers(decode_headers(row["headers"]), row["value"])
    assert isinstance(envelope, Envelope)
    body = unseal(envelope)
    assert not isinstance(body, Unreadable)
    return body  # type: ignore[return-value]


async def active(rig: Rig, events: Owner, receipts: Owner, contact_id: str = "cus", name: str = "Ada") -> Link:
    """A left contact with its right one, made by us and in step."""
    address = f"{contact_id}@example.com"
    await events.take(changed("shop", contact_id, shop(name, address)))
    create = of(await rig.drain(), Create)[-1]
    await receipts.take(written(create, at=10))
    await rig.sweep()
    assert not writes(await rig.drain())
    found = [link for link in await rig.links() if link.left.contact_id == contact_id]
    assert found[0].status == "active"
    assert not found[0].unsettled
    return found[0]
