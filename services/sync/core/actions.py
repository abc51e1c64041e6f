"""What rules want done on a contact beside its mapped fields: tags and fixed texts, and their undoing (B8, B9).

An action is a level, like the trash tag: wanted as long as a rule wants it, done once, left alone where somebody else
did it or a person has taken it back.
"""

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from services.contracts.commands import Tag, Untag, Update, Version
from services.contracts.contact import SIDES, Contact, Fields, Side, Values
from services.contracts.receipts import Observation
from services.contracts.rule import PermitEmail, Rule, SetTag, SetText
from services.sync.core.brake import stopped
from services.sync.core.deletion import day_of
from services.sync.core.doing import Acting, Applied, Doable, is_action
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config, normal_text
from services.sync.core.rules import judge, key_of
from services.sync.core.slice import Slice
from services.sync.core.state import Half, Link, Pending, Record, other


def act(
    state: Slice, config: Config, link: Link, side: Side, record: Record, rules: Iterable[Rule]
) -> tuple[Link, str]:
    """Bring that side's contact one step nearer to what the matching rules want done to it.

    `rules` are the other side's that match. Returns the link and what was begun: a sentence, empty if nothing was.
    """
    half, contact = link.half(side), record.contact
    if half.pending is not None or contact is None or not config.connection.writes(side):
        return link, ""
    wanted = _wanted(rules)
    if not wanted and not half.applied and not any(is_action(key) for key in half.refused):
        return link, ""
    applied = {
        key: replace(_noticed(each, record, contact), undo=wanted[key][1] if key in wanted else each.undo)
        for key, each in half.applied.items()
    }
    over = {key for key, each in applied.items() if key not in wanted and not _to_undo(each, contact)}
    half = replace(
        half,
        applied={key: each for key, each in applied.items() if key not in over},
        refused={
            key: each for key, each in half.refused.items() if not is_action(key) or key in wanted or key in applied
        },
    )
    link = link.with_half(side, half)
    still = stopped(state, config, link, side) is not None
    for key, each in sorted(half.applied.items()):
        if key not in wanted and not _resting(half, key, each.action) and not still:
            if _passed_on(state, link, record, key, each):
                half = replace(half, applied={name: one for name, one in half.applied.items() if name != key})
                link = link.with_half(side, half)
                continue
            doing = Acting(key=key, action=each.action, undo=each.undo, replaced=each.replaced, undoes=True)
            return _begun(state, config, link, side, record, contact, doing), f"no rule wants {key} any more: undone"
    for key, (action, undo) in sorted(wanted.items()):
        known = half.applied.get(key)
        done = known.final or known.action == action if known is not None else _stands(action, contact)
        if done or _resting(half, key, action) or still:
            continue  # where somebody else did it, it isn't ours to take back
        replaced = known.replaced if known is not None else _present(action, contact)
        doing = Acting(key=key, action=action, undo=undo, replaced=replaced)
        return _begun(state, config, link, side, record, contact, doing), f"a rule wants {key}"
    return link, ""


def _wanted(rules: Iterable[Rule]) -> dict[str, tuple[Doable, bool]]:
    """Return what the rules want by key, and whether one of them wants it undone some day."""
    wanted: dict[str, tuple[Doable, bool]] = {}
    for rule in rules:
        for action in rule.actions:
            if not isinstance(action, PermitEmail):
                key = key_of(action)
                wanted[key] = action, rule.undo or (key in wanted and wanted[key][1])
    return wanted


def ruled(half: Half, rules: Iterable[Rule]) -> frozenset[str]:
    """Return the paths in which a rule's text stands or is wanted: no mapping line reads or writes them meanwhile."""
    doing = None if half.pending is None else half.pending.doing
    texts = [each.action for each in half.applied.values()] + ([] if doing is None else [doing.action])
    texts += [action for action, _ in _wanted(rules).values()]
    return frozenset(each.path for each in texts if isinstance(each, SetText))


def returned(link: Link, left: Record, right: Record) -> Link:
    """Return the link of a contact that is back: what our actions did to it went with it, and is done anew."""
    link = replace(link, counted=None, number=0)
    for side, contact in (("left", left.contact), ("right", right.contact)):
        on: Side = "left" if side == "left" else "right"
        half = link.half(on)
        standing = {
            key: each
            for key, each in half.applied.items()
            if contact is None or each.final or _stands(each.action, contact)
        }
        link = link.with_half(on, replace(half, applied=standing))
    return link


