"""An explanation on the terminal: indented lines that wrap where the terminal is narrow, plain text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from services.cli.output import age, say, visible
from services.sync.core.why import Ruling
from services.sync.explain.report import (
    DecisionTold,
    Entry,
    Explanation,
    FieldTold,
    NextTold,
    Provenance,
    SideTold,
    ValueTold,
)

_ARROWS = {"two_way": "<->", "left_to_right": "->", "right_to_left": "<-"}
_FLOWS = {"both": "<->", "right": "->", "left": "<-"}
_MARKS = {True: "✓", False: "✗", None: "?"}
_CONTACTS = {
    "none": "no contact",
    "unread": "not read yet",
    "doubtful": "being read: what is known is in doubt",
    "live": "there",
    "deleted": "deleted",
}


def show(told: Explanation, attempts: Sequence[str]) -> None:
    """Print one link's explanation. `attempts`: what the connectors say of its writes."""
    names = (told.left.contact or "nobody", _ARROWS[told.direction], told.right.contact or "nobody")
    _line(0, f"{told.connection}: {' '.join(names)}", style="bold")
    paused = " The connection is paused." if told.paused else ""
    _line(2, f"{told.told[:1].upper()}{told.told[1:]}.{paused} Link {told.link}.")
    _waits(told)
    _heading("Now")
    for side in (told.left, told.right):
        _side(side, told.at)
    for attempt in attempts:
        _line(2, attempt)
    _fields(told)
    _heading("Rules")
    for each in told.rules:
        _ruling(each, told)
    _heading("Next")
    _next(told.next)
    _heading("What happened (UTC)")
    _story(told)


def _waits(told: Explanation) -> None:
    wait = told.wait
    if wait is None:
        return
    until = f", until {_time(wait.until)} UTC at the latest" if wait.until is not None else ""
    _line(2, f"Waiting for {wait.reason} {wait.on}".rstrip() + f" since {age(told.at - wait.since)}{until}.")
    if wait.next_step:
        _line(4, f"→ {wait.next_step}")


def _side(side: SideTold, now: datetime) -> None:
    contact = f"{side.contact}: " if side.contact else ""
    _line(2, f"{side.account} ({side.app}): {contact}{_CONTACTS[side.state]}")
    for tag in side.tags:
        _line(4, f"tag {tag.name}: {tag.told}")
    if side.write is not None:
        write = side.write
        what = f" of {', '.join(write.lines)}" if write.lines else f" ({write.action})" if write.action else ""
        _line(4, f"a write is under way since {age(now - write.decided)}: {write.kind} {write.version}{what}")
        if write.unknown:
            _line(6, f"whether it was done isn't known: {write.unknown}")
        _line(6, f"→ {write.next_step}")
    for held in side.held:
        value = f" becomes {held.value}" if held.value is not None else " wait: it was written too often"
        word = "approved" if held.approved else f"held since {age(now - held.since)}"
        _line(4, f"{held.what}{value}: {word}")
        _line(6, f"→ {held.next_step}")
    for refused in side.refused:
        _line(4, f"{refused.what} was refused: {refused.reason}")
        _line(6, f"→ {refused.next_step}")


def _fields(told: Explanation) -> None:
    if not told.fields:
        return
    _heading("Fields")
    empty = [each.line for each in told.fields if _says_nothing(each)]
    for field in told.fields:
        if field.line not in empty:
            _field(field, told)
    if empty:
        _line(2, f"empty, and always were: {', '.join(empty)}")


def _says_nothing(field: FieldTold) -> bool:
    sides = (field.left, field.right)
    return field.state in ("same", "alone") and not any(each.values or each.origin for each in sides)


def _field(field: FieldTold, told: Explanation) -> None:
    _line(2, f"{field.line} ({_FLOWS[field.flow]}): {field.why}", style=None if field.state == "same" else "yellow")
    for side, value in ((told.left, field.left), (told.right, field.right)):
        if side.contact is not None:
            _value(side.account, value)


