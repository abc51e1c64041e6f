"""Three-way merge per mapping line (P1-P3): what each side shall be told, given what both last agreed on."""

import msgspec

from services.contracts.connection import Direction
from services.contracts.contact import SIDES, Contact, Side, Values
from services.sync.core.mapping import Config, Line, agree, normal_view, observed, wanted_values
from services.sync.core.state import Base, Half, Hold, LineWrite, Link, Normal, Refusal, is_action, other


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


def merge(
    config: Config,
    line: Line,
    left: Contact,
    right: Contact,
    base: Base | None,
    permitted: frozenset[Side] = frozenset(),
) -> Want | Rebase | Rest:
    """Decide one line from the present contacts and the base pair. `permitted`: sides that e-mails may flow into."""
    here = {"left": observed(left, line, "left"), "right": observed(right, line, "right")}
    now = Base(normal_view(here["left"], line, "left"), normal_view(here["right"], line, "right"))
    if base == now:
        return Rest(line=line, reason="neither side changed")
    if agree(line, here["left"], here["right"], base):
        return Rebase(line=line, base=now, reason="both sides say the same")
    verdict = _first(config, line, now, permitted) if base is None else _later(config, line, now, base)
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
