"""The step: from what is known of a link to what is to be done about it, now. Total, and without any effect."""

from msgspec.structs import replace

from services.contracts.commands import Update
from services.contracts.contact import SIDES, Contact, Fields, Side
from services.sync.core.actions import act
from services.sync.core.deletion import gone, untag
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config
from services.sync.core.overwrite import expecting, forgotten, restoring
from services.sync.core.pairing import pair
from services.sync.core.rules import judge, permits_email
from services.sync.core.slice import OlderConfigError, Slice, clear
from services.sync.core.state import Half, Link, Record, other
from services.sync.core.values import Rebase, Want, merge, sort_wants, turned


def step(state: Slice, link_id: str) -> None:
    """Decide what is to be done about a link, from what the slice knows.

    Puts the link's new state, commands and one decision into the slice. Raises `OlderConfigError` if the link
    was decided under a newer config than the slice holds (P11).
    """
    _step(state, link_id)
    link = state.links[link_id]
    if not _reserves(state, link):
        state.release(link)


def _reserves(state: Slice, link: Link) -> bool:
    """Whether the link may keep addresses reserved: it asks, creates, or what it made hasn't been seen yet (P8)."""
    if link.wait is not None and link.wait.reason == "find":
        return True
    config = state.configs.get(link.connection)
    return config is not None and any(
        half.attempted
        or half.pending is not None
        or (half.contact_id is not None and _unseen(state.record(config, side, half)))
        for side, half in _halves(link)
    )


def _halves(link: Link) -> tuple[tuple[Side, Half], tuple[Side, Half]]:
    return ("left", link.left), ("right", link.right)


def _unseen(record: Record | None) -> bool:
    return record is None or (record.contact is None and not record.deleted)


def _step(state: Slice, link_id: str) -> None:
    link = state.links[link_id]
    config = state.configs.get(link.connection)
    if link.status == "ended" or config is None or config.removed:
        return
    if link.config_version > config.version:
        raise OlderConfigError(link.connection)
    if config.paused:
        state.decide(link, state.waiting(link, "paused", link.connection), config, "wait", "the connection is paused")
        return
    records = {side: state.record(config, side, link.half(side)) for side in SIDES}
    for side, doubted in records.items():
        contact_id = link.half(side).contact_id
        if contact_id is not None and _in_doubt(doubted):
            waiting = state.waiting(link, "look", contact_id)
            reason = "the contact is being looked at: what is known of it is in doubt"
            state.decide(link, waiting, config, "wait", reason)
            return
    turn(state, config, link)
    link = state.links[link_id]
    if link.direction != config.connection.direction:
        waiting = state.waiting(link, "config", link.connection)
        state.decide(link, waiting, config, "wait", "the new direction waits until the write under way is settled")
        return
    left, right = records["left"], records["right"]
    if left is None or right is None:
        pair(state, config, link)
        survivor = state.links[state.links[link_id].alias_of or link_id]
        if survivor.status == "active" and survivor.paired:
            step(state, survivor.id)
        return
    if left.deleted or right.deleted:
        gone(state, config, link, left, right)
        moved = state.links[link_id]
        if _contacts(moved) != _contacts(link) and moved.status == "active" and moved.wait is None and moved.paired:
            step(state, link_id)
        return
    _live(state, config, link, left, right)


def _contacts(link: Link) -> tuple[str | None, str | None]:
    return link.left.contact_id, link.right.contact_id


def _in_doubt(record: Record | None) -> bool:
    """Whether the contact has to be read before anything is decided about it."""
    return record is None or record.looking is not None or _unseen(record)


def turn(state: Slice, config: Config, link: Link) -> None:
    """Let a link take over a changed direction, unless a write is under way or a contact in doubt (P11).

    It must happen before an observation is folded that comes after the change: that one counts as later.
    """
    if link.direction == config.connection.direction or link.unsettled or config.paused or config.removed:
        return
    left, right = state.record(config, "left", link.left), state.record(config, "right", link.right)
    if any(record is not None and record.looking is not None for record in (left, right)):
        return
    base = link.base
    if left is not None and right is not None and left.contact is not None and right.contact is not None:
        base = turned(config, link, left.contact, right.contact, link.direction)
    state.put_link(replace(link, direction=config.connection.direction, base=base))