def _value(account: str, value: ValueTold) -> None:
    _line(4, f"{account} {value.path}: {', '.join(value.values) or '(empty)'}")
    if value.origin is not None:
        _line(6, _origin(value.origin), style="dim")


def _origin(origin: Provenance) -> str:
    told = origin.told
    if origin.write is not None:
        told += f", write {origin.write}"
    if origin.at is not None:
        told += f", {_time(origin.at)} UTC"
    event = "" if origin.event is None or _is_derived(origin.event) else origin.event
    source = f"{origin.via or ''} {event}".strip()
    if source:
        told += f" ({'after ' if origin.by == 'contactsync' else ''}{source})"
    return told


def _is_derived(id: str) -> bool:
    """Whether an id is one that we made: it says nothing to a person."""
    try:
        UUID(id)
    except ValueError:
        return False
    return True


def _ruling(ruling: Ruling, told: Explanation) -> None:
    account = (told.left if ruling.side == "left" else told.right).account
    verdict = {True: "taken into the sync", False: "not taken into the sync", None: "not decided yet"}[ruling.holds]
    _line(2, f"{account}'s contact: {verdict}")
    if not ruling.rules:
        _line(4, ruling.why)
    for rule in ruling.rules:
        then = (
            f"; then {', '.join(rule.actions)}{' (undone when it ends)' if rule.undo else ''}" if rule.actions else ""
        )
        every = "takes every contact of this side" if not rule.grounds else "all of these have to hold"
        _line(4, f"{_MARKS[rule.holds]} rule {rule.number}: {every}{then}")
        for ground in rule.grounds:
            _line(6, f"{_MARKS[ground.holds]} {ground.condition} — {ground.found}")


def _next(told: NextTold) -> None:
    _line(2, f"If it were reconsidered now: {told.outcome}, {told.reason}")
    for command in told.commands:
        what = command.tag or command.contact or ""
        _line(4, f"{command.kind} {what}".rstrip() + f" in {command.account}")
        for change in command.changes:
            before, after = (", ".join(values) or "(empty)" for values in (change.before, change.after))
            _line(6, f"{change.field}: {before} → {after}")


def _story(told: Explanation) -> None:
    if told.left_out or told.more:
        count = f"{told.left_out} or more" if told.more else str(told.left_out)
        _line(2, f"({count} earlier entries are left out: --limit and --since show them)", style="dim")
    if not told.timeline and not told.left_out:
        _line(2, "nothing: the journal has no entry about it")
    for entry in told.timeline:
        _entry(entry)


def _entry(entry: Entry) -> None:
    _line(2, f"{_time(entry.at)}  {entry.told}")
    if entry.cause and entry.input != "person" and not _is_derived(entry.cause):
        _line(6, entry.cause, style="dim")
    for decision in entry.decisions:
        _decision(decision)


def _decision(decision: DecisionTold) -> None:
    lines = f" [{', '.join(decision.lines)}]" if decision.lines else ""
    _line(6, f"→ {decision.outcome}{lines}: {decision.reason}")
    for write in decision.writes:
        what = f" of {', '.join(write.lines)}" if write.lines else f" ({write.action})" if write.action else ""
        answer = "no answer yet" if write.answer is None else write.answer
        when = "" if write.answered is None else f" {_time(write.answered)}"
        _line(8, f"sent: {write.kind} {write.version} to {write.account}{what}: {answer}{when}")


def _heading(text: str) -> None:
    say("")
    _line(0, text, style="bold")


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _line(indent: int, text: str, *, style: str | None = None) -> None:
    """Print a line; what is long goes on under its own beginning. Nothing in it is taken for markup."""
    shown = visible(text)
    if sys.stdout.isatty():
        Console(highlight=False).print(Padding(Text(shown, style=style or ""), (0, 0, 0, indent), expand=False))
    else:
        say(f"{' ' * indent}{shown}")
