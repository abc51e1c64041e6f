"""A minimal ledger as PROTOCOL P4, P11, P12 and P14 ask for one: what stands between a command and an account."""

from dataclasses import dataclass
from typing import Literal

from services.contracts.commands import Create, Tag, Update, Version, Write
from services.contracts.contact import Contact, Fields
from services.contracts.envelope import derived
from services.contracts.receipts import Deferred, Observation, Outcome, Receipt, Refused, Stale, Unchanged, Written
from tests.simulation.account import Account, Person, answered

NEVER = Version(0, 0)
FORBIDDEN = "forbidden"
"""How texts begin that people may write, and that every account refuses to take from us."""


@dataclass
class Entry:
    """The present write on one side of one link."""

    command: Write
    state: Literal["pending", "unknown", "settled"] = "pending"
    settled: Version = NEVER
    receipt: Receipt | None = None
    frozen: Create | None = None
    made: Observation | None = None
    key_n: int = 0

    @property
    def attempted(self) -> bool:
        """Whether a create of this side may have been executed."""
        return isinstance(self.command, Create) and self.frozen is not None

    @property
    def key(self) -> str:
        """The idempotency key of what is sent next."""
        aim = self.command.aim
        if isinstance(self.command, Create) and self.made is None:
            return derived("create", aim.link, aim.side, self.key_n)
        return derived("write", aim.link, aim.side, aim.version.incarnation, aim.version.n)


class Ledger:
    """All writes of all accounts, one entry per link and side."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {}

    def accept(self, command: Write) -> list[Receipt]:
        """Take a command in by its version; return what is to be answered at once."""
        aim = command.aim
        entry = self.entries.get((aim.link, aim.side))
        if entry is None:
            self.entries[aim.link, aim.side] = Entry(command)
            return []
        if aim.version <= entry.settled:
            again = aim.version == entry.settled and entry.receipt is not None
            return [entry.receipt] if again and entry.receipt else [Receipt(aim=aim, outcome=SUPERSEDED)]
        if entry.state != "settled":
            if entry.command.aim.version != aim.version:
                raise AssertionError(f"two unsettled writes of one side: {entry.command.aim} and {aim}")
            return []
        entry.command, entry.state = command, "pending"
        return []

    def settle(self, entry: Entry, outcome: Outcome) -> Receipt:
        """Note the outcome of the present command and return its receipt."""
        entry.receipt = Receipt(aim=entry.command.aim, outcome=outcome)
        entry.state, entry.settled = "settled", entry.command.aim.version
        if not isinstance(outcome, Deferred):
            entry.made = None
            if isinstance(outcome, Refused) and isinstance(entry.command, Create):
                entry.frozen, entry.key_n = None, entry.key_n + 1
        return entry.receipt

    def open(self, account: str) -> list[Entry]:
        """Return the account's entries without an answer."""
        entries = [entry for entry in self.entries.values() if entry.state != "settled"]
        return [entry for entry in entries if entry.command.aim.account == account]


SUPERSEDED = Deferred(reason="superseded")


@dataclass(frozen=True)
class Done:
    """What an account did about a request: what it would answer, and the contact it changed."""

    outcome: Written | Unchanged | Refused | Stale
    changed: Person | None = None
    before: Fields | None = None


def execute(account: Account, command: Write, key: str) -> tuple[Done, str, Contact | None]:
    """Carry a write out; return what was done, the contact's id, and the contact as the answer shows it."""
    if isinstance(command, Create):
        return _create(account, command, key)
    forbidden = _forbidden(command.fields) if isinstance(command, Update) else ()
    if forbidden:
        return Done(Refused(reason="nobody may say that here", fields=forbidden)), command.contact_id, None
    person = account.people.get(command.contact_id)
    if person is None or person.deleted:
        return Done(Refused(reason="it isn't there", gone=True)), command.contact_id, None
    if account.name != "office" and key in account.answers:
        return Done(Written(contact_id=person.id, replayed=True)), person.id, account.answers[key]
    if account.name == "office" and command.guard != f"etag-{person.etag}":
        fits = not isinstance(command, Update) or all(
            person.fields.get(path, ()) == command.expected.get(path, ()) for path in command.fields
        )
        if not fits:
            return Done(Stale(seen=_blank(person))), person.id, person.contact(account.name)
    before, tags = dict(person.fields), person.tags
    match command:
        case Update(fields=fields):
            account.keep(person, fields)
        case Tag(tag=tag):
            person.tags |= {tag}
        case _:
            person.tags -= {command.tag}
    changed = (before, tags) != (person.fields, person.tags)
    if not changed and account.name == "office":
        return Done(Unchanged(contact_id=person.id)), person.id, person.contact(account.name)
    if changed:
        account.change(person)
    seen = person.contact(account.name)
    account.answers[key] = seen
    return Done(Written(contact_id=person.id), person if changed else None, before), person.id, seen


def _create(account: Account, command: Create, key: str) -> tuple[Done, str, Contact | None]:
    if key in account.made:
        contact_id = account.made[key]
        if account.name != "office":
            return Done(Written(contact_id=contact_id, replayed=True)), contact_id, account.answers[key]
        person = account.people[contact_id]
        if not person.deleted:
            return Done(Written(contact_id=contact_id, looked=True)), contact_id, person.contact(account.name)
    forbidden = _forbidden(command.fields)
    if forbidden:
        return Done(Refused(reason="nobody may say that here", fields=forbidden)), "", None
    contact_id = f"{account.name[0]}-made-{len(account.made)}"
    person = Person(id=contact_id, fields={}, mark=command.aim.link, etag=0)
    account.keep(person, command.fields)
    person.born_with = person.addresses
    account.change(person)
    account.made[key] = contact_id
    account.answers[key] = person.contact(account.name)
    return Done(Written(contact_id=contact_id), person, {}), contact_id, account.answers[key]


def _forbidden(fields: Fields) -> tuple[str, ...]:
    return tuple(path for path, values in fields.items() if values and str(values[0]).startswith(FORBIDDEN))


def _blank(person: Person) -> Observation:
    return Observation(contact_id=person.id, order=answered("office", 0, 0), contact=Contact())
