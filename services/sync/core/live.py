"""A pair whose contacts are both there: values in step, actions done, or out of the sync (P1-P3, B7-B10)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.contracts.app import UNSUBSCRIBES
from services.contracts.commands import Update
from services.contracts.contact import SIDES, Contact, Fields, Side
from services.contracts.rule import Rule, SetTag
from services.sync.core.actions import act, returned, ruled
from services.sync.core.brake import OFTEN, stopped
from services.sync.core.deletion import untag
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config
from services.sync.core.overwrite import expecting, forgotten, restoring
from services.sync.core.rules import Verdict, judge, permits_email
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Link, Record, other
from services.sync.core.values import UNCHANGED, Rebase, Want, merge, sort_wants, unchanged


@dataclass(frozen=True, kw_only=True)
class _Ruled:
    """What the rules that match a pair say of one side."""

    rules: tuple[Rule, ...]
    """Those of the other side that match: their actions are done here."""
    permits: bool
    """Whether changed e-mail addresses may flow here."""
    texts: frozenset[str]
    """Paths in which a rule's text stands or is wanted: no mapping line reads or writes them."""


def live(state: Slice, config: Config, link: Link, left: Record, right: Record) -> None:
    """Bring the values of two live contacts in step, and do what the rules want done to them."""
    before = link
    taken: dict[Side, Verdict] = {
        "left": judge(config, "left", left, there=link.left.there is not False),
        "right": judge(config, "right", right, there=link.right.there is not False),
    }
    if not (taken["left"].holds or taken["right"].holds):
        _leave(state, config, link, left, right, f"{taken['left'].why}; {taken['right'].why}")
        return
    if link.status == "tombstone":
        link = returned(link, left, right)
    link = clear(replace(link, status="active"))
    for side in SIDES:
        link, issued = untag(state, config, link, side)
        if issued:
            state.decide(before, link, config, "untag", "the deleted contact is back: our tag goes")
            return
    if left.contact is None or right.contact is None:
        return
    ruling: dict[Side, _Ruled] = {}
    for side in SIDES:
        rules = taken[other(side)].rules + _unsubscribed(config, side, right if side == "left" else left)
        ruling[side] = _Ruled(rules=rules, permits=permits_email(rules), texts=ruled(link.half(side), rules))
    link, merged = _merge_lines(config, link, left.contact, right.contact, ruling)
    for side, record in (("left", left), ("right", right)):
        on: Side = "left" if side == "left" else "right"
        link = _bring(state, config, link, on, record, ruling[on], merged)
    reason = _reason(merged.outcome, merged.notes, link)
    state.decide(before, link, config, "+".join(dict.fromkeys(merged.outcome)) or "nothing", reason, *merged.lines)


def _unsubscribed(config: Config, side: Side, partner: Record) -> tuple[Rule, ...]:
    """An unsubscribe is shown by a tag for as long as it stands, as a rule with undo would (E7)."""
    if partner.contact is None or not partner.contact.unsubscribed or not config.tags_unsubscribes_on(side):
        return ()
    return (Rule(source=other(side), actions=(SetTag(name=UNSUBSCRIBES),), undo=True),)


@dataclass(frozen=True, kw_only=True)
class _Merged:
    """What the mapping lines come to, and what is told of the decision."""

    wants: dict[Side, list[Want]]
    undecided: frozenset[str]
    """Lines with an unsettled write on either side (P1)."""
    notes: list[str]
    outcome: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def _bring(
    state: Slice, config: Config, link: Link, side: Side, record: Record, rules: _Ruled, merged: _Merged
) -> Link:
    """Send one side what it lacks, values before actions (P1: one write at a time)."""
    half, wants = link.half(side), merged.wants[side]
    lines = frozenset(want.line.id for want in wants) | merged.undecided
    chosen = sort_wants(half, wants, lines, state.now, permitted=rules.permits)
    link = link.with_half(side, chosen.half)
    if chosen.held:
        merged.outcome.append("hold")
        merged.lines.extend(chosen.held)
    if chosen.resting:
        merged.outcome.append("refused")
        merged.lines.extend(chosen.resting)
    still = stopped(state, config, link, side) if chosen.send and half.pending is None else None
    if still is not None:
        link = still
        merged.outcome.append("held")
        merged.notes.append(OFTEN)
        merged.lines.extend(want.line.id for want in chosen.send)
        return link
    if chosen.send and half.pending is None and record.contact is not None:
        link = _issue_update(state, config, link, side, list(chosen.send), record, record.contact)
        merged.outcome.append("update")
        merged.lines.extend(want.line.id for want in chosen.send)
    elif chosen.send:
        merged.outcome.append("later")
    link, begun = act(state, config, link, side, record, rules.rules)
    if begun:
        merged.outcome.append("act")
        merged.notes.append(begun)
    return link


