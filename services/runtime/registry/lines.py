"""The `mappings` of a connection: the changes to its default mapping."""

from __future__ import annotations

from services.contracts.connection import MappingLine
from services.contracts.contact import SIDES
from services.runtime.registry.document import Node, Table
from services.runtime.registry.form import Form
from services.runtime.registry.pair import OTHER, Pair
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted

_MAPPINGS_TAKE = (
    "A line is `- {default: NAME, enabled: false}` and switches a default line off; fields can't be mapped by hand."
)


class Lines:
    """Reads mappings."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._report: Report = form.report

    def mappings(self, table: Table, pair: Pair) -> tuple[MappingLine, ...]:
        """The default lines that are switched."""
        entry = table.get("mappings")
        if entry is None:
            return ()
        example = "`[{default: phone, enabled: false}]`, or remove it"
        items = self._form.items(entry.value, f"`mappings` of {pair.what}", example)
        seen: dict[str, tuple[MappingLine, Mark]] = {}
        for item in items.items if items else ():
            what = f"a mapping of {pair.what}"
            line = self._form.table(item, what, "`{default: phone, enabled: false}`")
            if line is None:
                continue
            said = dict.fromkeys(("left", "right", "direction", "value", "text"), _MAPPINGS_TAKE)
            self._form.keys(line, what, ["default", "enabled"], said)
            default, enabled = line.get("default"), line.get("enabled")
            if default is None:
                if not any(entry.key in said for entry in line.entries):
                    self._form.missing(line.mark, what, "default", "phone")
                continue
            name = self._canonical(default.value, pair)
            on = self._form.boolean(enabled.value, f"`enabled` in {what}", "`true` or `false`") if enabled else True
            if name in seen:
                self._report.error(
                    default.mark,
                    f"{pair.what} already has a line for {quoted(name)}, on line {seen[name][1].line}",
                    "Keep one of them.",
                )
            elif name:
                seen[name] = (MappingLine(default=name, enabled=on is not False), default.mark)
        return tuple(line for line, _ in seen.values())

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
