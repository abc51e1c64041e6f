"""B3: events to state, links and outbox in PostgreSQL, beside a batched upsert of the rows and a plain consumer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from services.contracts.app import Manifest
from services.contracts.commands import Create
from services.contracts.contact import Contact, Fields
from services.contracts.events import ContactChanged
from services.contracts.receipts import Observation, Receipt, Written
from services.runtime.log import EVENTS, RECEIPTS, Message, Partition
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.lane import Batch
from services.runtime.log.open import ManagedLog, open_log
from services.runtime.store import Store
from services.sync.worker import Worker
from tests.bench import known
from tests.bench.place import Bench, BrokenError, assert_acks
from tests.bench.rounds import Watch, Work, rounds
from tests.bench.row import Measured, Row, Run, Target
from tests.bench.upsert import Upsert
from tests.core.bench import order
from tests.integration.sync_messages import changed, message
from tests.integration.sync_rig import APPS, MANIFESTS, PAIR, TOPICS, Rig

PEOPLE, QUICK_PEOPLE = 100_000, 3_000
EVENTS_OF_A_RUN, QUICK_EVENTS = 5_000, 300
PARTITIONS = 12
CAUSE = (
    "one process has one core: 0.34 ms of Python for an event allow 3,000 events/s whatever PostgreSQL does (by "
    "samples half of it decides, a quarter writes what came of that, an eighth finds out and reads what a batch may "
    "touch). The limit takes no locks, looks nobody up, decides nothing and keeps no journal. More processes share "
    "the partitions."
)
_SECONDS = 120
_PEER = Path(__file__).with_name("peer_consumer.py")


class Counting(Worker):
    """The worker; begins once it has records of every partition, and sets `done` once so many were taken in.

    Partitions are claimed one by one when a process starts: that is no part of what an event takes.
    """

    def __init__(self, store: Store, log: ManagedLog, manifests: Mapping[str, Manifest], expected: int) -> None:
        super().__init__(store, log, manifests, lambda: None)
        self._left = expected
        self._there: set[Partition] = set()
        self.began = asyncio.Event()
        self.done = asyncio.Event()

    async def handle(self, batch: Batch) -> None:
        """As the worker's."""
        self._there.add(batch.partition)
        if len(self._there) == PARTITIONS:
            self.began.set()
        await self.began.wait()
        await super().handle(batch)
        self._left -= len(batch.records)
        if self._left <= 0:
            self.done.set()


class Known:
    """A database in which so many pairs are known, and a log."""

    def __init__(self, store: Store, log: ManagedLog, events: int) -> None:
        self.store = store
        self.log = log
        self.events = events
        self._runs = itertools.count()
        self._topics = itertools.count()
        self._first = 1

    async def run(self) -> Run:
        """Publish an event for each of the next pairs, then take them all in."""
        number = next(self._runs)
        people = range(self._first, self._first + self.events)
        self._first += self.events
        await self.log.publish(EVENTS, [_edit(person, number) for person in people])
        if isinstance(self.log, KafkaLog):
            await assert_acks(self.log)
        worker = Counting(self.store, self.log, MANIFESTS, self.events)
        running = asyncio.create_task(worker.run(f"bench-{number}"))
        try:
            async with asyncio.timeout(_SECONDS):
                await _first(worker.began.wait(), running)
                with Watch() as watch:
                    await _first(worker.done.wait(), running)
        finally:
            running.cancel()
            await asyncio.wait({running})
        return watch.rate(self.events)

    async def peer(self, python: str, bootstrap: str) -> Run:
        """Let the peer take as many events in, from a topic of its own."""
        topic = f"bench.peer.{next(self._topics)}"
        people = range(1, self.events + 1)
        await self.log.create_topics({topic: PARTITIONS})
        await self.log.publish(topic, [_edit(person, 0) for person in people])
        arguments = (str(_PEER), bootstrap, self.store.dsn, topic, topic, str(self.events))
        peer = await asyncio.create_subprocess_exec(python, *arguments, stdout=asyncio.subprocess.PIPE)
        assert peer.stdout is not None
        try:
            async with asyncio.timeout(_SECONDS):
                if await peer.stdout.readline() != b"ready\n":
                    raise BrokenError("the peer's consumer doesn't start")
                told = msgspec.json.decode(await peer.stdout.readline(), type=dict[str, float])
        finally:
            with contextlib.suppress(ProcessLookupError):
                peer.kill()
            await peer.wait()
        return Run(self.events / told["seconds"], told["cpu"] / self.events)

    async def written(self) -> list[str]:
        """The ids of the links that wait for a write: those of the last run."""
        rows = await self.store.fetch("SELECT id::text FROM sync.link WHERE unsettled > 0 ORDER BY updated_at DESC")
        return [row["id"] for row in rows[: self.events]]


