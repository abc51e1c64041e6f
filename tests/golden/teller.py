"""Tells a story on the world that audits run on, and writes down each transaction with what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.contracts.app import Manifest
from services.contracts.commands import Command, Create, Update, Write
from services.contracts.connection import Connection
from services.contracts.contact import Fields, Side
from services.contracts.events import ContactChanged, ContactDeleted
from services.contracts.receipts import Observation, Receipt, Stale, Written
from services.sync.closure import Keys
from services.sync.configs import Configs
from services.sync.control import HeldChange, _say_to
from services.sync.core.state import Link, Record
from services.sync.core.step import step
from services.sync.core.take import Input
from services.sync.replay.effect import given
from services.sync.replay.inputs import Given, Scanned
from services.sync.replay.world import World
from tests.core.bench import EPOCH, SECOND, START, Bench
from tests.golden.history import APPS, Registry, Step, body_of, causes, told


@dataclass
class Teller(Bench):
    """A bench whose state is a world; every transaction is written down."""

    apps: Mapping[str, str] = field(default_factory=lambda: {"shop": "shop", "office": "book"})
    steps: list[Step] = field(default_factory=list)
    world: World = field(default_factory=World)
    news: Registry | None = None
    """What is in force and isn't written down yet."""

    def __post_init__(self) -> None:
        self.manifests: dict[str, Manifest] = {account: APPS[app] for account, app in self.apps.items()}
        self.scanned = frozenset()
        super().__post_init__()

    def configure(
        self, connection: Connection | None = None, *, version: int | None = None, paused: bool | None = None
    ) -> None:
        super().configure(connection, version=version, paused=paused)
        self.news = Registry(
            connections=(self.connection, *self.more),
            accounts=dict(self.apps),
            version=self.version,
            paused=self.paused,
        )

    @property
    def at(self) -> float:
        """Seconds since the beginning."""
        return (self.state.now - START) / SECOND

    def configs(self) -> Configs:
        """What is in force."""
        return Configs(connections=self.state.configs, manifests=self.manifests, incarnation=1)

    def take(self, *items: Input) -> list[Command]:
        if not items:
            return []
        self.state.now = max([self.state.now, *(_moment(item) for item in items)])
        inputs = [body_of(item) for item in items]
        journal, state, _ = self.world.fold(causes(len(self.steps), items), self.configs(), now=self.state.now)
        self.steps.append(told(self.at, inputs, (journal, state), self._registry()))
        self.state.freed |= state.freed
        new = [command for command, _ in state.commands]
        self.sent += new
        return new

    def carry_out(self, commands: list[Command], contacts: dict[str, Fields], *, at: float) -> list[Command]:
        """Answer each write as done: `contacts` are both accounts' contacts, which change with it."""
        out: list[Command] = []
        for command in commands:
            if isinstance(command, Create | Update):
                account = command.aim.account
                contacts[account] = {**contacts.get(account, {}), **command.fields}
                out += self.take(self.done(command, contacts[account], at=at))
        return out

    def done(self, command: Write, fields: Fields, *, at: float) -> Receipt:
        """The receipt of a write that was done."""
        return self.written(command, fields, at=at, contact_id="made" if isinstance(command, Create) else None)

    def finish_scan(self, account: str) -> list[Command]:
        self._give(Given(rows=(Scanned(account=account),)))
        return self.wake("scan", account)

    def say(self, side: Side, line: str, *, approved: bool) -> list[Command]:
        link = self.link()
        keys = self.world.closure(Keys(links={link.id}), self.configs())
        state = self.world.slice(keys, self.configs(), now=self.state.now)
        before = dict(state.reservations)
        hold = link.half(side).held[line]
        change = HeldChange(
            id="", kind="field", connection="", account="", contact="", line=line, value=hold.value, since=EPOCH
        )
        assert _say_to(state, link.id, side, line, change, approved=approved)
        step(state, link.id)
        self._give(given(before, state, {}))
        return [command for command, _ in state.commands]

    def _give(self, fact: Given) -> None:
        self.world.give(fact)
        self.steps.append(Step(at=self.at, registry=self._registry(), given=fact))

    def _registry(self) -> Registry | None:
        news, self.news = self.news, None
        return news

    def links(self) -> list[Link]:
        return list(self.world.links())

    def record(self, account: str, contact_id: str) -> Record:
        found = self.world.record(account, contact_id)
        assert found is not None
        return found

    def paired(self, shop: Fields, office: Fields, *, at: float = 0) -> Link:
        self.take(self.changed("shop", "cus", shop, at=at))
        commands = self.take(self.changed("office", "card", office, at=at))
        contacts = {"shop": dict(shop), "office": dict(office)}
        for turn in range(1, 6):
            commands = self.carry_out(commands, contacts, at=at + 10 * turn)
        for account in ("shop", "office"):
            self.finish_scan(account)
        return self.link()


def _moment(item: Input) -> int:
    """When an input can have come at the earliest: an observation, once it was true."""
    match item:
        case ContactChanged() | ContactDeleted():
            return item.order.end
        case Receipt(outcome=Written(seen=Observation() as seen)) | Receipt(outcome=Stale(seen=seen)):
            return seen.order.end
        case _:
            return 0
