"""The `mappings` of a connection: default lines that are switched, and lines of one's own (SEMANTICS D1-D3, D6)."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import get_args

from services.contracts.app import Field
from services.contracts.connection import Direction, MappingLine
from services.contracts.contact import SIDES, Side
from services.runtime.registry.crossings import Crossings, Placed
from services.runtime.registry.document import Entry, Node, Table, Text
from services.runtime.registry.form import Form
from services.runtime.registry.narrowing import flow, unmappable
from services.runtime.registry.pair import OTHER, Pair
from services.runtime.registry.places import fault, place
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted
from services.runtime.registry.unseen import Unseen

_DEFAULT = "{default: phone, enabled: false}"
_OWN = "{left: FIELD, right: FIELD}"
_DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


class Lines:
    """Reads mappings. `seen`: the keys of custom fields that contacts of an account have, where that is known."""

    def __init__(self, form: Form, seen: Mapping[str, AbstractSet[str]] | None = None) -> None:
        self._form = form
        self._report: Report = form.report
        self._unseen = Unseen(form.report, seen or {})

    def mappings(self, table: Table, pair: Pair) -> tuple[MappingLine, ...]:
        """The lines in the file's order: default ones that are switched, and one's own."""
        entry = table.get("mappings")
        if entry is None:
            return ()
        items = self._form.items(entry.value, f"`mappings` of {pair.what}", f"`[{_DEFAULT}]`, or remove it")
        goes = _goes(table)
        switched: dict[str, tuple[MappingLine, Mark]] = {}
        own: list[Placed] = []
        in_order: list[MappingLine] = []
        for item in items.items if items else ():
            what = f"a mapping of {pair.what}"
            line = self._form.table(item, what, f"`{_DEFAULT}` or `{_OWN}`")
            if line is None:
                continue
            self._form.keys(line, what, ["default", "left", "right", "direction", "enabled"], {})
            if default := line.get("default"):
                if made := self._default(line, default, pair, what, switched):
                    in_order.append(made)
            elif placed := self._own(line, pair, goes, what):
                own.append(placed)
                in_order.append(placed.line)
        if len(pair.apps) == len(SIDES):
            off = {name for name, (line, _) in switched.items() if not line.enabled}
            Crossings(self._report, pair, off).compare(own)
        return tuple(in_order)

    def _default(
        self, line: Table, default: Entry, pair: Pair, what: str, switched: dict[str, tuple[MappingLine, Mark]]
    ) -> MappingLine | None:
        for key in ("left", "right", "direction"):
            if entry := line.get(key):
                self._report.error(
                    entry.mark,
                    f"{what} has `default` and {quoted(key)}: it is either a default line or one of your own",
                    f"Make two lines of it: `{_DEFAULT}` and `{_OWN}`.",
                )
        name = self._canonical(default.value, pair)
        on = self._on(line, what)
        if name in switched:
            self._report.error(
                default.mark,
                f"{pair.what} already has a line for {quoted(name)}, on line {switched[name][1].line}",
                "Keep one of them.",
            )
        elif name:
            switched[name] = (MappingLine(default=name, enabled=on), default.mark)
            return switched[name][0]
        return None

    def _on(self, line: Table, what: str) -> bool:
        enabled = line.get("enabled")
        if enabled is None:
            return True
        return self._form.boolean(enabled.value, f"`enabled` in {what}", "`true` or `false`") is not False

    def _own(self, line: Table, pair: Pair, goes: Direction | None, what: str) -> Placed | None:
        if line.get("left") is None and line.get("right") is None:
            self._report.error(line.mark, f"{what} says no fields", f"Write `{_DEFAULT}` or `{_OWN}`.")
            return None
        failed = self._report.errors
        fields = {side: field for side in SIDES if (field := self._field(line, side, pair, what))}
        direction: Direction | None = None
        if entry := line.get("direction"):
            direction = self._form.choice(entry.value, f"`direction` in {what}", _DIRECTIONS)
        on = self._on(line, what)
        if self._report.errors != failed or len(fields) < len(SIDES):
            return None
        made = MappingLine(left=fields["left"].path, right=fields["right"].path, direction=direction, enabled=on)
        written = {side: _written(line, side) for side in SIDES}
        mark = entry.value.mark if entry else line.mark
        into: frozenset[Side] = frozenset()
        if goes is not None:
            into = flow(self._report, mark, pair, goes, direction, fields, written)
        for side in SIDES:
            node = line.get(side)
            if node is not None and on:
                self._unseen.doubt(
                    node.value.mark, pair, side, fields[side].path, written[side], read=OTHER[side] in into
                )
        return Placed(line=made, mark=line.mark, fields=fields, written=written, into=into)

    def _field(self, line: Table, side: Side, pair: Pair, what: str) -> Field | None:
        entry = line.get(side)
        if entry is None:
            self._form.missing(line.mark, what, side, "FIELD")
            return None
        path = self._form.line(entry.value, f"`{side}` of {what}", "a field's path, such as `email`")
        manifest = pair.apps.get(side)
        if path is None or manifest is None:
            return None
        written = _written(line, side)
        if said := unmappable(manifest, path, written, pair.told(side)):
            self._report.error(entry.value.mark, *said)
            return None
        field = manifest.field(path)
        if field is None or place(manifest, path) is None:
            self._report.error(entry.value.mark, *fault(manifest, pair.told(side), path, written))
            return None
        return field

    def _canonical(self, node: Node, pair: Pair) -> str | None:
        text = self._form.text(node, f"`default` in a mapping of {pair.what}", "a field's name, such as `phone`")
        if text is None or len(pair.apps) < 2:
            return None
        names = {
            side: {field.canonical for field in manifest.fields if field.canonical}
            for side, manifest in pair.apps.items()
        }
        shared = sorted(names["left"] & names["right"])
        if text.value in shared:
            return text.value
        having = [side for side in SIDES if text.value in names[side]]
        meant = nearest(text.written, shared)
        self._report.error(
            text.mark,
            f"{pair.told(OTHER[having[0]])} has no field {quoted(text.written)}; {pair.told(having[0])} has"
            if having
            else f"there is no field {quoted(text.written)} in the default mapping of {pair.what}",
            f"Did you mean `{meant}`?" if meant else f"Write {listed(shared, 'or')}." if shared else "Remove the line.",
        )
        return None


def _written(line: Table, side: Side) -> str:
    """A path as it stands in the file: the value may come from a variable."""
    entry = line.get(side)
    return entry.value.written.strip() if entry and isinstance(entry.value, Text) else ""


def _goes(table: Table) -> Direction | None:
    """The connection's direction, or None where it says none that there is: that is told where it is read."""
    entry = table.get("direction")
    if entry is None:
        return "two_way"
    value = entry.value.value if isinstance(entry.value, Text) else ""
    return next((direction for direction in _DIRECTIONS if direction == value), None)
