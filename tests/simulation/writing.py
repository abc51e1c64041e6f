"""How writes are worked off: deferred, sent, lost, proved (P4, P11, P14)."""

import copy
from random import Random

from msgspec import structs

from services.contracts.commands import Aim, Create, Tag, Untag, Update
from services.contracts.contact import Contact, Fields, Order
from services.contracts.receipts import Deferred, Observation, Receipt, Refused, Stale, Unchanged, Unknown, Written
from services.sync.core.state import other
from tests.simulation.account import PATHS, SECOND, Account, Person, answered, plain
from tests.simulation.ledger import Done, Entry, execute
from tests.simulation.message import Between, Message, short
from tests.simulation.people import TRASH
from tests.simulation.reading import Reading
from tests.simulation.ruling import was_taken
from tests.simulation.sync import START


class Writing(Reading):
    """Works off the ledger."""

    def work(self, entry: Entry, rng: Random, between: Between) -> None:
        """Do the next thing about a write: put it off, prove it, or send it."""
        aim = entry.command.aim
        told = f"{aim.link[:8]}/{aim.side}/{aim.version.n}"
        deferral = self._deferral(entry)
        if entry.state == "pending" and deferral is not None:
            self.tell(f"ledger defers {told} ({deferral.reason})")
            self.report(self.ledger.settle(entry, deferral))
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
            self._unknown(entry)
            self.tell(f"{told} gets lost on its way, nobody knows")
            return
        if command is None:
            if entry.made is None:
                raise AssertionError("nothing to send")
            outcome = Written(contact_id=entry.made.contact_id, seen=entry.made, looked=True)
            self.report(self.ledger.settle(entry, outcome))
            return
        done, contact_id, seen = execute(self.accounts[aim.account], command, entry.key)
        self._landed(entry, command, done, contact_id)
        self.tell(f"{aim.account} executes {told}: {type(done.outcome).__name__}")
        between(rng)
        self.pass_time(rng.randrange(300_000))
        if fault < 0.35:
            self._unknown(entry)
            self.tell(f"the answer to {told} gets lost")
            return
        self._answer(entry, done, contact_id, seen, start, looked=entry.made is not None)

    def _unknown(self, entry: Entry) -> None:
        """Nobody knows what became of a write: sync is told so, which settles nothing."""
        entry.state = "unknown"
        self.report(Receipt(aim=entry.command.aim, outcome=Unknown(reason="no answer", since=self.now)))

    def _deferral(self, entry: Entry) -> Deferred | None:
        aim = entry.command.aim
        if aim.config_version < self.version:
            return Deferred(reason="config", attempted=entry.attempted)
        if aim.connection in self.paused:
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
            outcome = structs.replace(outcome, seen=shown)
            if looked and isinstance(outcome, Written | Unchanged):
                outcome = Written(contact_id=contact_id, seen=shown, looked=True)
        self.report(self.ledger.settle(entry, outcome))

    def _landed(self, entry: Entry, command: Create | Update | Tag | Untag, done: Done, contact_id: str) -> None:
        """Note what a write did to the account."""
        if done.changed is None:
            return
        self.writes += 1
        aim = entry.command.aim
        if isinstance(command, Update) and aim.account != "office" and "email" in command.fields:
            value = plain(command.fields["email"], "email")
            # A value that a person gave this very contact, and that a write of ours overwrote, is put back (P14).
            own = self.provenance.giving((aim.account, contact_id, "email"), value)
            if (aim.link, value) not in self.approved and not own:
                self.wrong.append(f"the e-mail {value} was written into the shop without a person's yes")
        person = done.changed
        if isinstance(command, Create):
            self._check_made(aim.account, person)
        self._check_touched(aim, contact_id)
        if isinstance(command, Create | Update):
            self._copied(aim, contact_id, command.fields)
        before = done.before or {}
        told = self.announce(aim.account, copy.copy(person), before, label=entry.key)
        if isinstance(command, Update) and aim.account != "office" and not told:
            # Whom it overwrote unseen, nobody will ever know (P14).
            self._excuse(person, {p: v for p, v in command.expected.items() if before.get(p, ()) != v}, aim.account)

    def _source(self, aim: Aim) -> tuple[str, str | None]:
        """Return the account and the contact that a write's values come from."""
        link = self.state.links[aim.link]
        return self.account(link, other(aim.side)), link.half(other(aim.side)).contact_id

    def _check_touched(self, aim: Aim, contact_id: str) -> None:
        if not (was_taken(self, aim.account, contact_id) or was_taken(self, *self._source(aim))):
            self.wrong.append(f"{aim.account} {contact_id} was written to, and no rule ever took it or its partner")

    def _copied(self, aim: Aim, contact_id: str, fields: Fields) -> None:
        source, source_id = self._source(aim)
        if source_id is None:
            return
        for name, path in PATHS[aim.account].items():
            if path in fields:
                cells = (source, source_id, name), (aim.account, contact_id, name)
                self.provenance.copied(*cells, plain(fields[path], name))

    def _check_made(self, account: str, person: Person) -> None:
        for another in self.accounts[account].live():
            shared = set(another.born_with) & set(another.addresses) & set(person.addresses)
            # One that a person deleted and brought back since isn't known to be there.
            if another.id != person.id and shared and not another.deletions:
                self.wrong.append(f"we made {person.id} in {account} although we had made {another.id} for {shared}")

    def _prove(self, entry: Entry, told: str, rng: Random, between: Between) -> None:
        """Find out what became of a write whose answer nobody saw."""
        account = self.accounts[entry.command.aim.account]
        start = self.now
        self.pass_time(rng.randrange(300_000))
        command = self._effective(entry)
        if command is None:
            raise AssertionError("nothing was sent")
        if isinstance(command, Create):
            proof = self._proof_of_create(account, entry)
        elif account.name != "office":
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
                self.report(self.ledger.settle(entry, Refused(reason="what was made is gone", gone=True)))
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
        if account.name != "office":
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
            if isinstance(command, Update):
                self._excuse(person, command.fields)
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
                self._excuse(person, fields)
                return Done(Stale(seen=Observation(contact_id="", order=Order(0, 0), contact=seen))), person.id, seen
            case Tag(tag=tag):
                if tag not in seen.tags:
                    # If a person removed it, nobody can know.
                    (self.untagged if tag == TRASH else self.stripped).discard((account.name, person.id))
                    return None
                return Done(Written(contact_id=person.id, looked=True)), person.id, seen
            case _:
                gone = command.tag not in seen.tags
                return (Done(Written(contact_id=person.id, looked=True)), person.id, seen) if gone else None

    def _excuse(self, person: Person, fields: Fields, account: str = "office") -> None:
        """What was there can't be told any more: nothing is claimed for these fields."""
        for name, path in PATHS[account].items():
            if path in fields:
                self.provenance.excused.add((account, person.id, name))

    def report(self, receipt: Receipt) -> None:
        self.events += 1
        aim, kind = receipt.aim, type(receipt.outcome).__name__
        told = f"receipt {kind} of {aim.link[:8]}/{aim.side}/{aim.version.n}"
        if isinstance(receipt.outcome, Written | Unchanged | Stale) and receipt.outcome.seen is not None:
            order = receipt.outcome.seen.order
            told += f" [{(order.start - START) / SECOND:.2f},{(order.end - START) / SECOND:.2f}]"
            told += f" {short(receipt.outcome.seen.contact.fields)}"
        if isinstance(receipt.outcome, Written):
            told += " replayed" * receipt.outcome.replayed + " looked" * receipt.outcome.looked
        self.bag.append(Message(f"receipt-{self.events}", receipt, told))
