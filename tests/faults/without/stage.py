"""Real accounts, a real database and log, and every part of contactsync, each of which moves when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import time

from services import main
from services.connectors.desk import Desk
from services.connectors.intake import Intake
from services.connectors.ledger import lease
from services.connectors.runner import PROGRESS as CONNECTORS
from services.connectors.runner import group_of
from services.connectors.worker import Worker as AccountWorker
from services.ingest.cursor import Cursors
from services.ingest.lease import Lease, leased
from services.ingest.patience import Pace
from services.ingest.poller import Poller
from services.ingest.publish import Appends, Publisher
from services.ingest.registry import Registered, loader, opener
from services.runtime.app import Access
from services.runtime.log import EVENTS, RECEIPTS, Log, commands_topic
from services.runtime.store import Store
from services.sync.relay import Relay
from services.sync.sweeper import Sweeper
from services.sync.worker import GROUP, PROGRESS, Worker
from tests.end_to_end.processes_house import _SETTLED
from tests.faults.accounts import Account
from tests.faults.generator import Generator
from tests.faults.model import Model
from tests.faults.schedule import Edit, Make, Side
from tests.faults.verdict import Verdict, judge
from tests.faults.without.faces import Desktop, Till
from tests.faults.without.share import Share

REST = 30.0
"""Seconds within which all comes to rest, whatever else the machine does."""
_STEP = 3.0
"""Seconds that pass in Stripe between two things that people do, whose times are told to the second."""
_MOST_STEPS = 500


class Stage:
    """An installation without its loops: what is seen, taken in and sent is for a story to say.

    The shops `l0`, `l1`, … are each connected (`c0`, `c1`, …) to the one right account, `r0`.
    """

    def __init__(self, installation: main.Installation, stack: contextlib.AsyncExitStack) -> None:
        self.installation = installation
        self.store: Store = installation.store
        self.log: Log = installation.log
        self.shops: list[Till] = []
        self.pairs: list[tuple[Account, Account]] = []
        self.model = Model()
        self.publisher = Publisher(self.log)
        self.relay = Relay(self.store, self.log)
        manifests = {name: app.manifest for name, app in installation.apps.items()}
        self.worker = Worker(self.store, self.log, manifests, lambda: None)
        self.sweeper = Sweeper(self.store, manifests, lambda: None)
        self.accounts: dict[str, Registered] = {}
        self.generator: Generator
        self._stack = stack
        self._ahead = 0.0
        self._shares: list[Share] = []
        self._intakes: dict[str, list[Share]] = {}
        self._working: dict[str, AccountWorker] = {}
        self._leases: dict[str, Lease] = {}

    @property
    def right(self) -> Account:
        return self.pairs[0][1]

    @property
    def office(self) -> Desktop:
        assert isinstance(self.right, Desktop)
        return self.right

    def clock(self) -> float:
        """Stripe's time."""
        return time.time() + self._ahead

    # What people do -------------------------------------------------------------------------------------------

    async def make(self, *sides: Side) -> None:
        """Somebody makes the contact on these sides, the same one on both."""
        self._ahead += _STEP
        await self.generator._make(Make(0, 0, 0, sides), same=True)

    async def forget_addresses(self) -> None:
        """Somebody takes the addresses out of all contacts on both sides; people go on knowing who they are."""
        self._ahead += _STEP
        for shop in self.shops:
            shop.faces = {row.id: row.email for row in await shop.everybody()}
            for customer in shop.faces:
                shop.sandbox.dashboard.update(customer, email="")
        self.office.faces = {row.id: row.email for row in await self.office.everybody()}
        for contact in self.office.faces:
            self.office.sandbox.hand.update(contact, emailAddresses=[])

    async def edit(self, side: Side, field: str) -> None:
        """A person changes a field of the contact, having looked at it."""
        self._ahead += _STEP
        saved = self.generator.counts["saves"]
        await self.generator._edit(Edit(0, 0, 0, side, (field,)))
        assert self.generator.counts["saves"] == saved + 1

    # What contactsync does ------------------------------------------------------------------------------------

    async def hear(self) -> None:
        """Ingest takes the webhooks that were held back."""
        for shop in self.shops:
            shop.sandbox.webhooks.release()
            await shop.sandbox.webhooks.drain()
            shop.sandbox.webhooks.hold()

    async def see(self, *names: str) -> None:
        """Ingest asks the feeds of these accounts, or scans them if it hasn't yet; all by default."""
        for name in names or sorted(self.accounts):
            await self.poller(name)._request()

    async def take(self, *topics: str) -> int:
        """Sync takes in what the log has, of both topics by default; return how many records that was."""
        taken = 0
        for share in self._shares:
            if not topics or share.place.topic in topics:
                taken += await share.go_on()
        return taken

    async def sweep(self) -> int:
        """Sync does what has become due."""
        return int(await self.sweeper.sweep())

    async def relayed(self) -> int:
        """Commands go from the outbox into the log."""
        return await self.relay.move()

    async def accept(self) -> int:
        """Commands go from the log into the ledger."""
        return sum([await share.go_on() for shares in self._intakes.values() for share in shares])

    async def work(self, *, publish: bool = True) -> int:
        """The connectors do what can be done now, and publish what came of it; return how many messages that was."""
        said = 0
        for worker in self._working.values():
            await _until_idle(worker)
            said += await worker.flush() if publish else 0
        return said

    async def send(self) -> int:
        """Commands go all the way, and receipts stand in the log."""
        return await self.relayed() + await self.accept() + await self.work()

    async def decide(self) -> None:
        """What was seen is asked about and decided, until a write stands in the outbox."""
        while not await self._writes():
            moved = await self.take() + await self.sweep()
            if not await self._writes():
                moved += await self.send()
            assert moved, "nothing leads to a write"

    async def go_on(self) -> None:
        """Everything inside moves until nothing does, without looking at the accounts."""
        while await self.take() + await self.sweep() + await self.send():
            continue

    async def rest(self) -> None:
        """Let everything move until nothing is left to do. Raises `TimeoutError`."""
        async with asyncio.timeout(REST):
            while True:
                await self.hear()
                await self.see()
                moved = await self.take() + await self.sweep() + await self.send()
                if not moved and await self.store.fetchval(_SETTLED):
                    return
                if not moved:
                    await asyncio.sleep(0.05)

    async def verdict(self) -> Verdict:
        """Rest, and be judged as in a campaign."""
        unrest = ""
        try:
            await self.rest()
        except TimeoutError:
            unrest = "it doesn't come to rest"
        return Verdict(
            changes=self.generator.counts["changes"],
            stale_commits=await self.store.fetchval("SELECT count(*) FROM faults.stale"),
            unrest=unrest,
            findings=await judge(self.pairs, self.model, self.generator.made, self.generator.gone),
        )

    # Its parts ------------------------------------------------------------------------------------------------

    def poller(self, name: str, log: Appends | None = None) -> Poller:
        """Who reads an account's feed into a log."""
        registered = self.accounts[name]
        return Poller(
            self.installation.apps[registered.account.app],
            registered.account,
            self.access(registered),
            publisher=self.publisher if log is None else Publisher(log),
            cursors=Cursors(self.store, self._leases[name]),
            woken=asyncio.Event(),
            metrics=self.installation.metrics,
            pace=Pace(1000, 1000),
        )

    def shares(self, topic: str) -> list[Share]:
        """The partitions of a topic that sync owns here."""
        return [share for share in self._shares if share.place.topic == topic]

    async def another(self, name: str) -> tuple[Store, Worker]:
        """Another process of sync, by its store and worker."""
        store = await self._stack.enter_async_context(Store.open(self.store.dsn, max_size=4, name=name))
        manifests = {each: app.manifest for each, app in self.installation.apps.items()}
        return store, Worker(store, self.log, manifests, lambda: None)

    async def take_over(self, topic: str) -> None:
        """Claim the topic's partitions anew, as the process that others' go to."""
        for share in self.shares(topic):
            await share.claim()

    async def _writes(self) -> int:
        count = r"SELECT count(*) FROM sync.outbox WHERE headers ~ 'command\.(create|update|tag|untag)'"
        return int(await self.store.fetchval(count))

    def access(self, registered: Registered) -> Access:
        """An account, ready to be called."""
        return Access(
            account=registered.account.name,
            settings=registered.account.settings,
            credentials=registered.credentials,
            http=self.installation.client,
            clock=self.installation.clock,
            keeper=self.installation.keeper,
        )

    async def open(self) -> None:
        """Put the parts together, once the registry knows the accounts."""
        running = self.installation
        self.accounts = dict(await loader(self.store, opener(running.vault))())
        for name, registered in self.accounts.items():
            held = await self._stack.enter_async_context(leased(self.store, name, holder="stage", seconds=600))
            token = await lease(self.store, name, "stage", 600)
            assert held is not None
            assert token is not None
            await Cursors(self.store, held).read()  # an account that nobody read has no row
            self._leases[name] = held
            desk = Desk(
                running.apps[registered.account.app],
                name,
                store=self.store,
                clock=running.clock,
                unseal=opener(running.vault),
                http=running.client,
                lease=token,
                metrics=running.metrics,
                keeper=running.keeper,
            )
            self._working[name] = AccountWorker(desk, self.log)
            await self._working[name].open()
        for topic in (EVENTS, RECEIPTS):
            self._shares += await self.own(topic)
        for app in sorted({each.account.app for each in self.accounts.values()}):
            intake = Intake(app, self.store, running.clock, lambda _: None, running.metrics)
            places = sorted(await self.log.bounds(commands_topic(app)))
            shares = [Share(self.store, self.log, place, CONNECTORS, group_of(app), intake.handle) for place in places]
            self._intakes[app] = [await share.claim() for share in shares]
        self.generator = Generator(self.pairs, self.model)

    async def own(self, topic: str, store: Store | None = None, worker: Worker | None = None) -> list[Share]:
        """Claim all partitions of a topic for sync; whoever had them before is fenced."""
        handle = (worker or self.worker).handle
        places = sorted(await self.log.bounds(topic))
        return [await Share(store or self.store, self.log, place, PROGRESS, GROUP, handle).claim() for place in places]


async def _until_idle(worker: AccountWorker) -> None:
    """Let the worker do what can be done at this moment."""
    for _ in range(_MOST_STEPS):
        if await worker.writes.step() == 0:
            continue
        await worker.writes.flights.land()
        await worker.reads.flights.land()
        if await worker.reads.step() > 0 and await worker.writes.step() > 0:
            await worker.writes.flights.land()
            return
    raise AssertionError("the lanes don't come to rest")