async def _first(wanted: Coroutine[Any, Any, object], running: asyncio.Task[NoReturn]) -> None:
    task = asyncio.create_task(wanted)
    await asyncio.wait({task, running}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
        raise BrokenError("the worker ended")


def _edit(person: int, turn: int) -> Message:
    return message(_observed(known.named(person), f"+1 202 555 {turn + 1:04d}", at=100 + 10 * turn))


def _observed(name: str, phone: str, *, at: float) -> ContactChanged:
    fields: Fields = {
        "name": (f"Ada Nr{name}",),
        "email": (f"p{name}@example.com",),
        "phone": (phone,),
        "description": ("Countess of Lovelace",),
    }
    return msgspec.structs.replace(
        changed("shop", f"cus_{name}", fields, at=at),
        object=msgspec.Raw(msgspec.json.encode({"id": f"cus_{name}", "phone": phone, "more": "x" * 1500})),
    )


@contextlib.asynccontextmanager
async def prepared(bench: Bench, url: str, people: int, events: int) -> AsyncIterator[Known]:
    """A database of its own with so many known pairs."""
    async with (
        bench.database() as dsn,
        Store.open(dsn, min_size=4, max_size=20, plan_once=True) as store,
        open_log(url, store) as log,
    ):
        yield await _filled(store, log, people, events)


async def _filled(store: Store, log: ManagedLog, people: int, events: int) -> Known:
    rig = Rig(store, log)  # type: ignore[arg-type]
    await log.create_topics({**TOPICS, EVENTS: PARTITIONS})
    await store.execute("INSERT INTO registry.config (applied_by, source, content) VALUES ('bench', '', '{}')")
    for name, app in APPS.items():
        await store.execute("INSERT INTO registry.account (name, app, config_version) VALUES ($1, $2, 1)", name, app)
        await store.execute("INSERT INTO sync.account (account, scanned_at) VALUES ($1, now())", name)
    await rig.connect(PAIR)
    first = _observed(known.TOKEN, "+1 202 555 0000", at=0)
    # A partition that isn't there: nothing of this is in the log.
    owner = await rig.own(EVENTS, PARTITIONS)
    await owner.take(message(first))
    (create,) = await rig.drain()
    if not isinstance(create, Create):
        raise BrokenError("the contact wasn't made")
    # Without a mark: a copy's would have to name the copied link.
    seen = Observation(contact_id=f"card_{known.TOKEN}", order=order(0, 2), contact=Contact(fields=create.fields))
    receipts = await rig.own(RECEIPTS, PARTITIONS)
    await receipts.take(message(Receipt(aim=create.aim, outcome=Written(contact_id=seen.contact_id, seen=seen))))
    link = await rig.link()
    if not link.paired or link.unsettled or not link.base or await rig.drain():
        raise BrokenError(f"the pair that is copied isn't in step: {link.status}, {sorted(link.base)}")
    await known.multiply(store, people)
    return Known(store, log, events)


async def rows(bench: Bench) -> list[Row]:
    """A row for each log."""
    made = [await _row(bench, "postgres:", "embedded log", "")]
    if bench.kafka:
        made.append(await _row(bench, f"kafka://{bench.kafka}", "Kafka", ""))
    else:
        made.append(await _row(bench, "", "Kafka", bench.kafka_missing))
    return made


async def _row(bench: Bench, url: str, named: str, missing: str) -> Row:
    people, events = (QUICK_PEOPLE, QUICK_EVENTS) if bench.quick else (PEOPLE, EVENTS_OF_A_RUN)
    runs: dict[str, tuple[Run, ...]] = {}
    if not missing:
        async with prepared(bench, url, people, events) as house, Upsert.open(house.store, house.store.dsn) as upsert:
            await house.run()  # every partition is claimed, every plan made

            async def limit() -> Run:
                return await upsert.run(await house.written())

            async def peer() -> Run:
                return await house.peer(bench.peers, bench.kafka)

            others: dict[str, Work] = {"peer": peer} if bench.kafka and bench.peers and url.startswith("kafka") else {}
            runs = await rounds(3 if bench.quick else bench.runs, ours=house.run, limit=limit, **others)
    return Row(
        id="B3",
        workload=f"events to state, links and outbox, {people:,} known pairs, {named}",
        unit="events/s",
        ours=Measured(name="contactsync", runs=runs.get("ours", ()), missing=missing),
        limit=Measured(name="batched unnest upserts of the same rows", runs=runs.get("limit", ())),
        peer=Measured(
            name="a FastStream consumer, three plain statements and a commit for each event",
            runs=runs.get("peer", ()),
            missing="" if runs.get("peer") else bench.peers_missing or "it reads from Kafka",
        ),
        target=Target(least=0.35),
        cause=CAUSE,
        notes=(f"{events:,} events in a run, each an update of another pair; {PARTITIONS} partitions, one process",),
    )
