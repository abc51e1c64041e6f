"""Which way a line of one's own can go: the connection, its own direction, the types, what may be written (D2, D6)."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.app import Field, Manifest
from services.contracts.connection import Direction
from services.contracts.contact import SIDES, Side
from services.runtime.registry.converts import KINDS, converts
from services.runtime.registry.pair import INTO, OTHER, Pair
from services.runtime.registry.places import PARTS, RESERVED
from services.runtime.registry.problem import Mark, Report, quoted


def unmappable(manifest: Manifest, path: str, written: str, told: str) -> tuple[str, str] | None:
    """Say why a path that a rule may ask for can't be mapped, and what to write; None if it can, or isn't there."""
    custom = manifest.custom
    if custom and path.startswith(custom.prefix):
        key = path.removeprefix(custom.prefix)
        if key in custom.reserved:
            tag = " a tag that it sets and removes itself" if key in RESERVED else " what it keeps of its own"
            return (
                f"{told} can't map {quoted(written)}: that key is contactsync's,{tag}",
                f"Write another {custom.title}, as `{custom.prefix}KEY`.",
            )
        return None
    head, dot, part = path.partition(".")
    field = manifest.field(head)
    if field and dot and part in PARTS.get(field.type, ()):
        return (
            f"{quoted(written)} of {told} is a part of a field: fields are mapped whole",
            f"Write `{head}`.",
        )
    return None


def flow(
    report: Report,
    mark: Mark,
    pair: Pair,
    goes: Direction,
    direction: Direction | None,
    fields: Mapping[Side, Field],
    written: Mapping[Side, str],
) -> frozenset[Side]:
    """Return the sides that the line writes, and tell what keeps it from those that it was meant to write.

    `goes`: the connection's direction; `direction`: the line's own, if it has one; `written`: the fields' paths as
    in the file.
    """
    along = [side for side in SIDES if goes in {"two_way", INTO[side]}]
    if direction is not None and goes not in {"two_way", direction}:
        report.error(
            mark,
            f"{pair.what} goes {quoted(goes)}, and this line would go {quoted(direction)}: "
            "a line can be narrowed, not widened",
            "Remove the line's `direction`.",
        )
        return frozenset()
    meant = [side for side in along if direction in {None, "two_way", INTO[side]}]
    against = {side: why for side in meant if (why := _against(pair, side, fields, written))}
    into = frozenset(side for side in meant if side not in against)
    if not into:
        back = [side for side in along if side not in meant and not _against(pair, side, fields, written)]
        report.error(
            mark,
            f"this line can't be: {'; '.join(dict.fromkeys(against.values()))}",
            f"Write `direction: {INTO[back[0]]}`." if back else _instead(fields),
        )
    elif against:
        (why,) = against.values()
        (side,) = into
        report.warning(mark, f"this line goes one way only, {quoted(INTO[side])}: {why}", _say(INTO[side]))
    return into


def _say(direction: Direction) -> str:
    return f"Write `direction: {direction}` if that is what you want."


def _against(pair: Pair, target: Side, fields: Mapping[Side, Field], written: Mapping[Side, str]) -> str | None:
    """Why that side can't be written from the other one."""
    here, there = fields[target], fields[OTHER[target]]
    if not here.writable:
        return f"{quoted(written[target])} of {pair.told(target)} can only be read"
    if not converts(there.type, here.type):
        return (
            f"{quoted(written[OTHER[target]])} of {pair.told(OTHER[target])} is {KINDS[there.type]}, "
            f"which can't become {KINDS[here.type]}, as {quoted(written[target])} of {pair.told(target)} is"
        )
    return None


def _instead(fields: Mapping[Side, Field]) -> str:
    types = {field.type for field in fields.values()}
    if len(types) == 1:
        return "Map a field that can be written."
    return "Map fields of one kind, or remove the line."
