"""The world around the core: a virtual clock, two accounts, and every message in the scheduler's hand.

What PROTOCOL.md asks of everyone but the core is here in its smallest form: the inbox (P6), wakes and the sweeper (P10),
scans with an end (P7), looks and finds (P9), a ledger (P4, P11, P12, P14). Nothing is delivered unless it is drawn, and
each draw has a generator of its own, so that a story can be shortened without changing what the rest of it draws.
"""

import copy
from dataclasses import dataclass, field, replace
from random import Random

import msgspec
from msgspec import structs

from services.contracts.app import Ability
from services.contracts.commands import Command, Create, Find, Look, Tag, Untag, Update
from services.contracts.connection import Connection, Options
from services.contracts.contact import SIDES, Contact, Fields, Order, Side
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched, Origin
from services.contracts.receipts import Absent, Deferred, Found, Observation, Receipt, Refused, Stale, Unchanged, Written
from services.sync.core.mapping import Config, compile_config, normal_view, observed
from services.sync.core.slice import OlderConfigError, Slice
from services.sync.core.state import Base
from services.sync.core.take import Input, Reconsider, Sighted, take
from tests.core.bench import BOOK, SHOP
from tests.simulation.account import PATHS, SECOND, Account, Person, answered, plain, said_at
from tests.simulation.ledger import Done, Entry, Ledger, execute
from tests.simulation.provenance import Provenance

START = 1_790_000_000 * SECOND
WOKEN_BY_NAME = ("address", "duplicate", "receipt", "look")


@dataclass(frozen=True)
class ScanEnd:
    """The end of a scan; counts once the scan's events have passed."""

    account: str
    number: int
    start: int
    events: tuple[str, ...]


@dataclass(frozen=True)
class Back:
    """An account takes commands again."""

    account: str
    earlier: tuple[str, ...]
    """The receipts that stand before it."""


@dataclass(frozen=True)
class Message:
    """Something on its way."""

    id: str
    body: Command | Input | ScanEnd | Back
    told: str


