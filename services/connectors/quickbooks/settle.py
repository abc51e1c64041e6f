"""What became of a write without an answer: found out by our mark, by names, by versions (P4)."""

import msgspec

from services.connectors.quickbooks import body, lookup
from services.connectors.quickbooks.client import Client
from services.connectors.quickbooks.customer import Customer, addresses, fields, text
from services.connectors.quickbooks.manifest import AT_WORK
from services.connectors.quickbooks.name import joined, tidy
from services.connectors.quickbooks.write import names_for
from services.contracts.app import Gone, Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Address, Fields, PersonName, Value
from services.contracts.receipts import Refused, Stale, Written
from services.runtime.app import Absence, Attempt, Undecided

_SECOND = 1_000_000
_CLOCKS_APART = 300 * _SECOND
"""By how much QuickBooks' clock and ours may differ."""
_LATER = 60.0
"""Seconds after which a reading that said nothing is tried again."""


async def settle(client: Client, command: Write, attempt: Attempt) -> Written | Stale | Absence | Undecided | Trouble:
    """Return proof that the write was applied, or that it wasn't."""
    outcome: Written | Stale | Absence | Undecided | Trouble
    match command:
        case Create():
            outcome = await _created(client, command, attempt)
        case Update():
            outcome = await _updated(client, command, attempt)
        case Tag() | Untag():
            outcome = Absence(reason="QuickBooks has no labels: nothing was sent")
    if isinstance(outcome, Trouble) and outcome.key in {400, "610", "no_contact_id", "list_too_long"}:
        # A refused reading is no refusal of the write.
        return Undecided(reason=outcome.detail, after=_LATER)
    return outcome


async def _created(client: Client, command: Create, attempt: Attempt) -> Written | Absence | Undecided | Trouble:
    built = body.new(command.fields, command.aim.link)
    if isinstance(built, Refused):
        return Absence(reason="the contact has nothing to be called by: it was never sent")
    names = names_for(built[1], command)
    named = await lookup.called(client, names)
    if isinstance(named, Trouble):
        return named
    # An inactive one may be what an earlier create of this link made: only the time of its making tells.
    ours = next((row for row in named if row.active and row.mark == command.aim.link), None)
    if ours is not None:
        return _made(ours)
    first = attempt.first if attempt.first is not None else client.now()
    since = first - _CLOCKS_APART
    # A person may have called it otherwise since.
    made = await lookup.made_since(client, since)
    if isinstance(made, Trouble):
        return made
    ours = next((row for row in made if row.mark == command.aim.link), None)
    if ours is None:
        # Somebody may have taken our line out of the notes: another one with this name couldn't have been made.
        ours = next((row for row in made if _is_twin(row, command, names)), None)
    if ours is not None:
        return _made(ours)
    rest = AT_WORK - (client.now() - first) / _SECOND
    if rest > 0:
        return Undecided(reason="QuickBooks may still be at work on the create", after=rest)
    return Absence(reason="no customer of that name, or made since, carries the link's id")


def _made(found: Customer) -> Written:
    seen = found.observation() if found.active else None
    return Written(contact_id=found.id, seen=seen, looked=True)


def _is_twin(row: Customer, command: Create, names: list[str]) -> bool:
    """Whether a customer without any mark, made since, has the name and the address that ours was to have."""
    own = {lookup.normal(each) for each in addresses(row.raw)[:1]}
    wanted = {lookup.normal(each) for each in command.addresses}
    called = text(row.raw, "DisplayName").casefold() in {name.casefold() for name in names}
    return row.mark is None and row.active and called and bool(own & wanted)


async def _updated(
    client: Client, command: Update, attempt: Attempt
) -> Written | Stale | Absence | Undecided | Trouble:
    """Under its SyncToken a write is applied once or never; where the version has moved on, the value decides."""
    found = await lookup.look(client, command.contact_id)
    if isinstance(found, Trouble):
        return found
    if isinstance(found, Gone) or not found.active:  # sent anew, it is refused, as the customer is gone
        return Absence(reason="the customer isn't there any more")
    if found.guard == command.guard:
        first = attempt.first if attempt.first is not None else client.now()
        rest = AT_WORK - (client.now() - first) / _SECOND
        if rest > 0:
            return Undecided(reason="QuickBooks may still be at work on the write", after=rest)
        return Absence(reason="the customer still has the version that the write was for")
    present = fields(found.raw)
    if _holds(present, command.fields):
        return Written(contact_id=found.id, seen=found.observation(), looked=True)
    if _holds(present, command.expected):
        return Absence(reason="the customer's fields still hold what they held before the write")
    if _came_through(present, command):
        return Written(contact_id=found.id, seen=found.observation(), looked=True)
    return Stale(seen=found.observation())


def _came_through(present: Fields, command: Update) -> bool:
    """Whether it was applied and a person has edited other fields since: all are written at once or none.

    A field that only the write can have given its value proves it; one that still has the value of before disproves
    it.
    """
    new = [path for path, values in command.fields.items() if not _holds(command.expected, {path: values})]
    before = [path for path in new if _holds(present, {path: command.expected.get(path, ())})]
    return not before and any(_holds(present, {path: command.fields[path]}) for path in new)


def _holds(present: Fields, wanted: Fields) -> bool:
    return all(
        [_told(value) for value in present.get(path, ())] == [_told(value) for value in values]
        for path, values in wanted.items()
    )


def _told(value: Value) -> object:
    """A value without what QuickBooks may change in it: blanks, the case of an address, what a name is shown as."""
    match value:
        case str():
            return tidy(value).casefold() if "@" in value else tidy(value)
        case PersonName():
            return joined(value) or tidy(value.full)
        case Address():
            return tuple(tidy(part) for part in msgspec.structs.astuple(value))
