"""The truth: simulated accounts whose contacts people and we change, and which say so in their own ways."""

import math
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.contracts.contact import Contact, Fields, Order, PersonName, Values
from services.sync.core.names import join

SECOND = 1_000_000
PATHS = {
    "shop": {"name": "name", "phone": "phone", "note": "description", "email": "email"},
    "till": {"name": "name", "phone": "phone", "note": "description", "email": "email"},
    "office": {"name": "n", "phone": "tel", "note": "note", "email": "email"},
}
"""Account -> what a person calls a field -> where the account keeps it. The till is a shop, too."""


@dataclass
class Person:
    """One contact as it really is in its account."""

    id: str
    fields: Fields
    tags: frozenset[str] = frozenset()
    mark: str | None = None
    deleted: bool = False
    deletions: int = 0
    etag: int = 1
    born_with: tuple[str, ...] = ()
    """The addresses it was made with, if we made it."""

    def say(self, name: str, account: str) -> str:
        """Return what a field says, in a form in which both accounts' values compare."""
        values = self.fields.get(PATHS[account][name], ())
        return plain(values, name)

    def contact(self, account: str) -> Contact:
        """Return the contact as the account's reader would."""
        guard = f"etag-{self.etag}" if account == "office" else None
        return Contact(fields=dict(self.fields), tags=tuple(sorted(self.tags)), mark=self.mark, guard=guard)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The contact's addresses."""
        return tuple(value.casefold() for value in self.fields.get("email", ()) if isinstance(value, str))


def plain(values: Values, name: str) -> str:
    """Return a field's primary value as both accounts' values compare; written apart from the core's own rules."""
    if not values:
        return ""
    value = values[0]
    if isinstance(value, PersonName):
        return join(value)
    text = str(value)
    if name == "phone":
        return "".join(c for c in text if c.isdigit() or c == "+")
    return text.casefold() if name == "email" else text


@dataclass
class Account:
    """All contacts of one account, and the log of what changed."""

    name: str
    people: dict[str, Person] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    """Ids of changed contacts, in the order of the changes: what the change feed reads."""
    answers: dict[str, Contact] = field(default_factory=dict)
    """Idempotency key -> the answer that is given again."""
    made: dict[str, str] = field(default_factory=dict)
    """Idempotency key -> the contact it made."""

    def change(self, person: Person) -> None:
        """Note that the contact changed just now."""
        person.etag += 1
        self.people[person.id] = person
        self.log.append(person.id)

    def live(self) -> list[Person]:
        """Return the contacts that are there."""
        return [person for person in self.people.values() if not person.deleted]

    def keep(self, person: Person, fields: Fields) -> None:
        """Take field values in, each in the account's own spelling."""
        person.fields = {**person.fields, **{path: self._own(path, values) for path, values in fields.items()}}
        person.fields = {path: values for path, values in person.fields.items() if values}

    def _own(self, path: str, values: Values) -> Values:
        if path == "tel":
            return tuple(str(value).replace(" ", "") for value in values)
        if path == "n":
            return tuple(
                replace(value, full=join(value)) if isinstance(value, PersonName) else value for value in values
            )
        return values


def said_at(now: int) -> Order:
    """Return the order of a webhook about a change at `now`: the account dates it to the second."""
    second = math.floor(now / SECOND) * SECOND
    return Order(second, second + SECOND)


def answered(account: str, start: int, end: int) -> Order:
    """Return the order of an answer to a request from `start` to `end`."""
    if account == "office":
        return Order(start, end)
    date = math.floor(end / SECOND) * SECOND
    return Order(date - (end - start) - SECOND, date + SECOND)
