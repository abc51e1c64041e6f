"""A target that does what it is told, at once: the answer to each command, from what is known of its contacts."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Command, Create, Find, Look, Tag, Untag, Update
from services.contracts.contact import Contact, Order, Side
from services.contracts.events import ContactChanged, ContactDeleted
from services.contracts.receipts import Absent, Found, Observation, Receipt, Refused, Written
from services.sync.core.state import Record
from services.sync.core.take import Input
from services.sync.plan.trial import Trial

Named = Callable[[Create], str]
"""Gives a contact that is made its id."""
_FIRST = Order(0, 0)
"""A contact that nobody but us has touched is older than whatever its app really says of it."""


def named_as(link: str, side: Side) -> str:
    """Return the id of a contact that only would be made for that side of a link."""
    return f"new:{link}:{side}"


def named_for(command: Create) -> str:
    """Return the id of a contact that only would be made: no app has one like it."""
    return named_as(command.aim.link, command.aim.side)


def answered(world: Trial, command: Command, named: Named = named_for) -> Input | None:
    """Return what the account would answer; None where what is known doesn't tell."""
    match command:
        case Create():
            made = Contact(fields=dict(command.fields), mark=command.aim.link)
            return _written(command, named(command), made, _FIRST)
        case Update() | Tag() | Untag():
            record = world.record(command.aim.account, command.contact_id)
            if record is None or record.contact is None or record.deleted:
                return Receipt(aim=command.aim, outcome=Refused(reason="the contact isn't there", gone=True))
            return _written(command, command.contact_id, _changed(record.contact, command), after(record))
        case Look():
            record = world.record(command.account, command.contact_id)
            return None if record is None else _looked(record, command)
        case Find():
            found = world.having(command.account, command.address)
            link, account, address = command.link, command.account, command.address
            if not found:
                return Absent(link=link, account=account, address=address, number=command.number)
            return Found(link=link, account=account, address=address, number=command.number, contact_ids=found)


def after(record: Record) -> Order:
    """Return the order of the next observation."""
    return Order(record.order.end + 1, record.order.end + 1)


def _written(command: Create | Update | Tag | Untag, contact_id: str, contact: Contact, order: Order) -> Receipt:
    own = msgspec.Raw(b"null") if isinstance(command, Create) else command.object
    seen = Observation(contact_id=contact_id, order=order, contact=contact, object=own)
    return Receipt(aim=command.aim, outcome=Written(contact_id=contact_id, seen=seen))


def _changed(contact: Contact, command: Update | Tag | Untag) -> Contact:
    match command:
        case Update():
            return replace(contact, fields={**contact.fields, **command.fields})
        case Tag():
            return replace(contact, tags=tuple(sorted({*contact.tags, command.tag})))
        case Untag():
            return replace(contact, tags=tuple(tag for tag in contact.tags if tag != command.tag))


def _looked(record: Record, command: Look) -> Input | None:
    account, contact_id, order = record.account, record.contact_id, after(record)
    if record.deleted:
        return ContactDeleted(account=account, contact_id=contact_id, order=order, origin="look", look=command.look)
    if record.contact is None:
        return None
    return ContactChanged(
        account=account,
        contact_id=contact_id,
        order=order,
        origin="look",
        contact=record.contact,
        look=command.look,
    )
