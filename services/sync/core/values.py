"""Three-way merge per mapping line (P1-P3): what each side shall be told, given what both last agreed on."""

from collections.abc import Mapping

import msgspec

from services.contracts.app import Field
from services.contracts.connection import Direction
from services.contracts.contact import SIDES, Contact, Side, Value, Values
from services.sync.core.doing import is_action
from services.sync.core.mapping import (
    SEPARATOR,
    Config,
    Line,
    agree,
    convert,
    element,
    elements,
    looked_at,
    normal_view,
    observed,
    wanted_values,
)
from services.sync.core.state import Base, Half, Hold, LineWrite, Link, Normal, Refusal, other

UNCHANGED = "neither side changed"
"""Why nothing is to be done on most lines of most decisions."""


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """A line whose value is wanted on `target`."""

    line: Line
    target: Side
    values: Values
    write: LineWrite
    restores: bool = False
    """It puts back what an earlier write of ours overwrote: that side's own value needs nobody's yes."""


class Rebase(msgspec.Struct, frozen=True, kw_only=True):
    """A line on which nothing is written, but both sides count as agreed from here on."""

    line: Line
    base: Base
    reason: str


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """A line on which nothing is to be done."""

    line: Line
    reason: str


def unchanged(line: Line, left: Contact, right: Contact, base: Base) -> bool:
    """Whether both sides hold what they last agreed on: `merge` would let the line rest. Most lines always do."""
    return _holds(left, line.left, base.left, line) and _holds(right, line.right, base.right, line)


def _holds(contact: Contact, field: Field, agreed: Normal, line: Line) -> bool:
    values = contact.fields.get(field.path, ())
    if len(values) == 1 and values[0] == agreed:
        return True  # it stands there in comparable form, which stays as it is when it is made again
    return looked_at(contact, field, whole=line.whole)[1] == agreed


def merge(
    config: Config,
    line: Line,
    left: Contact,
    right: Contact,
    base: Base | None,
    permitted: frozenset[Side] = frozenset(),
    resting: frozenset[Side] = frozenset(),
) -> Want | Rebase | Rest:
    """Decide one line from the present contacts and the base pair. `permitted`: sides that e-mails may flow into.

    Where both sides lack something, one is told after the other: those in `resting`, where this line's value was
    refused or is held, come last.
    """
    values_left, normal_left = looked_at(left, line.left, whole=line.whole)
    values_right, normal_right = looked_at(right, line.right, whole=line.whole)
    here: dict[Side, Values] = {"left": values_left, "right": values_right}
    now = Base(normal_left, normal_right)
    if base == now:
        return Rest(line=line, reason=UNCHANGED)
    if agree(line, here["left"], here["right"], base):
        return Rebase(line=line, base=now, reason="both sides say the same")
    verdict = _first(config, line, now, permitted) if base is None else _later(config, line, now, base)
    if line.merges and not isinstance(verdict, Rebase):
        guarded = frozenset(side for side in SIDES if line.field(side).guarded) - permitted
        return _union(config, line, here, now, base, last=resting | guarded)
    if isinstance(verdict, Rebase | Rest):
        return verdict
    return _want(line, verdict, here["left"], here["right"], now, base)


def _want(line: Line, source: Side, left: Values, right: Values, now: Base, base: Base | None) -> Want | Rebase:
    target = other(source)
    given, present = (left, right) if source == "left" else (right, left)
    cleared = not now.half(source)
    if cleared and line.field(target).type == "email":
        return Rebase(line=line, base=now, reason="clearing an e-mail isn't passed on")
    values = wanted_values(line, target, given, present, base.half(source) if base else "")
    if not values and line.field(target).required:
        return Rebase(line=line, base=now, reason="the other side requires this field: it keeps its value")
    write = LineWrite(now.half(source), normal_view(values, line, target))
    return Want(line=line, target=target, values=values, write=write)


def _one_way_source(line: Line) -> Side | None:
    return None if line.flow == "both" else other(line.flow)