def _live(state: Slice, config: Config, link: Link, left: Record, right: Record) -> None:
    """Both contacts are there: bring their values in step, and do what the rules want done to them."""
    before = link
    there = link.there is not False
    taken = {
        "left": judge(config, "left", left, there=there),
        "right": judge(config, "right", right, there=there),
    }
    if not (taken["left"].holds or taken["right"].holds):
        _leave(state, config, link, left, right, f"{taken['left'].why}; {taken['right'].why}")
        return
    link = clear(replace(link, status="active"))
    for side in SIDES:
        link, issued = untag(state, config, link, side)
        if issued:
            state.decide(before, link, config, "untag", "the deleted contact is back: our tag goes")
            return
    if left.contact is None or right.contact is None:
        return
    permitted = frozenset(side for side in SIDES if permits_email(taken[other(side)].rules))
    link, wants, undecided, notes = _merge_lines(config, link, left.contact, right.contact, permitted)
    outcome: list[str] = []
    lines: list[str] = []
    for side in SIDES:
        record, half = (left, link.left) if side == "left" else (right, link.right)
        lines_now = frozenset(want.line.id for want in wants[side]) | undecided
        chosen = sort_wants(half, wants[side], lines_now, state.now, permitted=side in permitted)
        link = link.with_half(side, chosen.half)
        if chosen.held:
            outcome.append("hold")
            lines += chosen.held
        if chosen.resting:
            outcome.append("refused")
            lines += chosen.resting
        if chosen.send and half.pending is None and record.contact is not None:
            link = _issue_update(state, config, link, side, list(chosen.send), record, record.contact)
            outcome.append("update")
            lines += [want.line.id for want in chosen.send]
        elif chosen.send:
            outcome.append("later")
        link, begun = act(state, config, link, side, record, taken[other(side)].rules)
        if begun:
            outcome.append("act")
            notes.append(begun)
    reason = _reason(outcome, notes, link)
    state.decide(before, link, config, "+".join(dict.fromkeys(outcome)) or "nothing", reason, *lines)
    if not before.base:
        _report_twins(state, config, left, right)


def _leave(state: Slice, config: Config, link: Link, left: Record, right: Record, why: str) -> None:
    """No rule takes the pair any more: what our actions did is undone, and after that nothing is written (B7, B9)."""
    before = link
    for side, record in (("left", left), ("right", right)):
        on: Side = "left" if side == "left" else "right"
        link, begun = act(state, config, link, on, record, ())
        if begun:
            state.decide(before, link, config, "act", f"{why}; {begun}")
            return
        link = link.with_half(on, replace(link.half(on), held={}))
    state.decide(before, clear(replace(link, status="outside")), config, "outside", why)


def _report_twins(state: Slice, config: Config, left: Record, right: Record) -> None:
    """A pair is new: contacts that stood outside and share an address with it are duplicates now (C4)."""
    for side, record in (("left", left), ("right", right)):
        for twin in state.sharing(record.account, record.addresses, but=record.contact_id):
            link = state.link_of(config, "left" if side == "left" else "right", twin.contact_id)
            if link is not None and link.status == "outside":
                step(state, link.id)


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
    config: Config, link: Link, left: Contact, right: Contact, permitted: frozenset[Side]
) -> tuple[Link, dict[Side, list[Want]], frozenset[str], list[str]]:
    """Decide every line without an unsettled write (P1). Returns the link, wants, lines not decided, notes."""
    pending = [half.pending for half in (link.left, link.right) if half.pending is not None]
    undecided = frozenset(key for write in pending for key in write.lines)
    wanted: dict[Side, list[Want]] = {"left": [], "right": []}
    base = {line.id: link.base[line.id] for line in config.lines if line.id in link.base}
    notes: list[str] = []
    for line in config.lines:
        if line.id in undecided:
            continue
        restored = restoring(link, line, left, right, base.get(line.id))
        if isinstance(restored, Want):
            wanted[restored.target].append(restored)
            notes.append(f"{line.id}: an edit that our own write overwrote is put back")
            continue
        if restored is not None:
            link = link.with_half(restored, forgotten(link.half(restored), line.id))
        verdict = merge(config, line, left, right, base.get(line.id), permitted)
        if isinstance(verdict, Want):
            wanted[verdict.target].append(verdict)
        elif isinstance(verdict, Rebase):
            base[line.id] = verdict.base
            if verdict.reason != "both sides say the same":
                notes.append(f"{line.id}: {verdict.reason}")
        elif verdict.reason != "neither side changed":
            notes.append(f"{line.id}: {verdict.reason}")
    return replace(link, base=base), wanted, undecided, notes


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
