"""Everything around a worker, for tests that drive it step by step on a clock of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2
import msgspec

from services.connectors.desk import Desk
from services.connectors.intake import Intake
from services.connectors.ledger import lease
from services.connectors.worker import Worker
from services.contracts.commands import Aim, Command, Create, Find, Look, Update, Version
from services.contracts.contact import Side
from services.contracts.envelope import Headers, Unreadable, derived, from_headers, headers, seal, unseal
from services.contracts.envelope import Message as Body
from services.contracts.events import LookAnswer
from services.contracts.receipts import Absent, AccountBack, Found, Outcome, Receipt, Report
from services.runtime.clock import ManualClock
from services.runtime.log import EVENTS, PARKED, RECEIPTS, Partition, Record, commands_topic
from services.runtime.log.postgres import PostgresLog
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from tests.integration.paper import PaperApp

ACCOUNT = "left-paper"
LINK = derived("link", 1)
TOPIC = commands_topic("paper")


def link(number: int) -> str:
    return derived("link", number)


def unsealed(account: str, field: str, sealed: bytes) -> tuple[str, ...]:
    return (sealed.decode(),)


class Rig:
    """`took(command)` stands for the topic, `work()` for time enough; `receipts()` is what sync would read."""

    def __init__(self, store: Store, log: PostgresLog, app: PaperApp) -> None:
        self.store = store
        self.log = log
        self.app = app
        self.clock = ManualClock()
        self.http = httpx2.AsyncClient(trust_env=False)
        self.metrics = Metrics()
        self.woken: list[str] = []
        self.intake = Intake("paper", store, self.clock, self.woken.extend, self.metrics)
        self._offset = 0

    async def prepare(self) -> None:
        await self.log.create_topics({EVENTS: 2, RECEIPTS: 2, PARKED: 1, TOPIC: 2})
        await self.store.execute("INSERT INTO registry.config (applied_by, source, content) VALUES ('test', '', '{}')")
        await self.account(ACCOUNT)
        await self.store.execute(
            "INSERT INTO registry.connection (name, version, config_version, body) VALUES ('pair', 3, 1, '{}')"
        )

    async def account(self, name: str) -> None:
        await self.store.execute(
            "INSERT INTO registry.account (name, app, config_version) VALUES ($1, 'paper', 1)", name
        )

    async def worker(self, account: str = ACCOUNT, holder: str = "one") -> Worker:
        """A worker that holds the lease and has taken over."""
        token = await lease(self.store, account, holder, 3600)
        assert token is not None
        desk = Desk(
            self.app,
            account,
            store=self.store,
            clock=self.clock,
            unseal=unsealed,
            http=self.http,
            lease=token,
            metrics=self.metrics,
        )
        worker = Worker(desk, self.log)
        await worker.open()
        return worker

    def record(self, body: Body | bytes, type_: str | None = None) -> Record:
        self._offset += 1
        place = Partition(TOPIC, 0)
        if isinstance(body, bytes):
            rows: Headers = (("ce_type", (type_ or "").encode()),)
            value = body
        else:
            envelope = seal(
                body,
                id=derived("command", self._offset),
                source="sync",
                subject="",
                time=self.clock.now(),
            )
            rows, value = headers(envelope), envelope.data
        return Record(
            partition=place,
            offset=self._offset,
            key=ACCOUNT.encode(),
            headers=rows,
            value=value,
            time=self.clock.now(),
        )

    async def took(self, *commands: Command) -> None:
        async with self.store.transaction() as tx:
            await self.intake.take(tx, [self.record(command) for command in commands])

    async def work(self, worker: Worker, *, publish: bool = True) -> None:
        """Step until there is nothing to do at this moment, then publish."""
        for _ in range(200):
            if await worker.writes.step() > 0 and await worker.reads.step() > 0:
                if not (worker.writes.flights.held or worker.reads.flights.held):
                    break
                await asyncio.gather(worker.writes.flights.land(), worker.reads.flights.land())
        else:
            raise AssertionError("the lanes don't come to rest")
        if publish:
            await worker.flush()

    async def pass_time(self, worker: Worker, seconds: float, step: float = 5.0) -> None:
        """Let time go by in steps, working after each."""
        await self.work(worker)
        done = 0.0
        while done < seconds:
            self.clock.advance(min(step, seconds - done))
            done += step
            await self.work(worker)

    async def said(self, topic: str) -> list[Body]:
        """What stands in a topic, each message once."""
        rows = await self.store.fetch(
            'SELECT headers, value FROM log.record WHERE topic = $1 ORDER BY at, partition, "offset"', topic
        )
        found: dict[str, Body] = {}
        for row in rows:
            pairs = msgspec.msgpack.decode(row["headers"], type=tuple[tuple[str, bytes], ...])
            envelope = from_headers(pairs, row["value"])
            assert not isinstance(envelope, Unreadable)
            body = unseal(envelope)
            assert not isinstance(body, Unreadable)
            found.setdefault(envelope.id, body)
        return list(found.values())

    async def count(self, topic: str) -> int:
        counted: int = await self.store.fetchval("SELECT count(*) FROM log.record WHERE topic = $1", topic)
        return counted

    async def reports(self) -> list[Report]:
        return [body for body in await self.said(RECEIPTS) if isinstance(body, Receipt | Found | Absent | AccountBack)]

    async def outcomes(self, link: str = LINK, side: Side = "left") -> list[tuple[int, Outcome]]:
        """The receipts of one side, as (n of the version, outcome)."""
        return [
            (report.aim.version.n, report.outcome)
            for report in await self.reports()
            if isinstance(report, Receipt) and (report.aim.link, report.aim.side) == (link, side)
        ]

    async def state(self, link: str = LINK, side: Side = "left") -> str:
        row = await self.store.fetchrow(
            "SELECT state, n FROM connectors.ledger WHERE link = $1::uuid AND side = $2", link, side
        )
        assert row is not None
        return f"{row['state']} {row['n']}"


@contextlib.asynccontextmanager
async def rig(store: Store, app: PaperApp | None = None) -> AsyncIterator[Rig]:
    async with PostgresLog.open(store) as log:
        made = Rig(store, log, app or PaperApp())
        try:
            await made.prepare()
            yield made
        finally:
            await made.http.aclose()


def aim(
    n: int, *, link: str = LINK, config: int = 3, account: str = ACCOUNT, incarnation: int = 1, side: Side = "left"
) -> Aim:
    return Aim(
        link=link,
        side=side,
        version=Version(incarnation, n),
        connection="pair",
        config_version=config,
        account=account,
    )


def create(aim: Aim, **fields: str) -> Create:
    values = {path: (value,) for path, value in (fields or {"email": "ada@example.com", "name": "Ada"}).items()}
    return Create(aim=aim, fields=dict(values), addresses=(fields.get("email", "ada@example.com"),))


def update(aim: Aim, contact_id: str, *, was: str, now: str, guard: str | None = None) -> Update:
    return Update(aim=aim, contact_id=contact_id, fields={"name": (now,)}, expected={"name": (was,)}, guard=guard)


def look(contact_id: str, number: int, attempt: int = 1) -> Look:
    return Look(account=ACCOUNT, contact_id=contact_id, look=LookAnswer(number, attempt))


def find(address: str, asking: str, number: int) -> Find:
    return Find(account=ACCOUNT, address=address, link=asking, number=number)