def noticed_text(half: Half, version: Version, prior: Fields) -> Half:
    """Return the half after the echo of the write `version`, which shows what stood where a rule put its text (P14)."""
    applied = {
        key: replace(each, replaced=_stood(each.action, prior, each.replaced)) if each.version == version else each
        for key, each in half.applied.items()
    }
    pending = half.pending
    if pending is not None and pending.doing is not None and pending.version == version and not pending.doing.undoes:
        doing = pending.doing
        pending = replace(pending, doing=replace(doing, replaced=_stood(doing.action, prior, doing.replaced)))
    return replace(half, applied=applied, pending=pending)


def _stood(action: Doable, prior: Fields, replaced: Values) -> Values:
    return prior.get(action.path, replaced) if isinstance(action, SetText) else replaced


def _passed_on(state: Slice, link: Link, record: Record, key: str, done: Applied) -> bool:
    """Leave what was done to another link of ours to the same contact that wants it, if there is one."""
    for another in state.links_of(record):
        theirs = state.configs[another.connection]
        for on in SIDES:
            same = another.half(on).contact_id == record.contact_id and theirs.account(on) == record.account
            partner = state.record(theirs, other(on), another.half(other(on)))
            if another.id == link.id or another.status != "active" or not same or partner is None:
                continue
            there = another.half(other(on)).there is not False
            wanted = _wanted(judge(theirs, other(on), partner, there=there).rules)
            if wanted.get(key, (None, False))[0] == done.action:
                half = another.half(on)
                kept = replace(done, undo=wanted[key][1])
                state.put_link(another.with_half(on, replace(half, applied={**half.applied, key: kept})))
                return True
    return False


def acted(half: Half, pending: Pending, doing: Acting, seen: Observation | None, *, changed: bool) -> Half:
    """Return the half once the action is in the app. `changed`: by us, it didn't stand there before."""
    applied = {key: each for key, each in half.applied.items() if key != doing.key}
    if changed and not doing.undoes:
        order = None if seen is None else seen.order
        applied[doing.key] = Applied(
            action=doing.action, undo=doing.undo, version=pending.version, replaced=doing.replaced, order=order
        )
    return replace(half, applied=applied)


def _noticed(applied: Applied, record: Record, contact: Contact) -> Applied:
    """A person who takes an action back has the last word."""
    newer = applied.order is None or record.order.later_than(applied.order)
    return replace(applied, final=applied.final or (newer and not _stands(applied.action, contact)))


def _to_undo(applied: Applied, contact: Contact) -> bool:
    return applied.undo and not applied.final and _stands(applied.action, contact)


def _stands(action: Doable, contact: Contact) -> bool:
    """Whether the contact is as the action leaves it."""
    match action:
        case SetTag(name=name, present=present):
            return (name in contact.tags) == present
        case SetText(text=text):
            return _plain(_present(action, contact)) == _plain((text,))
        case _:
            assert_never(action)


def _present(action: Doable, contact: Contact) -> Values:
    return contact.fields.get(action.path, ()) if isinstance(action, SetText) else ()


def _plain(values: Values) -> list[str]:
    return [normal_text(value, "text") for value in values if isinstance(value, str)]


def _resting(half: Half, key: str, action: Doable) -> bool:
    """Whether the app has refused just this (P15)."""
    refusal = half.refused.get(key)
    return refusal is not None and refusal.value == value_of(action)


def value_of(action: Doable) -> str:
    """Return what tells an action from another of the same key."""
    return action.text if isinstance(action, SetText) else ""


def _begun(
    state: Slice, config: Config, link: Link, side: Side, record: Record, contact: Contact, doing: Acting
) -> Link:
    aim, half = issue(state, config, link, side)
    id, guard, raw = record.contact_id, contact.guard, state.object(record)
    command: Tag | Untag | Update
    match doing.action:
        case SetTag(name=name, present=present) if present != doing.undoes:
            command = Tag(aim=aim, contact_id=id, tag=name, date=day_of(state.now), guard=guard, object=raw)
        case SetTag(name=name):
            command = Untag(aim=aim, contact_id=id, tag=name, guard=guard, object=raw)
        case SetText(path=path, text=text):
            values: Values = doing.replaced if doing.undoes else (text,)
            expected = {path: contact.fields.get(path, ())}
            command = Update(aim=aim, contact_id=id, fields={path: values}, expected=expected, guard=guard, object=raw)
        case _:
            assert_never(doing.action)
    pending = replace(send(state, config, command), doing=doing)
    return link.with_half(side, replace(half, pending=pending))