@dataclass
class World:
    """Everything there is."""

    connection: Connection
    now: int = START
    version: int = 1
    paused: bool = False
    accounts: dict[str, Account] = field(default_factory=lambda: {"shop": Account("shop"), "office": Account("office")})
    ledger: Ledger = field(default_factory=Ledger)
    provenance: Provenance = field(default_factory=Provenance)
    bag: list[Message] = field(default_factory=list)
    inbox: set[str] = field(default_factory=set)
    wakes: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    cursor: int = 0
    polls: int = 0
    scans: int = 0
    events: int = 0
    writes: int = 0
    faults: bool = True
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
    doubtful: set[tuple[str, str]] = field(default_factory=set)
    """Contacts for whose tag two answers are right."""
    approved: set[tuple[str, str]] = field(default_factory=set)
    """(link, value) of held e-mails that a person let go."""
    story: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    state: Slice = field(init=False)

    def __post_init__(self) -> None:
        office = structs.replace(BOOK, abilities=BOOK.abilities | {Ability.FIND_SEES_MORE}) if self.finds else BOOK
        manifests = {"shop": SHOP, "office": office}
        self.state = Slice(now=self.now, incarnation=1, configs={}, manifests=manifests, scanned=frozenset())
        self.configure()

    # Time and words --------------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{(self.now - START) / SECOND:8.3f}  {line}")

    def pass_time(self, micros: int) -> None:
        """Let time pass."""
        self.now += micros

    # Config ----------------------------------------------------------------------------------------------

    def configure(self, connection: Connection | None = None, *, paused: bool | None = None) -> None:
        """Put another config in force (a higher version), pause or resume."""
        if connection is not None:
            self.turned |= connection.direction != self.connection.direction
            self.connection, self.version = connection, self.version + 1
        self.paused = self.paused if paused is None else paused
        config = compile_config(self.connection, self.version, self.state.manifests, paused=self.paused)
        self.former, self.configs = self.configs or None, {self.connection.name: config}
        self.state.configs = self.configs
        if paused is False:
            self._wake("paused", self.connection.name)

    def back(self, account: str) -> None:
        """An account takes commands again."""
        self.tell(f"{account} is back")
        self.down.discard(account)
        self.events += 1
        # It stands in every partition of the receipts, behind those that were published before.
        earlier = tuple(message.id for message in self.bag if isinstance(message.body, Receipt))
        self.bag.append(Message(f"back-{self.events}", Back(account, earlier), f"{account} is back"))

    def _wake(self, reason: str, on: str) -> None:
        for link in self.state.links.values():
            if link.wait is not None and (link.wait.reason, link.wait.on) == (reason, on):
                self.wakes.add(link.id)

    # Sync ------------------------------------------------------------------------------------------------

    def fold(self, item: Input, told: str) -> None:
        """One transaction of sync."""
        state = self.state
        state.now = self.now
        decided = len(state.decisions)
        if self.behind and self.former is not None:
            # Another worker may still hold the config before: it has to roll back, or to decide nothing by it.
            before = {name: copy.copy(value) for name, value in vars(state).items()}
            state.configs = self.former
            try:
                take(state, item)
                told += " (under the config before)"
            except OlderConfigError:
                vars(state).update(before)
                take(state, item)
            state.configs = self.configs
        else:
            take(state, item)
        self.tell(f"sync takes {told}")
        for decision in state.decisions[decided:]:
            if decision.changed or decision.outcome not in ("nothing",):
                self.tell(f"    {decision.link[:8]}: {decision.outcome} {','.join(decision.lines)} ({decision.reason})")
        self._collect()

    def _collect(self) -> None:
        state = self.state
        for command, _ in state.commands:
            self.events += 1
            if isinstance(command, Create):
                self._check_create(command)
            self.bag.append(Message(f"command-{self.events}", command, _told(command)))
            self.tell(f"    -> {_told(command)}")
        state.commands.clear()
        state.decisions.clear()
        for link in state.links.values():
            if link.wait is not None and link.wait.reason in WOKEN_BY_NAME and link.wait.on in state.freed:
                self.wakes.add(link.id)
        state.freed.clear()

    def _check_create(self, command: Create) -> None:
        known = self.state.sharing(command.aim.account, command.addresses)
        if known:
            self.wrong.append(f"a create for {command.addresses} is issued although {known[0].contact_id} is known")

    def due(self) -> list[str]:
        """Return the links that the sweeper has to feed."""
        return [
            link.id
            for link in self.state.links.values()
            if link.id in self.wakes
            or (link.reconsider_at is not None and link.reconsider_at <= self.now)
            or (link.status != "ended" and link.config_version < self.version)
            or (link.wait is not None and link.wait.reason == "paused" and not self.paused)
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
            sides = normal_view(observed(left.contact, line, "left"), line, "left"), normal_view(
                observed(right.contact, line, "right"), line, "right"
            )
            half = structs.replace(half, held={key: kept for key, kept in half.held.items() if key != line_id})
            base = {**link.base, line_id: Base(*sides)}
            self.state.put_link(structs.replace(link.with_half(side, half), base=base))
        self.fold(Reconsider(link=link_id), f"a person's word about {link_id[:8]}")

    # People ----------------------------------------------------------------------------------------------

    def create(self, account: str, contact_id: str, fields: Fields) -> None:
        """A person makes a contact."""
        person = Person(id=contact_id, fields={})
        self.accounts[account].keep(person, fields)
        self.tell(f"a person makes {account} {contact_id}: {_short(person.fields)}")
        for name, path in PATHS[account].items():
            if path in person.fields:
                self.provenance.edited((account, contact_id, name), person.say(name, account), f"made {contact_id}")
        self._changed(account, person, {})

    def edit(self, account: str, contact_id: str, name: str, fields: Fields) -> None:
        """A person changes one field."""
        person = self.accounts[account].people[contact_id]
        before = dict(person.fields)
        self.accounts[account].keep(person, fields)
        if before == person.fields:
            return
        self.tell(f"a person edits {account} {contact_id}: {_short(fields)}")
        self.provenance.edited((account, contact_id, name), person.say(name, account), f"{account} {_short(fields)}")
        self._changed(account, person, before)

    def delete(self, account: str, contact_id: str) -> None:
        """A person deletes a contact."""
        person = self.accounts[account].people[contact_id]
        person.deleted = True
        person.deletions += 1
        self.tell(f"a person deletes {account} {contact_id}")
        self._changed(account, person, person.fields)

    def restore(self, account: str, contact_id: str) -> None:
        """A person brings a deleted contact back."""
        person = self.accounts[account].people[contact_id]
        person.deleted = False
        for partner in self.partners(account, contact_id):
            self.untagged.discard(("office" if account == "shop" else "shop", partner.id))
        self.tell(f"a person restores {account} {contact_id}")
        self._changed(account, person, person.fields)

    def partners(self, account: str, contact_id: str) -> list[Person]:
        """Return the contacts of the other account that are linked with one."""
        side, opposite = ("left", "right") if account == "shop" else ("right", "left")
        there = self.accounts["office" if account == "shop" else "shop"]
        found = []
        for link in self.state.links.values():
            partner = link.half(opposite).contact_id  # type: ignore[arg-type]
            if link.status != "ended" and link.half(side).contact_id == contact_id and partner is not None:  # type: ignore[arg-type]
                found.append(there.people[partner])
        return found

    def untag(self, account: str, contact_id: str) -> None:
        """A person removes our tag."""
        person = self.accounts[account].people[contact_id]
        person.tags = frozenset()
        partners = self.partners(account, contact_id)
        if len(partners) != 1 or partners[0].deletions > 1:
            # The tag removed may be an earlier deletion's: nobody can know.
            self.doubtful.add((account, contact_id))
        self.untagged.add((account, contact_id))
        self.tell(f"a person untags {account} {contact_id}")
        self._changed(account, person, person.fields)

    def _changed(self, account: str, person: Person, before: Fields) -> None:
        self.accounts[account].change(person)
        self._announce(account, person, before)

    def _announce(self, account: str, person: Person, before: Fields) -> None:
        """The shop says at once what changed; the office waits to be asked."""
        if account != "shop":
            return
        self.events += 1
        prior = {key: before.get(key, ()) for key in before.keys() | person.fields.keys()}
        prior = {key: values for key, values in prior.items() if values != person.fields.get(key, ())}
        if self.touches and self.events % 3 == 0:
            body = ContactTouched(account=account, contact_id=person.id, origin="webhook")
            self.bag.append(Message(f"evt-{self.events}", body, f"webhook evt-{self.events} shop {person.id}: touched"))
            return
        self._post(f"evt-{self.events}", account, person, said_at(self.now), "webhook", prior=prior)

    def _post(
        self,
        event_id: str,
        account: str,
        person: Person,
        order: Order,
        origin: Origin,
        *,
        prior: Fields | None = None,
        scan: int | None = None,
        look: msgspec.Struct | None = None,
    ) -> None:
        body: ContactChanged | ContactDeleted
        if person.deleted:
            body = ContactDeleted(
                account=account, contact_id=person.id, order=order, origin=origin, look=look  # type: ignore[arg-type]
            )
        else:
            body = ContactChanged(
                account=account,
                contact_id=person.id,
                order=order,
                origin=origin,
                contact=person.contact(account),
                prior=prior or {},
                scan=scan,
                look=look,  # type: ignore[arg-type]
            )
        what = "gone" if person.deleted else _short(person.fields) + (f" tags={set(person.tags)}" if person.tags else "")
        at = f"[{(order.start - START) / SECOND:.2f},{(order.end - START) / SECOND:.2f}]"
        self.bag.append(Message(event_id, body, f"{origin} {event_id} {account} {person.id} {at}: {what}"))

    # Reading ---------------------------------------------------------------------------------------------

    def poll(self, rng: Random, between: "Between") -> None:
        """Ask the office what changed since last time."""
        office = self.accounts["office"]
        fresh = list(dict.fromkeys(office.log[self.cursor :]))
        if not fresh:
            return
        self.polls += 1
        start = self.now
        self.pass_time(rng.randrange(300_000))
        self.cursor = len(office.log)
        people = [copy.copy(office.people[contact_id]) for contact_id in fresh]
        between(rng)
        self.pass_time(rng.randrange(300_000))
        for person in people:
            self._post(f"poll-{self.polls}-{person.id}", "office", person, answered("office", start, self.now), "feed")

    def scan(self, account: str, rng: Random, between: "Between") -> None:
        """Read all contacts of an account."""
        self.scans += 1
        start, number = self.now, self.scans
        self.pass_time(rng.randrange(300_000))
        people = [copy.copy(person) for person in self.accounts[account].live()]
        between(rng)
        self.pass_time(rng.randrange(300_000))
        self.tell(f"scan {number} of {account} sees {len(people)}")
        order, ids = answered(account, start, self.now), []
        for person in people:
            ids.append(f"scan-{number}-{person.id}")
            self._post(ids[-1], account, person, order, "scan", scan=number)
        end = ScanEnd(account, number, start, tuple(ids))
        self.bag.append(Message(f"scan-{number}", end, f"end of scan {number} of {account}"))

    def _scan_ended(self, end: ScanEnd) -> None:
        self.tell(f"scan {end.number} of {end.account} has passed")
        if end.account not in self.state.scanned:
            self.state.scanned |= {end.account}
            self._wake("scan", end.account)
        for record in list(self.state.records.values()):
            unseen = record.account == end.account and not record.deleted and record.scan != end.number
            if unseen and record.order.end < end.start:
                item = Sighted(account=record.account, contact_id=record.contact_id, look=True)
                self.fold(item, f"suspect {record.contact_id}")

    # Delivering ------------------------------------------------------------------------------------------

    def deliver(self, message: Message, rng: Random, between: "Between", *, twice: bool = False) -> bool:
        """Deliver a message; return whether that was possible now."""
        body = message.body
        if isinstance(body, ScanEnd) and not set(body.events) <= self.inbox:
            return False
        if isinstance(body, Back) and any(message.id in body.earlier for message in self.bag):
            return False
        if not twice:
            self.bag.remove(message)
        match body:
            case ScanEnd():
                self._scan_ended(body)
            case Back():
                self._wake("account", body.account)
            case Look():
                self._look(body, rng, between)
            case Find():
                self._find(body)
            case Create() | Update() | Tag() | Untag():
                for receipt in self.ledger.accept(body):
                    self._receipt(receipt)
            case ContactChanged() | ContactDeleted() | ContactTouched():
                if message.id in self.inbox:
                    return True
                self.inbox.add(message.id)
                self.fold(body, message.told)
            case _:
                self.fold(body, message.told)
        return True

    def _look(self, command: Look, rng: Random, between: "Between") -> None:
        start = self.now
        self.pass_time(rng.randrange(300_000))
        known = self.accounts[command.account].people.get(command.contact_id)
        person = copy.copy(known) if known is not None else Person(id=command.contact_id, fields={}, deleted=True)
        between(rng)
        self.pass_time(rng.randrange(300_000))
        event_id = f"look-{command.account}-{command.contact_id}-{command.look.number}-{command.look.attempt}"
        order = answered(command.account, start, self.now)
        self._post(event_id, command.account, person, order, "look", look=command.look)

    def _find(self, command: Find) -> None:
        people = [p for p in self.accounts[command.account].live() if command.address in p.addresses]
        order = answered(command.account, self.now, self.now)
        for person in people:
            self.events += 1
            self._post(f"find-{self.events}", command.account, copy.copy(person), order, "find")
        asked = {"link": command.link, "account": command.account, "address": command.address, "number": command.number}
        answer: Found | Absent = Absent(**asked)  # type: ignore[arg-type]
        if people:
            answer = Found(**asked, contact_ids=tuple(person.id for person in people))  # type: ignore[arg-type]
        self.events += 1
        self.bag.append(Message(f"found-{self.events}", answer, f"answer to a find of {command.address}"))

    def _receipt(self, receipt: Receipt) -> None:
        self.events += 1
        aim, kind = receipt.aim, type(receipt.outcome).__name__
        told = f"receipt {kind} of {aim.link[:8]}/{aim.side}/{aim.version.n}"
        if isinstance(receipt.outcome, Written | Unchanged | Stale) and receipt.outcome.seen is not None:
            order = receipt.outcome.seen.order
            told += f" [{(order.start - START) / SECOND:.2f},{(order.end - START) / SECOND:.2f}]"
            told += f" {_short(receipt.outcome.seen.contact.fields)}"
        if isinstance(receipt.outcome, Written):
            told += " replayed" * receipt.outcome.replayed + " looked" * receipt.outcome.looked
        self.bag.append(Message(f"receipt-{self.events}", receipt, told))

    # Writing ---------------------------------------------------------------------------------------------

    def work(self, entry: Entry, rng: Random, between: "Between") -> None:
        """Do the next thing about a write: put it off, prove it, or send it."""
        aim = entry.command.aim
        told = f"{aim.link[:8]}/{aim.side}/{aim.version.n}"
        deferral = self._deferral(entry)
        if entry.state == "pending" and deferral is not None:
            self.tell(f"ledger defers {told} ({deferral.reason})")
            self._receipt(self.ledger.settle(entry, deferral))
            return
        if entry.state == "pending" and entry.attempted and entry.made is None:
            entry.state = "unknown"
        if entry.state == "unknown":
            self._prove(entry, told, rng, between)
            return
        fault = rng.random() if self.faults else 1.0
        if fault < 0.1:
            self.tell(f"{aim.account} throttles {told}")
            return
        if isinstance(entry.command, Create) and entry.frozen is None:
            entry.frozen = entry.command
        command = self._effective(entry)
        start = self.now
        self.pass_time(rng.randrange(300_000))
        if fault < 0.2:
            entry.state = "unknown"
            self.tell(f"{told} gets lost on its way, nobody knows")
            return
        if command is None:
            if entry.made is None:
                raise AssertionError("nothing to send")
            outcome = Written(contact_id=entry.made.contact_id, seen=entry.made, looked=True)
            self._receipt(self.ledger.settle(entry, outcome))
            return
        done, contact_id, seen = execute(self.accounts[aim.account], command, entry.key)
        self._landed(entry, command, done, contact_id)
        self.tell(f"{aim.account} executes {told}: {type(done.outcome).__name__}")
        between(rng)
        self.pass_time(rng.randrange(300_000))
        if fault < 0.35:
            entry.state = "unknown"
            self.tell(f"the answer to {told} gets lost")
            return
        self._answer(entry, done, contact_id, seen, start, looked=entry.made is not None)

    def _deferral(self, entry: Entry) -> Deferred | None:
        aim = entry.command.aim
        if aim.config_version < self.version:
            return Deferred(reason="config", attempted=entry.attempted)
        if self.paused:
            return Deferred(reason="paused", attempted=entry.attempted)
        if aim.account in self.down:
            return Deferred(reason="account", attempted=entry.attempted)
        return None

    def _effective(self, entry: Entry) -> Create | Update | Tag | Untag | None:
        command = entry.command
        if not isinstance(command, Create) or entry.frozen is None:
            return command
        if entry.made is None:
            return entry.frozen
        wanted, frozen, made = command.fields, entry.frozen.fields, entry.made
        fields = {path: values for path, values in wanted.items() if frozen.get(path, ()) != values}
        fields.update({path: () for path in frozen.keys() - wanted.keys() if path != "email"})
        if not fields:
            return None
        expected = {path: made.contact.fields.get(path, ()) for path in fields}
        return Update(
            aim=command.aim, contact_id=made.contact_id, fields=fields, expected=expected, guard=made.contact.guard
        )

    def _answer(
        self, entry: Entry, done: Done, contact_id: str, seen: Contact | None, start: int, *, looked: bool = False
    ) -> None:
        outcome = done.outcome
        account = entry.command.aim.account
        if seen is not None and not isinstance(outcome, Refused):
            order = answered(account, start, self.now)
            shown = Observation(contact_id=contact_id, order=order, contact=seen)
            outcome = msgspec.structs.replace(outcome, seen=shown)
            if looked and isinstance(outcome, Written | Unchanged):
                outcome = Written(contact_id=contact_id, seen=shown, looked=True)
        self._receipt(self.ledger.settle(entry, outcome))

    def _landed(self, entry: Entry, command: Create | Update | Tag | Untag, done: Done, contact_id: str) -> None:
        """Note what a write did to the account."""
        if done.changed is None:
            return
        self.writes += 1
        aim = entry.command.aim
        if isinstance(command, Update) and aim.account == "shop" and "email" in command.fields:
            value = plain(command.fields["email"], "email")
            if (aim.link, value) not in self.approved:
                self.wrong.append(f"the e-mail {value} was written into the shop without a person's yes")
        person = done.changed
        if isinstance(command, Create):
            self._check_made(aim.account, person)
        if isinstance(command, Create | Update):
            self._copied(aim.link, aim.side, aim.account, contact_id, command.fields)
        self._announce(aim.account, copy.copy(person), done.before or {})

    def _copied(self, link_id: str, side: Side, account: str, contact_id: str, fields: Fields) -> None:
        link = self.state.links[link_id]
        source = "office" if account == "shop" else "shop"
        source_id = link.half("right" if side == "left" else "left").contact_id
        if source_id is None:
            return
        for name, path in PATHS[account].items():
            if path in fields:
                cells = (source, source_id, name), (account, contact_id, name)
                self.provenance.copied(*cells, plain(fields[path], name))

    def _check_made(self, account: str, person: Person) -> None:
        for another in self.accounts[account].live():
            shared = set(another.born_with) & set(another.addresses) & set(person.addresses)
            # One that a person deleted and brought back since isn't known to be there.
            if another.id != person.id and shared and not another.deletions:
                self.wrong.append(f"we made {person.id} in {account} although we had made {another.id} for {shared}")

    def _prove(self, entry: Entry, told: str, rng: Random, between: "Between") -> None:
        """Find out what became of a write whose answer nobody saw."""
        account = self.accounts[entry.command.aim.account]
        start = self.now
        self.pass_time(rng.randrange(300_000))
        command = self._effective(entry)
        if command is None:
            raise AssertionError("nothing was sent")
        if isinstance(command, Create):
            proof = self._proof_of_create(account, entry)
        elif account.name == "shop":
            stored = account.answers.get(entry.key)
            proof = None
            if stored is not None:
                proof = Done(Written(contact_id=command.contact_id, replayed=True)), command.contact_id, stored
        else:
            proof = self._proof_by_value(account, command)
        between(rng)
        self.pass_time(rng.randrange(300_000))
        if proof is None:
            self.tell(f"{told} is proved not to have happened")
            entry.state = "pending"
            if isinstance(entry.command, Create) and entry.made is None:
                entry.frozen, entry.key_n = None, entry.key_n + 1
            return
        done, contact_id, seen = proof
        self.tell(f"{told} is proved: {type(done.outcome).__name__}")
        if isinstance(command, Create) and isinstance(entry.command, Create) and command.fields != entry.command.fields:
            person = account.people[contact_id]
            if person.deleted:
                self._receipt(self.ledger.settle(entry, Refused(reason="what was made is gone", gone=True)))
                return
            order = answered(account.name, self.now, self.now)
            entry.made = Observation(contact_id=contact_id, order=order, contact=person.contact(account.name))
            entry.state = "pending"
            return
        self._answer(entry, done, contact_id, seen, start, looked=entry.made is not None)

    def _proof_of_create(self, account: Account, entry: Entry) -> tuple[Done, str, Contact | None] | None:
        contact_id = account.made.get(entry.key)
        if contact_id is None:
            return None
        if account.name == "shop":
            return Done(Written(contact_id=contact_id, replayed=True)), contact_id, account.answers[entry.key]
        person = account.people[contact_id]
        if person.deleted:
            return None
        return Done(Written(contact_id=contact_id, looked=True)), contact_id, person.contact(account.name)

    def _proof_by_value(
        self, account: Account, command: Update | Tag | Untag
    ) -> tuple[Done, str, Contact | None] | None:
        person = account.people[command.contact_id]
        if person.deleted:
            return Done(Refused(reason="it isn't there", gone=True)), person.id, None
        seen = person.contact(account.name)
        if seen.guard == command.guard:
            return None
        match command:
            case Update(fields=fields):
                probe = Person(id="", fields={})
                account.keep(probe, fields)
                if all(person.fields.get(path, ()) == probe.fields.get(path, ()) for path in fields):
                    return Done(Written(contact_id=person.id, looked=True)), person.id, seen
                for name, path in PATHS["office"].items():
                    if path in fields:
                        self.provenance.excused.add(("office", person.id, name))
                return Done(Stale(seen=Observation(contact_id="", order=Order(0, 0), contact=seen))), person.id, seen
            case Tag(tag=tag):
                if tag not in seen.tags:
                    self.untagged.discard((account.name, person.id))  # if a person removed it, nobody can know
                    return None
                return Done(Written(contact_id=person.id, looked=True)), person.id, seen
            case _:
                gone = command.tag not in seen.tags
                return (Done(Written(contact_id=person.id, looked=True)), person.id, seen) if gone else None


class Between:
    """What may happen in an account while a request of ours is on its way."""

    def __call__(self, rng: Random) -> None:
        """Let it happen, or nothing."""


def two_way(**options: str) -> Connection:
    """Return the connection of the simulation."""
    return Connection(name="shop-office", left="shop", right="office", options=Options(**options))  # type: ignore[arg-type]


def _short(fields: Fields) -> str:
    return ", ".join(f"{path}={plain(values, path) or '-'}" for path, values in sorted(fields.items()))


def _told(command: Command) -> str:
    match command:
        case Look():
            return f"look at {command.account} {command.contact_id} {command.look.number}.{command.look.attempt}"
        case Find():
            return f"find {command.address} in {command.account}"
        case Create() | Update():
            kind = type(command).__name__.lower()
            aim = command.aim
            whom = "" if isinstance(command, Create) else f" {command.contact_id}"
            return f"{kind} {aim.link[:8]}/{aim.side}/{aim.version.n}{whom}: {_short(command.fields)}"
        case _:
            aim = command.aim
            kind = type(command).__name__.lower()
            return f"{kind} {aim.link[:8]}/{aim.side}/{aim.version.n} {command.contact_id}"
