"""The decision that takes something back: a compensating write, after which both sides count as agreed. Pure."""

from msgspec.structs import replace

from services.contracts.app import TRASH
from services.contracts.commands import Tag, Untag, Update, Version
from services.contracts.contact import Contact, Side
from services.contracts.rule import SetTag, SetText
from services.sync.core.brake import OFTEN, stopped
from services.sync.core.deletion import day_of
from services.sync.core.doing import Acting, Applied, Doable
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config, normal_view, observed
from services.sync.core.overwrite import expecting
from services.sync.core.rules import key_of
from services.sync.core.slice import Slice
from services.sync.core.state import Half, LineWrite, Link, Record, other
from services.sync.core.values import Want
from services.sync.revert.back import Due, Field, Intent, Left, Mark, due
from services.sync.revert.chosen import REVERT


def revert(state: Slice, intent: Intent) -> tuple[Due, Version | None]:
    """Issue the next write that takes the intent back, if one may be; return what was due, and the write's version.

    One write at a time (P1): fields first, then tags. What is still due after it needs another call.
    """
    link, config = state.links.get(intent.link), state.configs.get(intent.connection)
    if link is None:
        return Due(left=(Left(what="contact", why="its pair is over"),)), None
    record = None if config is None else state.record(config, intent.side, link.half(intent.side))
    found = due(config, link, record, intent)
    if state.catching_up:
        why = "the log is being read again after a restore"
        return Due(left=(Left(what="contact", why=why, passing=True),)), None
    if found.nothing or config is None or record is None or record.contact is None:
        return found, None
    if stopped(state, config, link, intent.side) is not None:
        return Due(left=(Left(what="contact", why=OFTEN),)), None
    if found.fields:
        after, lines = _fields(state, config, link, record, record.contact, intent.side, found.fields)
    else:
        mark = None if found.trash else found.marks[0]
        after, lines = _mark(state, config, link, record, record.contact, intent.side, mark), ()
    state.decide(link, after, config, REVERT, "a person took back what contactsync had written", *lines)
    return found, Version(state.incarnation, after.half(intent.side).issued)


def _fields(
    state: Slice, config: Config, link: Link, record: Record, contact: Contact, side: Side, fields: tuple[Field, ...]
) -> tuple[Link, tuple[str, ...]]:
    aim, half = issue(state, config, link, side)
    back = {field.path: field.back for field in fields}
    partner = state.record(config, other(side), link.half(other(side)))
    there = Contact(fields={}) if partner is None or partner.contact is None else partner.contact
    wants = [
        Want(
            line=line,
            target=side,
            values=back[line.field(side).path],
            # Both sides count as agreed on what they hold then: nothing flows back, and a later edit flows again.
            write=LineWrite(
                normal_view(observed(there, line, other(side)), line, other(side)),
                normal_view(observed(Contact(fields=back), line, side), line, side),
            ),
        )
        for line in config.lines
        if line.field(side).path in back
    ]
    command = Update(
        aim=aim,
        contact_id=record.contact_id,
        fields=back,
        expected={path: contact.fields.get(path, ()) for path in back},
        guard=contact.guard,
        object=state.object(record),
    )
    pending = send(state, config, command, {want.line.id: want.write for want in wants})
    half = expecting(config, half, side, aim.version, wants, contact, state.now)
    # An edit that an earlier write of ours overwrote was that side's own: a person has decided otherwise.
    overwritten = {key: kept for key, kept in half.overwritten.items() if key not in pending.lines}
    half = replace(half, pending=pending, overwritten=overwritten)
    for field in fields:
        texts = [value for ours in field.ours[:1] for value in ours if isinstance(value, str)]
        if field.action is not None and texts:
            half = _taken_back(half, field.action, SetText(path=field.path, text=texts[0]), aim.version)
    return link.with_half(side, half), tuple(pending.lines)


def _mark(
    state: Slice, config: Config, link: Link, record: Record, contact: Contact, side: Side, mark: Mark | None
) -> Link:
    """Set or remove a tag; without a mark, the contact gets the trash tag."""
    aim, half = issue(state, config, link, side)
    id, guard, raw = record.contact_id, contact.guard, state.object(record)
    name = TRASH if mark is None else mark.tag
    setting = mark is None or not mark.present
    command: Tag | Untag
    if setting:
        command = Tag(aim=aim, contact_id=id, tag=name, date=day_of(state.now), guard=guard, object=raw)
    else:
        command = Untag(aim=aim, contact_id=id, tag=name, guard=guard, object=raw)
    # Told as an action of its own, that no rule wants: its receipt says nothing about a deletion, and it is forgotten.
    action = SetTag(name=name, present=setting)
    pending = replace(send(state, config, command), doing=Acting(key=key_of(action), action=action, undo=False))
    if mark is not None and mark.action is not None:
        half = _taken_back(half, mark.action, SetTag(name=name, present=mark.present), aim.version)
    elif mark is not None and mark.present:
        half = replace(half, tag="final", tag_order=None)  # it showed a deletion: it isn't set for that one again
    return link.with_half(side, replace(half, pending=pending))


def _taken_back(half: Half, key: str, action: Doable, version: Version) -> Half:
    """Return the half with a rule's action that a person has taken back: it isn't done again."""
    known = half.applied.get(key)
    done = Applied(action=action, undo=False, version=version) if known is None else known
    return replace(half, applied={**half.applied, key: replace(done, final=True)})
