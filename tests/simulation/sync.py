"""Sync around the core, in its smallest form: transactions, wakes, the sweeper, config, and a person's yes or no."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import structs

from services.contracts.app import Ability
from services.contracts.connection import Connection, Deletions, Options
from services.contracts.contact import SIDES, Side
from services.contracts.receipts import Receipt
from services.contracts.rule import Rule
from services.sync.core.issue import RESEND
from services.sync.core.mapping import Config, compile_config, normal_view, observed
from services.sync.core.slice import OlderConfigError, Slice
from services.sync.core.state import Base, Link
from services.sync.core.take import Input, Reconsider, Sighted, take
from tests.core.bench import BOOK, SHOP
from tests.simulation.account import SECOND, Account
from tests.simulation.ledger import Ledger
from tests.simulation.message import Back, Message, told
from tests.simulation.provenance import Provenance
from tests.simulation.watch import Watch

START = 1_790_000_000 * SECOND
WOKEN_BY_NAME = ("address", "duplicate", "receipt", "look")


def resent_at(link: Link) -> list[int]:
    """When the link's unanswered writes are sent again."""
    pending = [half.pending for half in (link.left, link.right) if half.pending is not None]
    return [write.sent + RESEND for write in pending]


@dataclass
class Sync:
    """What sync knows, the accounts it knows it of, and everything on its way between them."""

    connection: Connection
    more: tuple[Connection, ...] = ()
    """Connections that share an account with the first."""
    now: int = START
    version: int = 1
    paused: set[str] = field(default_factory=set)
    """The connections that are."""
    accounts: dict[str, Account] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    provenance: Provenance = field(default_factory=Provenance)
    bag: list[Message] = field(default_factory=list)
    silent_until: int | None = None
    """No webhook comes before that."""
    unheard: list[Message] = field(default_factory=list)
    """Webhooks that never came: the shop lists what they would have said."""
    inbox: set[str] = field(default_factory=set)
    wakes: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    cursor: int = 0
    polls: int = 0
    scans: int = 0
    events: int = 0
    writes: int = 0
    """Writes of ours that changed something."""
    deeds: int = 0
    """Things that people did: edits, deletions, config changes, answers to what is held."""
    faults: bool = True
    losses: bool = False
    behind: bool = False
    """The worker at hand read the connections before they changed last."""
    former: dict[str, Config] | None = None
    configs: dict[str, Config] = field(default_factory=dict)
    finds: bool = False
    """The office may hold more than its feed shows: it is asked before anything is created."""
    touches: bool = False
    """Some webhooks carry nothing but the contact's id."""
    turned: bool = False
    """The direction was changed: which of two values wins then is not for the provenance to say."""
    untagged: set[tuple[str, str]] = field(default_factory=set)
    """Contacts whose tag a person removed since their partner was deleted last."""
    merged: set[tuple[str, str | None]] = field(default_factory=set)
    """Contacts whose partner was merged into a linked one: duplicates, which aren't used to make it anew (C5, E4)."""
    doubtful: set[tuple[str, str]] = field(default_factory=set)
    """Contacts for whose tag two answers are right."""
    in_force: set[Rule] = field(default_factory=set)
    """Every rule that ever was."""
    marks: dict[tuple[str, str], int] = field(default_factory=dict)
    """How often people changed what the rules ask about a contact."""
    reruled: bool = False
    """The rules were changed: what they wanted of a contact before can't be told any more."""
    stripped: set[tuple[str, str]] = field(default_factory=set)
    """Contacts from which a person took the tag that a rule had set."""
    approved: set[tuple[str, str]] = field(default_factory=set)
    """(link, value) of held e-mails that a person let go."""
    watch: Watch = field(default_factory=Watch)
    hands: bool = False
    """People link and unlink by hand."""
    by_hand: set[tuple[str, str | None]] = field(default_factory=set)
    """Contacts that a person linked: they then began without a base, and the winner's values counted (D7)."""
    unlinked: set[tuple[str, str, str]] = field(default_factory=set)
    """(connection, left, right) of pairs that a person unlinked."""
    story: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    state: Slice = field(init=False)

    def __post_init__(self) -> None:
        office = structs.replace(BOOK, abilities=BOOK.abilities | {Ability.FIND_SEES_MORE}) if self.finds else BOOK
        self.accounts = {name: Account(name) for each in self.connections for name in (each.left, each.right)}
        manifests = {name: office if name == "office" else SHOP for name in self.accounts}
        self.state = Slice(now=self.now, incarnation=1, configs={}, manifests=manifests, scanned=frozenset())
        self.configure()

    def tell(self, line: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{(self.now - START) / SECOND:8.3f}  {line}")

    def pass_time(self, micros: int) -> None:
        """Let time pass."""
        self.now += micros

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All of them."""
        return (self.connection, *self.more)

    def account(self, link: Link, side: Side) -> str:
        """Return the account of a link's side."""
        connection = next(each for each in self.connections if each.name == link.connection)
        return connection.left if side == "left" else connection.right

    def configure(self, connection: Connection | None = None) -> None:
        """Put another config of the first connection in force (a higher version)."""
        if connection is not None:
            self.turned |= connection.direction != self.connection.direction
            self.reruled |= connection.rules != self.connection.rules
            self.connection, self.version = connection, self.version + 1
        self._put_in_force()

    def pause(self, name: str) -> None:
        """A person pauses a connection."""
        self.tell(f"{name} is paused")
        self.paused.add(name)
        self._put_in_force()

    def resume(self, name: str) -> None:
        """A person lets a connection go on."""
        self.tell(f"{name} goes on")
        self.paused.discard(name)
        self._put_in_force()
        self.wake("paused", name)

    def _put_in_force(self) -> None:
        self.deeds += 1
        self.former = self.configs or None
        self.configs = {
            each.name: compile_config(each, self.version, self.state.manifests, paused=each.name in self.paused)
            for each in self.connections
        }
        self.state.configs = self.configs
        for each in self.connections:
            self.state.windows.setdefault(each.name, {})
            self.in_force.update(each.rules)

    def back(self, account: str) -> None:
        """An account takes commands again."""
        self.tell(f"{account} is back")
        self.down.discard(account)
        self.events += 1
        # It stands in every partition of the receipts, behind those that were published before.
        earlier = tuple(message.id for message in self.bag if isinstance(message.body, Receipt))
        self.bag.append(Message(f"back-{self.events}", Back(account, earlier), f"{account} is back"))

    def wake(self, reason: str, on: str) -> None:
        for link in self.state.links.values():
            if link.wait is not None and (link.wait.reason, link.wait.on) == (reason, on):
                self.wakes.add(link.id)

    def fold(self, item: Input, cause: str) -> None:
        """Take an input in: one transaction of sync."""
        if isinstance(item, Receipt):
            self.watch.answered(item)
        self.transact(lambda state: take(state, item), f"sync takes {cause}")

    def transact(self, act: Callable[[Slice], None], cause: str) -> None:
        """One transaction of sync."""
        state = self.state
        state.now = self.now
        decided = len(state.decisions)
        if self.behind and self.former is not None:
            # Another worker may still hold the config before: it has to roll back, or to decide nothing by it.
            before = {name: copy.copy(value) for name, value in vars(state).items()}
            state.configs = self.former
            try:
                act(state)
                cause += " (under the config before)"
            except OlderConfigError:
                vars(state).update(before)
                act(state)
            state.configs = self.configs
        else:
            act(state)
        self.tell(cause)
        for decision in state.decisions[decided:]:
            if decision.outcome == "merged":
                link = state.links[decision.link]
                self.merged |= {(self.account(link, side), link.half(side).contact_id) for side in SIDES}
            if decision.changed or decision.outcome != "nothing":
                self.tell(f"    {decision.link[:8]}: {decision.outcome} {','.join(decision.lines)} ({decision.reason})")
        self._collect()

    def _collect(self) -> None:
        state = self.state
        self.wrong += self.watch.took(self)
        for command, _ in state.commands:
            self.events += 1
            self.wrong += self.watch.issued(self, command)
            self.bag.append(Message(f"command-{self.events}", command, told(command)))
            self.tell(f"    -> {told(command)}")
        state.commands.clear()
        state.decisions.clear()
        for link in state.links.values():
            if link.wait is not None and link.wait.reason in WOKEN_BY_NAME and link.wait.on in state.freed:
                self.wakes.add(link.id)
        state.freed.clear()

    def due(self) -> list[str]:
        """Return the links that the sweeper has to feed."""
        return [
            link.id
            for link in self.state.links.values()
            if link.id in self.wakes
            or (link.reconsider_at is not None and link.reconsider_at <= self.now)
            or any(at <= self.now for at in resent_at(link))
            or (link.status != "ended" and link.config_version < self.version)
            or (link.wait is not None and link.wait.reason == "paused" and link.connection not in self.paused)
        ]

    def unanswered(self) -> list[tuple[int, Sighted]]:
        """When each look that nobody has answered is asked again, and how."""
        return [
            (record.looking.asked + RESEND, Sighted(account=record.account, contact_id=record.contact_id, look=True))
            for record in self.state.records.values()
            if record.looking is not None
        ]

    def sweep(self, link: str) -> None:
        """Reconsider one link."""
        self.wakes.discard(link)
        self.fold(Reconsider(link=link), f"reconsider {link[:8]}")

    def held(self) -> list[tuple[str, Side, str]]:
        """Return the link, side and line of everything that waits for a person's yes."""
        return [
            (link.id, side, line)
            for link in self.state.links.values()
            if link.status != "ended"
            for side in SIDES
            for line, hold in link.half(side).held.items()
            if not hold.approved
        ]

    def say(self, link_id: str, side: Side, line_id: str, *, approved: bool) -> None:
        """A person approves or rejects what is held; the link is stepped in the same transaction."""
        self.deeds += 1
        link = self.state.links[link_id]
        half, config = link.half(side), self.state.configs[link.connection]
        hold = half.held[line_id]
        self.tell(f"a person {'approves' if approved else 'rejects'} {line_id}={hold.value} into {side}")
        if approved:
            self.approved.add((link_id, hold.value))
            half = structs.replace(half, held={**half.held, line_id: structs.replace(hold, approved=True)})
            self.state.put_link(link.with_half(side, half))
        else:
            left, right = (self.state.record(config, each, link.half(each)) for each in SIDES)
            if left is None or right is None or left.contact is None or right.contact is None:
                return
            line = next(line for line in config.lines if line.id == line_id)
            sides = (
                normal_view(observed(left.contact, line, "left"), line, "left"),
                normal_view(observed(right.contact, line, "right"), line, "right"),
            )
            half = structs.replace(half, held={key: kept for key, kept in half.held.items() if key != line_id})
            base = {**link.base, line_id: Base(*sides)}
            self.state.put_link(structs.replace(link.with_half(side, half), base=base))
        self.fold(Reconsider(link=link_id), f"a person's word about {link_id[:8]}")


def two_way(*, deletions: Deletions) -> Connection:
    """Return the connection of the simulation, without a limit of writes: all of them have to end by themselves."""
    options = Options(sync_deletions=deletions, most_writes=0)
    return Connection(name="shop-office", left="shop", right="office", options=options)
