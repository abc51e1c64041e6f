"""What became of a write whose answer was lost: found out by reading, once its idempotency key no longer tells."""

from typing import Any

from services.connectors.stripe.customer import PARTS, customer, observation
from services.connectors.stripe.error import unreadable
from services.connectors.stripe.lookup import CUSTOMERS, listed, look
from services.connectors.stripe.manifest import MANIFEST
from services.connectors.stripe.order import SECOND, microseconds
from services.contracts.app import Gone, Seen, Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Address, Fields, Value, Values
from services.contracts.receipts import Observation, Stale, Written
from services.runtime.app import Absence, Access, Attempt, Undecided

# Around the time of sending, in which a customer that we made was made: the key's lifetime, and what two clocks
# may differ by. Seconds.
_SLACK = 300
_WINDOW = int(MANIFEST.key_lifetime) + _SLACK
_PAGES = 100
# Seconds for which Stripe may still be at work on a request that we gave up: its own libraries wait for 80.
_AT_WORK = 90


async def settle(access: Access, command: Write, attempt: Attempt) -> Written | Stale | Absence | Undecided | Trouble:
    """Find out by reading whether a write was applied."""
    if isinstance(command, Create):
        return await _created(access, command, attempt)
    found = await look(access, command.contact_id)
    match found:
        case Trouble():
            return found
        case Gone():
            return Absence(reason="the customer isn't in Stripe any more, there is nothing to have been written")
        case Seen():
            return _applied(found, command, attempt)


async def _created(access: Access, command: Create, attempt: Attempt) -> Written | Absence | Undecided | Trouble:
    """By each address of the body; then, as somebody may have changed it since, by the time of its making."""
    for address in command.addresses:
        written = await _marked(access, command, attempt, {"email": address})
        if written is not None:
            return written
    # An answer to a repetition says that the first request is over; without one only time does.
    if attempt.first is not None and attempt.n <= 1:
        rest = attempt.first // SECOND + _AT_WORK - microseconds(access.clock.now()) // SECOND
        if rest > 0:
            return Undecided(reason="Stripe may still be at work on the create", after=float(rest))
    if attempt.first is not None:
        first = attempt.first // SECOND
        made = {"created": {"gte": first - _SLACK, "lte": first + _WINDOW}}
        written = await _marked(access, command, attempt, made)
        if written is None:
            return Absence(reason="no customer made since the first sending carries the link's mark")
        if isinstance(written, Written) or not _unlistable(written):
            return written
    if command.addresses:
        return Absence(reason="no customer with the create's e-mail addresses carries the link's mark")
    reason = "the create had no e-mail address, and the customers made since can't be listed"
    return Undecided(reason=reason, after=3600.0)


async def _marked(
    access: Access, command: Create, attempt: Attempt, params: dict[str, Any]
) -> Written | Trouble | None:
    rows = await listed(access, CUSTOMERS, params, pages=_PAGES)
    if isinstance(rows, Trouble):
        return rows
    for raw, order in rows:
        found = customer(raw)
        if found is None:
            return unreadable()
        if not found.deleted and found.contact().mark == command.aim.link:
            seen = observation(found, raw, order)
            return Written(contact_id=found.id, seen=seen, looked=True, label=attempt.key)
    return None


def _unlistable(trouble: Trouble) -> bool:
    """Whether the list is refused or endless, rather than away for now (localstripe can't filter by time)."""
    return trouble.key in (400, "list_too_long")


def _applied(found: Seen, command: Update | Tag | Untag, attempt: Attempt) -> Written | Stale | Absence:
    seen = Observation(contact_id=found.contact_id, order=found.order, contact=found.contact, object=found.object)
    written = Written(contact_id=found.contact_id, seen=seen, looked=True, label=attempt.key)
    match command:
        case Tag():
            applied = command.tag in found.contact.tags
            return written if applied else Absence(reason=f"the customer doesn't have the tag {command.tag}")
        case Untag():
            applied = command.tag not in found.contact.tags
            return written if applied else Absence(reason=f"the customer still has the tag {command.tag}")
        case Update():
            if _holds(found.contact.fields, command.fields):
                return written
            if _holds(found.contact.fields, command.expected):
                return Absence(reason="the customer's fields still hold what they held before the write")
            return Stale(seen=seen)


def _holds(present: Fields, wanted: Fields) -> bool:
    return all(_same(present.get(path, ()), values) for path, values in wanted.items())


def _same(left: Values, right: Values) -> bool:
    return [_bare(value) for value in left] == [_bare(value) for value in right]


def _bare(value: Value) -> object:
    """A value without what Stripe may change in it: space around it, and the case of an e-mail address."""
    if isinstance(value, Address):
        return tuple(getattr(value, part).strip() for part in PARTS)
    if isinstance(value, str):
        return value.strip().casefold() if "@" in value else value.strip()
    return value