def _first(config: Config, line: Line, now: Base, permitted: frozenset[Side]) -> Side | Rebase | Rest:
    """No base: the winner's value counts, an empty one erases nothing (D7), unequal e-mails stay (B10)."""
    source = _one_way_source(line)
    if now.left and now.right:
        if any(line.field(side).guarded and line.flows_into(side) and side not in permitted for side in SIDES):
            return Rebase(line=line, base=now, reason="unequal e-mails at first pairing: each side keeps its own")
        return source or config.connection.winner
    filled: Side = "left" if now.left else "right"
    if source is not None and source != filled:
        return Rest(line=line, reason="the source has no value yet")
    return filled


def _later(config: Config, line: Line, now: Base, base: Base) -> Side | Rest:
    """With a base: the side that changed counts, the winner where both did (D8)."""
    changed = [side for side in SIDES if now.half(side) != base.half(side)]
    source = _one_way_source(line)
    if source is not None and source not in changed:
        return Rest(line=line, reason="edited on the target of a one-way line: it stays until the source changes")
    if source is not None:
        return source
    return config.connection.winner if len(changed) == len(SIDES) else changed[0]


_OWED, _ENTER, _LEAVE = "\x1d", "\x1d+", "\x1d-"
"""What marks elements in a half of a base pair that are still to be written there; no element begins like that."""


class _Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a line whose elements merge, each in the form in which both sides' elements compare."""

    own: dict[Normal, Value]
    """What it holds now, in its order and spelling."""
    held: frozenset[Normal] = frozenset()
    """What it held when both last agreed."""
    enter: frozenset[Normal] = frozenset()
    """What it is still to be given: the other side was told this side's news first."""
    leave: frozenset[Normal] = frozenset()
    """What is still to go from it."""


class _News(msgspec.Struct, frozen=True, kw_only=True):
    """What the other side did since both last agreed and one side lacks, and what that side shall hold."""

    enter: tuple[Normal, ...]
    leave: tuple[Normal, ...]
    values: dict[Normal, Value]


def _side(line: Line, side: Side, values: Values, base: Base | None) -> _Side:
    texts = [text for text in base.half(side).split(SEPARATOR) if text] if base else []
    return _Side(
        own=elements(values, line, side),
        held=frozenset(element(text, line) for text in texts if not text.startswith(_OWED)),
        enter=frozenset(text.removeprefix(_ENTER) for text in texts if text.startswith(_ENTER)),
        leave=frozenset(text.removeprefix(_LEAVE) for text in texts if text.startswith(_LEAVE)),
    )


def _union(
    config: Config, line: Line, here: Mapping[Side, Values], now: Base, base: Base | None, last: frozenset[Side]
) -> Want | Rebase:
    """Bring together what both sides added and removed (D5); without a base, all they hold was added.

    An element that one side alone held when both last agreed (the other's app dropped it) stays where it is. Where
    both sides lack something, one is written first, and the base that its receipt leaves says what the other is owed.
    """
    winner = config.connection.winner
    sides = _aligned({side: _side(line, side, here[side], base) for side in SIDES})
    news = {side: found for side in SIDES if (found := _news(line, side, sides)) is not None}
    if not news:
        return Rebase(line=line, base=now, reason="what changed on one side isn't for the other")
    both = base is None or len(news) > 1 or any(each.enter or each.leave for each in sides.values())
    lead = {side: next(iter(sides[winner if both else other(side)].own), "") for side in news}
    values = {side: _led(news[side].values, lead[side]) for side in news}
    late = {side for side in news if side in last or too_long(values[side], line.field(side).max_length)}
    target = min(news, key=lambda side: (side in late, side == winner))
    source = now.half(other(target))
    if owed := news.get(other(target)):
        marks = [*(_ENTER + text for text in owed.enter), *(_LEAVE + text for text in owed.leave)]
        source = SEPARATOR.join([*([source] if source else []), *sorted(marks)])
    write = LineWrite(source, normal_view(values[target], line, target))
    return Want(line=line, target=target, values=values[target], write=write)


def _aligned(sides: Mapping[Side, _Side]) -> Mapping[Side, _Side]:
    """Take the one element that an app keeps in another form than it was given for the one it was made from."""
    left, right = sides["left"], sides["right"]
    given, kept = left.held - right.held, right.held - left.held
    if len(given) != 1 or len(kept) != 1 or any(each.enter or each.leave for each in sides.values()):
        return sides
    (one,), (form,) = given, kept
    if one in right.own or form in left.own:
        return sides
    own = {one if key == form else key: value for key, value in right.own.items()}
    return {"left": left, "right": msgspec.structs.replace(right, own=own, held=right.held - kept | given)}


