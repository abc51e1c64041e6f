"""A link's mapping lines now: both sides' values, and why they differ where they do."""

from services.contracts.contact import SIDES, Contact, Side
from services.sync.control import hold_id
from services.sync.core.actions import ruled
from services.sync.core.mapping import Config, Line, agree, observed
from services.sync.core.rules import Verdict, judge, permits_email
from services.sync.core.state import Link, Record, other
from services.sync.core.values import Rebase, Rest, Want, merge
from services.sync.core.why import values_told
from services.sync.explain.origin import Origins
from services.sync.explain.rehearse import Rehearsal
from services.sync.explain.report import FieldState, FieldTold, ValueTold

_KEPT = "both sides keep what they have since it was decided so; the next change of either counts"
_STATUS = {
    "outside": "no rule takes the contact into the sync: nothing is written",
    "duplicate": "another contact has its address: nothing is written",
    "tombstone": "one of the pair was deleted: nothing is written",
    "ended": "the link has ended: nothing is written",
}


def there_of(link: Link, side: Side) -> bool | None:
    """Return whether that side's contact counts as being on the other side: in a pair it does (B6)."""
    return link.half(side).there is not False if link.paired else link.half(side).there


def fields(config: Config, found: Rehearsal, origins: Origins) -> tuple[FieldTold, ...]:
    """Return every mapping line that is on."""
    contacts = {side: _contact(config, found, side) for side in SIDES}
    told = []
    for line in config.lines:
        state, why = _state(config, found, line, contacts["left"], contacts["right"])
        told.append(
            FieldTold(
                line=line.id,
                flow=line.flow,
                left=_value(line, "left", found, contacts["left"], origins),
                right=_value(line, "right", found, contacts["right"], origins),
                state=state,
                why=why,
            )
        )
    return tuple(told)


def _record(config: Config, found: Rehearsal, side: Side) -> Record | None:
    return found.record(config.account(side), found.link.half(side).contact_id)


def _contact(config: Config, found: Rehearsal, side: Side) -> Contact | None:
    record = _record(config, found, side)
    return None if record is None else record.contact


def _value(line: Line, side: Side, found: Rehearsal, contact: Contact | None, origins: Origins) -> ValueTold:
    base = found.link.base.get(line.id)
    return ValueTold(
        path=line.field(side).path,
        values=() if contact is None else values_told(observed(contact, line, side)),
        agreed=None if base is None else base.half(side).replace("\x1f", " ").replace("\x1e", ", ").strip(),
        origin=None if contact is None else origins.of(line, side, contact),
    )


def _state(
    config: Config, found: Rehearsal, line: Line, left: Contact | None, right: Contact | None
) -> tuple[FieldState, str]:
    after = found.after
    stands = _stands(config, found, line)
    if stands is not None:
        return stands
    if left is None or right is None:
        return "alone", _STATUS["ended"] if found.link.status == "ended" else "it has no partner yet"
    if agree(line, observed(left, line, "left"), observed(right, line, "right"), found.link.base.get(line.id)):
        return "same", "both sides say the same"
    for side in SIDES:
        hold, pending = after.half(side).held.get(line.id), after.half(side).pending
        if hold is not None and not hold.approved:
            id = hold_id(found.link.id, side, line.id)
            return "held", f"into {config.account(side)} it waits for a yes: `contactsync held approve {id}`"
        if pending is not None and line.id in pending.lines:
            return "next", f"it is written to {config.account(side)} with the next decision"
    if after.status in _STATUS:
        return "kept", _STATUS[after.status]
    if after.wait is not None:
        return "waiting", found.next.reason
    return _undecided(config, found, line, left, right)


def _stands(config: Config, found: Rehearsal, line: Line) -> tuple[FieldState, str] | None:
    """Say what stands in the line's way whatever its values are: a write under way, or a value that is refused."""
    for side in SIDES:
        pending = found.link.half(side).pending
        if pending is not None and line.id in pending.lines:
            return "writing", f"a write to {config.account(side)} is under way: the line is decided after its receipt"
    for side in SIDES:
        refusal = found.after.half(side).refused.get(line.id)
        if refusal is not None:
            return "refused", f"{config.account(side)} doesn't take this value: {refusal.reason}"
    return None


def _undecided(config: Config, found: Rehearsal, line: Line, left: Contact, right: Contact) -> tuple[FieldState, str]:
    """Say why nothing is written though both differ and nothing stands in the way."""
    verdicts: dict[Side, Verdict | None] = {}
    for side in SIDES:
        record = _record(config, found, side)
        there = there_of(found.link, side)
        verdicts[side] = None if record is None else judge(config, side, record, there=there)
    rules = {side: () if (verdict := verdicts[other(side)]) is None else verdict.rules for side in SIDES}
    for side in SIDES:
        if line.field(side).path in ruled(found.link.half(side), rules[side]):
            return "kept", f"a rule's text stands in {line.field(side).path} of {config.account(side)}"
    if any(found.after.half(side).stopped is not None for side in SIDES):
        return "held", "it was written too often: `contactsync held list` shows it"
    permitted = frozenset(side for side in SIDES if permits_email(rules[side]))
    match merge(config, line, left, right, found.link.base.get(line.id), permitted):
        case Rest(reason=reason) if reason == "neither side changed":
            return "kept", _KEPT
        case Rest(reason=reason) | Rebase(reason=reason):
            return "kept", reason
        case Want(target=target):
            return "waiting", f"it follows to {config.account(target)} after the write that is under way"