def _leave(state: Slice, config: Config, link: Link, left: Record, right: Record, why: str) -> None:
    """No rule takes the pair any more: what our actions did is undone, and after that nothing is written (B7, B9)."""
    before = link
    for side, record in (("left", left), ("right", right)):
        on: Side = "left" if side == "left" else "right"
        link, begun = act(state, config, link, on, record, ())
        link = link.with_half(on, replace(link.half(on), held={}))
        if begun:
            state.decide(before, clear(replace(link, status="outside")), config, "act", f"{why}; {begun}")
            return
    state.decide(before, clear(replace(link, status="outside")), config, "outside", why)


def _reason(outcome: list[str], notes: list[str], link: Link) -> str:
    told = {
        "update": "the other side changed since both last agreed",
        "hold": "a changed e-mail waits for a person's yes",
        "refused": "the other app refused this value before: it rests until it changes",
        "later": "a write to that side is under way: this follows its receipt",
    }
    reasons = [told[code] for code in dict.fromkeys(outcome) if code in told]
    if not reasons and link.unsettled:
        reasons = ["a write is under way: its lines are decided when it is settled"]
    return "; ".join([*reasons, *notes]) or "both sides hold what they last agreed on"


def _merge_lines(
    config: Config, link: Link, left: Contact, right: Contact, ruling: Mapping[Side, _Ruled]
) -> tuple[Link, _Merged]:
    """Decide every line without an unsettled write (P1), save those in whose fields a rule's text stands."""
    pending = [half.pending for half in (link.left, link.right) if half.pending is not None]
    undecided = frozenset(key for write in pending for key in write.lines)
    wanted: dict[Side, list[Want]] = {"left": [], "right": []}
    base = {line.id: link.base[line.id] for line in config.lines if line.id in link.base}
    notes: list[str] = []
    permitted = frozenset(side for side in SIDES if ruling[side].permits)
    texts = {side: ruling[side].texts for side in SIDES}
    remembers = bool(link.left.overwritten or link.right.overwritten)
    for line in config.lines:
        if line.id in undecided or line.left.path in texts["left"] or line.right.path in texts["right"]:
            continue
        restored = restoring(link, line, left, right) if remembers else None
        if isinstance(restored, Want):
            wanted[restored.target].append(restored)
            notes.append(f"{line.id}: an edit that our own write overwrote is put back")
            continue
        if restored is not None:
            link = link.with_half(restored, forgotten(link.half(restored), line.id))
        agreed = base.get(line.id)
        if agreed is not None and unchanged(line, left, right, agreed):
            continue
        verdict = merge(config, line, left, right, agreed, permitted)
        if isinstance(verdict, Want):
            wanted[verdict.target].append(verdict)
        elif isinstance(verdict, Rebase):
            base[line.id] = verdict.base
            if verdict.reason != "both sides say the same":
                notes.append(f"{line.id}: {verdict.reason}")
        elif verdict.reason != UNCHANGED:
            notes.append(f"{line.id}: {verdict.reason}")
    return replace(link, base=base), _Merged(wants=wanted, undecided=undecided, notes=notes)


def _issue_update(
    state: Slice, config: Config, link: Link, side: Side, wants: list[Want], record: Record, contact: Contact
) -> Link:
    fields: Fields = {want.line.field(side).path: want.values for want in wants}
    aim, half = issue(state, config, link, side)
    command = Update(
        aim=aim,
        contact_id=record.contact_id,
        fields=fields,
        expected={path: contact.fields.get(path, ()) for path in fields},
        guard=contact.guard,
        object=state.object(record),
    )
    lines = {want.line.id: want.write for want in wants}
    pending = send(state, config, command, lines, tuple(want.line.id for want in wants if want.restores))
    half = expecting(config, half, side, aim.version, wants, contact, state.now)
    return link.with_half(side, replace(half, pending=pending))