def _news(line: Line, side: Side, sides: Mapping[Side, _Side]) -> _News | None:
    here, there = sides[side], sides[other(side)]
    given, field = line.field(other(side)), line.field(side)
    enter = tuple(key for key in there.own if key not in here.own and (key not in there.held or key in here.enter))
    leave = tuple(
        key
        for key in here.own
        if key not in there.own and (key in here.leave or (key in here.held and key in there.held))
    )
    if field.type == "email" and not there.own:  # clearing an e-mail isn't passed on
        leave = ()
    values = {key: value for key, value in here.own.items() if key not in leave}
    values |= {key: convert(there.own[key], given.type, field.type, None) for key in enter}
    if not (enter or leave) or (field.required and not values):
        return None
    return _News(enter=enter, leave=leave, values=values)


def _led(values: Mapping[Normal, Value], first: Normal) -> Values:
    """Return the values with that element, if it is among them, as the primary one."""
    return (*(values[key] for key in values if key == first), *(values[key] for key in values if key != first))


class Sorted(msgspec.Struct, frozen=True, kw_only=True):
    """What a side is wanted to get, sorted by what may be sent."""

    send: tuple[Want, ...]
    half: Half
    """The half with its holds and refusals brought up to date."""
    held: tuple[str, ...]
    resting: tuple[str, ...]


def sort_wants(
    half: Half, wants: list[Want], undecided: frozenset[str], now: int, *, permitted: bool = False
) -> Sorted:
    """Sort one side's wants: to send, held for a person (B10), refused before (P15) or impossible here (D10)."""
    if not wants and not half.refused and not half.held:
        return Sorted(send=(), half=half, held=(), resting=())
    # Refusals of tags and of rules' actions aren't lines'.
    kept = {key for key in half.refused if key in undecided or key == "untag" or is_action(key)}
    refused = {key: half.refused[key] for key in kept}
    held = {key: hold for key, hold in half.held.items() if key in undecided}
    send, holding, resting = [], [], []
    for want in wants:
        key, field, value = want.line.id, want.line.field(want.target), want.write.wanted
        before = half.refused.get(key)
        reason = too_long(want.values, field.max_length)
        if before is not None and before.value == value:
            refused[key] = before
            resting.append(key)
        elif reason is not None:
            refused[key] = Refusal(value=value, reason=reason)
            resting.append(key)
        elif field.guarded and not permitted and not want.restores and not _approved(half.held.get(key), value):
            hold = half.held.get(key)
            held[key] = hold if hold is not None and hold.value == value else Hold(value=value, since=now)
            holding.append(key)
        else:
            if key in half.held:
                held[key] = half.held[key]
            send.append(want)
    new = msgspec.structs.replace(half, refused=refused, held=held)
    return Sorted(send=tuple(send), half=new, held=tuple(holding), resting=tuple(resting))


def _approved(hold: Hold | None, value: Normal) -> bool:
    return hold is not None and hold.approved and hold.value == value


def too_long(values: Values, limit: int | None) -> str | None:
    """Return why the app can't hold the values, or None."""
    if limit is None:
        return None
    longest = max((len(value) for value in values if isinstance(value, str)), default=0)
    if longest <= limit:
        return None
    return f"{longest} characters are more than the {limit} that the app takes: shorten the value at its source"


def turned(config: Config, link: Link, left: Contact, right: Contact, before: Direction) -> dict[str, Base]:
    """Return the base pairs after a change of direction (PROTOCOL, settled by the model).

    Towards one-way, or reversed: lines that differ are settled as at a first pairing, by the new source.
    Towards two-way: lines that differ lose their base, except those whose target stands on its half: there the
    source's edit that wasn't sent yet still counts.
    """
    kept: dict[str, Base] = {}
    target: Side = "right" if before == "left_to_right" else "left"
    for line in config.lines:
        base = link.base.get(line.id)
        if base is None:
            continue
        values = {"left": observed(left, line, "left"), "right": observed(right, line, "right")}
        if agree(line, values["left"], values["right"], base) or (
            config.connection.direction == "two_way"
            and before != "two_way"
            and normal_view(values[target], line, target) == base.half(target)
        ):
            kept[line.id] = base
    return kept
