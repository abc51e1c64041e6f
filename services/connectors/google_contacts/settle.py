"""What became of a write without an answer: found out by our marks (P4)."""

from services.connectors.google_contacts import body, lookup, write
from services.connectors.google_contacts.client import Client
from services.connectors.google_contacts.label import Labels
from services.connectors.google_contacts.lookup import Recent
from services.connectors.google_contacts.manifest import VISIBLE_AFTER
from services.connectors.google_contacts.person import Person
from services.connectors.google_contacts.write import Writer
from services.contracts.app import Gone, Trouble
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Order
from services.contracts.receipts import Stale, Written
from services.runtime.app import Absence, Attempt, Undecided

_LATER = 60.0
"""Seconds after which a reading that said nothing is tried again."""
_ASK_AGAIN = 180.0
"""Seconds between two questions for a create: each lists contacts, and that quota is small."""


async def settle(
    client: Client, labels: Labels, recent: Recent, command: Write, attempt: Attempt
) -> Written | Stale | Absence | Undecided | Trouble:
    """Return proof that the write was applied, or that it wasn't."""
    writer = Writer(client, labels, recent)
    outcome: Written | Stale | Absence | Undecided | Trouble
    match command:
        case Create():
            outcome = await _create(client, recent, writer, command, attempt)
        case Update():
            outcome = await _update(client, writer, command)
        case Tag() | Untag():
            outcome = await _label(client, writer, command)
    if isinstance(outcome, Trouble) and outcome.key in {400, 403, 404, "failedPrecondition", "no_contact_id"}:
        # A refused reading is no refusal of the write.
        return Undecided(reason=outcome.detail, after=_LATER)
    return outcome


async def _create(
    client: Client, recent: Recent, writer: Writer, command: Create, attempt: Attempt
) -> Written | Undecided | Absence | Trouble:
    """A create is proved by its mark, and disproved once lists and searches must have shown it."""
    for address in command.addresses[:1]:
        hits = await lookup.search(client, recent, address)
        if isinstance(hits, Trouble):
            return hits
        for each, order in hits:
            if each.mark() == command.aim.link:
                return await _made(client, recent, writer, each, order)
    now = round(client.access.clock.now().timestamp() * 1_000_000)
    sent = attempt.first if attempt.first is not None else now
    ours = await lookup.by_mark(client, command.aim.link, sent)
    if isinstance(ours, Trouble):
        return ours
    if ours is not None:
        return await _made(client, recent, writer, *ours)
    rest = VISIBLE_AFTER - (now - sent) / 1_000_000
    if rest <= 0:
        return Absence(reason="the contact isn't there, and would be visible by now")
    return Undecided(reason="Google may show the new contact only later", after=min(rest, _ASK_AGAIN))


async def _made(client: Client, recent: Recent, writer: Writer, each: Person, order: Order) -> Written:
    recent.wrote(client, each.name)
    return Written(contact_id=each.name, seen=await writer.observed(each, order), looked=True)


async def _update(client: Client, writer: Writer, command: Update) -> Written | Stale | Absence | Trouble:
    found = await lookup.look(client, command.contact_id)
    if isinstance(found, Trouble):
        return found
    if isinstance(found, Gone):  # sent anew, it is refused, as the contact is gone
        return Absence(reason="the contact isn't there any more")
    each, order = found
    seen = await writer.observed(each, order)
    if body.is_marked(each.raw, command.aim):
        return Written(contact_id=each.name, seen=seen, looked=True)
    expected = {path: command.expected.get(path, ()) for path in command.fields}
    if each.guard != command.guard and seen is not None and not write.holds(each.raw, expected):
        # Under another etag the write can't be applied any more either.
        return Stale(seen=seen)
    return Absence(reason="the contact doesn't carry this write's mark")


async def _label(client: Client, writer: Writer, command: Tag | Untag) -> Written | Absence | Trouble:
    found = await lookup.look(client, command.contact_id)
    if isinstance(found, Trouble):
        return found
    if isinstance(found, Gone):
        return Absence(reason="the contact isn't there any more")
    seen = await writer.observed(*found)
    if seen is not None and (command.tag in seen.contact.tags) == isinstance(command, Tag):
        return Written(contact_id=seen.contact_id, seen=seen, looked=True)
    return Absence(reason="the contact doesn't have its labels so; setting them twice does no harm")
