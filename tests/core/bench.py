"""A bench for the core: two simulated accounts, every message in the test's hand, nothing but values."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from msgspec.structs import replace

from services.contracts.app import Ability, Field, Manifest, Pace
from services.contracts.commands import Command, Create, Find, Look, Tag, Untag, Update, Write
from services.contracts.connection import Connection, Options
from services.contracts.contact import Contact, Fields, Order, PersonName, Side
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched, LookAnswer, Origin
from services.contracts.receipts import Absent, Found, Observation, Outcome, Receipt, Written
from services.sync.control import HeldChange, _say_to
from services.sync.core.issue import RESEND
from services.sync.core.mapping import compile_config
from services.sync.core.slice import Slice
from services.sync.core.state import Link, Record, WaitReason
from services.sync.core.step import step
from services.sync.core.take import Input, Reconsider, Sighted, take

T = TypeVar("T")

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
EPOCH = datetime.fromtimestamp(0, UTC)

SHOP = Manifest(
    name="shop_app",
    title="Shop",
    docs="https://example.test",
    credentials=(),
    settings=(),
    fields=(
        Field(path="name", canonical="name", type="text"),
        Field(path="email", canonical="email", type="email", guarded=True),
        Field(path="phone", canonical="phone", type="phone"),
        Field(path="address", canonical="address", type="address"),
        Field(path="description", canonical="note", type="text", max_length=40),
    ),
    abilities=frozenset({Ability.DETECT_DELETION, Ability.TAG, Ability.WEBHOOK, Ability.IDEMPOTENCY_KEY}),
    pace=Pace(poll=10, read=10, write=10),
)
BOOK = Manifest(
    name="book_app",
    title="Book",
    docs="https://example.test",
    credentials=(),
    settings=(),
    fields=(
        Field(path="n", canonical="name", type="name"),
        Field(path="email", canonical="email", type="email", multi=True),
        Field(path="tel", canonical="phone", type="phone", multi=True),
        Field(path="adr", canonical="address", type="address", multi=True),
        Field(path="note", canonical="note", type="text"),
    ),
    abilities=frozenset({Ability.DETECT_DELETION, Ability.TAG, Ability.POLL, Ability.GUARD}),
    pace=Pace(poll=10, read=10, write=10),
)
TWO_WAY = Connection(name="shop-office", left="shop", right="office", options=Options(sync_deletions="right_to_left"))
ONE_WAY = replace(TWO_WAY, direction="left_to_right")
SECOND_SHOP = Connection(name="second-office", left="second", right="office")
"""Another connection that writes to the same office."""
ASKED_BOOK = replace(BOOK, abilities=BOOK.abilities | {Ability.FIND_SEES_MORE})
"""A book that is asked before a contact is created there."""

ADA: Fields = {"name": ("Ada King",), "email": ("ada@example.com",), "phone": ("+1 202 555 0101",)}
CARD: Fields = {
    "n": (PersonName(given="Ada", family="King"),),
    "email": ("ada@example.com",),
    "tel": ("+12025550101",),
}
TRASH = "PieSync Trash"


def phone(digits: str) -> tuple[str, ...]:
    """A phone number as the shop writes it, told apart by its last two digits."""
    return (f"+1 202 555 01{digits}",)


def tel(digits: str) -> tuple[str, ...]:
    """The same number as the office writes it."""
    return (f"+120255501{digits}",)


@dataclass
class Bench:
    """Everything that sync knows, in memory; what it sends out is in `sent` until the test takes it."""

    connection: Connection = TWO_WAY
    scanned: frozenset[str] = frozenset({"shop", "office"})
    version: int = 1
    paused: bool = False
    manifests: dict[str, Manifest] = field(default_factory=lambda: {"shop": SHOP, "office": BOOK})
    more: tuple[Connection, ...] = ()
    state: Slice = field(init=False)
    sent: list[Command] = field(default_factory=list)
    events: int = 0

    def __post_init__(self) -> None:
        self.state = Slice(now=START, incarnation=1, configs={}, manifests=self.manifests, scanned=self.scanned)
        self.configure()

    def configure(
        self, connection: Connection | None = None, *, version: int | None = None, paused: bool | None = None
    ) -> None:
        """Put another config in force; links hear of it when they are reconsidered."""
        self.connection = connection or self.connection
        self.version = version or self.version
        self.paused = self.paused if paused is None else paused
        self.state.configs = {
            each.name: compile_config(each, self.version, self.manifests, paused=self.paused)
            for each in (self.connection, *self.more)
        }
        for name in self.state.configs:
            self.state.windows.setdefault(name, {})

    def take(self, *items: Input) -> list[Command]:
        """Fold inputs; return the commands they led to, and keep them in `sent`."""
        for item in items:
            take(self.state, item)
        new = [command for command, _ in self.state.commands]
        self.state.commands.clear()
        self.sent += new
        return new

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass and reconsider every link whose time has come, or that was woken."""
        self.state.now += round(seconds * SECOND)
        return self.sweep()

    def sweep(self) -> list[Command]:
        """Reconsider what is due or woken until nothing is."""
        out: list[Command] = []
        for _ in range(100):
            due: list[Input] = [Reconsider(link=link.id) for link in self.links() if self._due(link)]
            due += [
                Sighted(account=record.account, contact_id=record.contact_id, look=True)
                for record in self.state.records.values()
                if record.looking is not None and record.looking.asked + RESEND <= self.state.now
            ]
            if not due:
                return out
            self.state.freed.clear()
            out += self.take(*due)
        raise AssertionError("the sweep doesn't come to rest")

    def _due(self, link: Link) -> bool:
        woken = link.wait is not None and link.wait.on in self.state.freed
        late = link.reconsider_at is not None and link.reconsider_at <= self.state.now
        pending = [half.pending for half in (link.left, link.right) if half.pending is not None]
        late |= any(write.sent + RESEND <= self.state.now for write in pending)
        outdated = link.status != "ended" and link.config_version < self.version
        return woken or late or outdated

    def wake(self, reason: WaitReason, on: str | None = None) -> list[Command]:
        """Reconsider every link that waits for that reason, as who ends the reason does."""
        waiting = [each for each in self.links() if each.wait is not None and each.wait.reason == reason]
        ids = [each.id for each in waiting if on is None or (each.wait is not None and each.wait.on == on)]
        return self.take(*(Reconsider(link=link) for link in ids)) + self.sweep()

    def finish_scan(self, account: str) -> list[Command]:
        """Let the account's first scan have ended everywhere."""
        self.scanned = self.state.scanned = self.state.scanned | {account}
        return self.wake("scan", account)

    def resume(self) -> list[Command]:
        """End the connection's pause."""
        self.configure(paused=False)
        return self.wake("paused")

    def say(self, side: Side, line: str, *, approved: bool) -> list[Command]:
        """Let a person approve or reject the value that is held for that side of the only link."""
        link = self.link()
        hold = link.half(side).held[line]
        change = HeldChange(
            id="", kind="field", connection="", account="", contact="", line=line, value=hold.value, since=EPOCH
        )
        assert _say_to(self.state, link.id, side, line, change, approved=approved)
        step(self.state, link.id)
        return self.take()

    def record(self, account: str, contact_id: str) -> Record:
        """Return what is known of a contact."""
        return self.state.records[account, contact_id]

    def link_of(self, account: str, contact_id: str, connection: str | None = None) -> Link:
        """Return the contact's link that hasn't ended, in the first connection or in that one."""
        config = self.state.configs[connection or self.connection.name]
        found = self.state.link_of(config, config.side_of(account), contact_id)
        assert found is not None
        return found

    def links(self) -> list[Link]:
        """Return all links."""
        return list(self.state.links.values())

    def link(self) -> Link:
        """Return the only link that hasn't ended."""
        (found,) = (link for link in self.links() if link.status != "ended")
        return found

    # What the apps say ------------------------------------------------------------------------------------

    def changed(
        self,
        account: str,
        contact_id: str,
        fields: Fields,
        *,
        at: float = 0,
        until: float | None = None,
        tags: Iterable[str] = (),
        look: LookAnswer | None = None,
        scan: int | None = None,
        mark: str | None = None,
        guard: str | None = None,
        origin: Origin = "webhook",
        prior: Fields | None = None,
        label: str | None = None,
    ) -> ContactChanged:
        """An observation, true in the interval of seconds [at, until] since the start (until = at + 1)."""
        return ContactChanged(
            account=account,
            contact_id=contact_id,
            order=order(at, until),
            origin=origin,
            contact=Contact(fields=fields, tags=tuple(sorted(tags)), mark=mark, guard=guard),
            look=look,
            scan=scan,
            prior=prior or {},
            label=label,
        )

    def looked(self, look: Look, fields: Fields | None, *, at: float, until: float | None = None) -> Input:
        """The answer to a look: the contact with these fields, or that it is gone."""
        if fields is None:
            return self.deleted(look.account, look.contact_id, at=at, until=until, look=look.look)
        return self.changed(look.account, look.contact_id, fields, at=at, until=until, look=look.look, origin="look")

    def touched(self, account: str, contact_id: str) -> ContactTouched:
        """The news that something happened to a contact."""
        return ContactTouched(account=account, contact_id=contact_id, origin="webhook")

    def deleted(
        self, account: str, contact_id: str, *, at: float, until: float | None = None, look: LookAnswer | None = None
    ) -> ContactDeleted:
        """A tombstone, true from [at, until]."""
        return ContactDeleted(
            account=account, contact_id=contact_id, order=order(at, until), origin="webhook", look=look
        )

    def written(
        self, command: Write, fields: Fields, *, at: float, contact_id: str | None = None, tags: Iterable[str] = ()
    ) -> Receipt:
        """The receipt of a write: the whole contact as read back at `at` seconds."""
        target = contact_id or (command.contact_id if not isinstance(command, Create) else "new")
        mark = command.aim.link if isinstance(command, Create) else None
        seen = Observation(
            contact_id=target,
            order=order(at - 1, at + 1),
            contact=Contact(fields=fields, tags=tuple(sorted(tags)), mark=mark),
        )
        return answer(command, Written(contact_id=target, seen=seen))

    def paired(self, shop: Fields, office: Fields, *, at: float = 0) -> Link:
        """Let both contacts (`cus` and `card`) be seen and paired, with every first write answered."""
        self.state.scanned = frozenset()
        self.take(self.changed("shop", "cus", shop, at=at), self.changed("office", "card", office, at=at))
        self.state.scanned = self.scanned
        now = {"shop": dict(shop), "office": dict(office)}
        for turn in range(1, 6):
            writes = [command for command in self.sent if isinstance(command, Update)]
            self.sent.clear()
            if not writes:
                break
            for write in writes:
                now[write.aim.account].update(write.fields)
                self.take(self.written(write, now[write.aim.account], at=at + 10 * turn))
        self.sent.clear()
        return self.link()


def order(at: float, until: float | None = None) -> Order:
    """Seconds since the start as an order."""
    return Order(START + round(at * SECOND), START + round((at + 1 if until is None else until) * SECOND))


def answer(command: Write, outcome: Outcome) -> Receipt:
    """The receipt of a write with any outcome."""
    return Receipt(aim=command.aim, outcome=outcome)


def absent(find: Find) -> Absent:
    """Nothing found."""
    return Absent(link=find.link, account=find.account, address=find.address, number=find.number)


def found(find: Find, *contact_ids: str) -> Found:
    """These were found."""
    return Found(
        link=find.link, account=find.account, address=find.address, number=find.number, contact_ids=contact_ids
    )


def writes(commands: Iterable[Command]) -> list[Write]:
    """The writes among the commands."""
    return [command for command in commands if isinstance(command, Create | Update | Tag | Untag)]


def looks(commands: Iterable[Command]) -> list[Look]:
    """The looks among the commands."""
    return [command for command in commands if isinstance(command, Look)]


def only(commands: Iterable[Command], kind: type[T]) -> T:
    """The only command, which is of that kind."""
    (command,) = commands
    assert isinstance(command, kind)
    return command
