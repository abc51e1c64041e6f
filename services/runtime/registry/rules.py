"""The rules of a connection: which contacts of a side are paired, and what is done on the other side (SEMANTICS B)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.contracts.app import Manifest
from services.contracts.connection import Connection, Direction, MappingLine
from services.contracts.contact import SIDES, Side
from services.contracts.rule import Action, Condition, PermitEmail, Rule, SetTag, SetText
from services.runtime.registry.actions import Actions, Ordered
from services.runtime.registry.conditions import Conditions, Said
from services.runtime.registry.contradictions import excluding
from services.runtime.registry.document import Entry, Node, Table
from services.runtime.registry.form import Form
from services.runtime.registry.pair import INTO, OTHER, Pair
from services.runtime.registry.plans import Known
from services.runtime.registry.problem import Mark, Report, quoted
from services.runtime.registry.rivals import compare

EXAMPLE = "`{from: left}`"


@dataclass(frozen=True, slots=True)
class Flow:
    """What the connection says beside its rules."""

    direction: Direction | None
    """None: what the file says is none."""
    lines: Sequence[MappingLine]

    def into(self, side: Side) -> bool:
        """Whether values flow into that side; where the direction isn't known, they do."""
        return self.direction in {None, "two_way", INTO[side]}

    def line_into(self, target: Side, path: str, name: str | None) -> MappingLine | None:
        """The mapping's line that writes that side's field, or None. `name`: the default line that would."""
        own = (line for line in self.lines if path == (line.left if target == "left" else line.right))
        for line in own:
            if line.enabled and line.direction in {None, "two_way", INTO[target]}:
                return line
        off = name is None or any(line.default == name and not line.enabled for line in self.lines)
        return None if off else MappingLine(default=name or "")


@dataclass(frozen=True, slots=True)
class Read:
    """A rule and where its parts stand."""

    rule: Rule
    mark: Mark
    ordered: tuple[Ordered, ...]


class Rules:
    """Reads the rules of connections. `plans`: account -> what is known of its plans."""

    def __init__(self, form: Form, plans: Mapping[str, Known] | None = None) -> None:
        self._form = form
        self._report: Report = form.report
        self._conditions = Conditions(form, plans)
        self._actions = Actions(form)

    def read(self, table: Table, pair: Pair, flow: Flow) -> tuple[Rule, ...]:
        """The rules of a connection, in the file's order; one per side (B1) where the file has none."""
        entry = table.get("rules")
        if entry is None:
            return Connection(name="", left="", right="").rules
        items = self._form.items(entry.value, f"`rules` of {pair.what}", "`[{from: left}]`, or remove it")
        failed = self._report.errors
        read = [self._rule(item, pair, flow) for item in items.items] if items else []
        found = [each for each in read if each]
        if self._report.errors == failed:  # half of a rule isn't the rule that was meant
            compare(
                [(each.rule, each.mark, [(on.action, on.mark) for on in each.ordered]) for each in found], self._report
            )
        return tuple(each.rule for each in found)

    def _rule(self, node: Node, pair: Pair, flow: Flow) -> Read | None:
        what = f"a rule of {pair.what}"
        table = self._form.table(node, what, EXAMPLE)
        if table is None:
            return None
        self._form.keys(table, what, ["from", "if", "then", "undo"], {})
        source = table.get("from")
        if source is None:
            self._form.missing(table.mark, what, "from", "left")
            return None
        side = self._form.choice(source.value, f"`from` in {what}", SIDES)
        if side is None:
            return None
        if not flow.into(OTHER[side]):
            self._report.warning(
                source.mark,
                f"this rule does nothing: {pair.what} goes {quoted(str(flow.direction))}, nothing from the {side}",
                "Remove the rule, or change `direction`.",
            )
        conditions, actions, undo = table.get("if"), table.get("then"), table.get("undo")
        said = self._conditions.read(conditions.value, pair, side) if conditions else []
        ordered = self._actions.read(actions.value, pair, side) if actions else []
        self._doubt_conditions(said, pair, side)
        self._doubt_actions(ordered, pair, side, flow)
        taken_back = self._undo(undo, ordered, what) if undo else False
        return Read(
            Rule(
                source=side,
                conditions=tuple(dict.fromkeys(each.condition for each in said)),
                actions=tuple(dict.fromkeys(each.action for each in ordered)),
                undo=taken_back,
            ),
            source.mark,
            tuple(ordered),
        )

    def _undo(self, undo: Entry, ordered: Sequence[Ordered], what: str) -> bool:
        yes = self._form.boolean(undo.value, f"`undo` in {what}", "`true` or `false`") is True
        if yes and all(isinstance(each.action, PermitEmail) for each in ordered):
            self._report.warning(
                undo.mark,
                "`undo` does nothing: an e-mail that was let through isn't taken back"
                if ordered
                else "`undo` does nothing: the rule has no actions",
                "Remove `undo`, or add an action that can be taken back.",
            )
        return yes

    def _doubt_conditions(self, said: Sequence[Said], pair: Pair, side: Side) -> None:
        seen: dict[Condition, Mark] = {}
        for each in said:
            if first := seen.get(each.condition):
                self._twice(each.mark, str(each.written), first)
            seen.setdefault(each.condition, each.mark)
        manifest = pair.apps.get(side)
        if manifest and (found := excluding([each.condition for each in said], manifest)):
            earlier, later = said[found[0]], said[found[1]]
            self._report.warning(
                later.mark,
                f"this rule matches nobody: {quoted(str(earlier.written))} and {quoted(str(later.written))} "
                "never hold together",
                "Remove one of them. All conditions of a rule have to hold; for one or the other write two rules, "
                "or `one_of`.",
            )

    def _doubt_actions(self, ordered: Sequence[Ordered], pair: Pair, side: Side, flow: Flow) -> None:
        seen: dict[tuple[type[Action], str], Ordered] = {}
        for each in ordered:
            self._doubt_mapping(each, pair, OTHER[side], flow)
            first = seen.setdefault((type(each.action), name_of(each.action)), each)
            if first is each:
                continue
            if first.action == each.action:
                self._twice(each.mark, str(each.written), first.mark)
            else:
                self._report.warning(
                    each.mark,
                    f"{quoted(str(first.written))} and {quoted(str(each.written))} contradict each other in one rule",
                    "Keep one of them.",
                )

    def _doubt_mapping(self, ordered: Ordered, pair: Pair, target: Side, flow: Flow) -> None:
        app, other = pair.apps.get(target), pair.apps.get(OTHER[target])
        if app is None or other is None or not flow.into(target):
            return
        shared = {field.canonical for field in other.fields if field.canonical}
        match ordered.action:
            case SetText(path=path):
                if line := self._writer(app, path, target, shared, flow):
                    self._report.warning(
                        ordered.mark,
                        f"the {'default ' if line.default else ''}mapping writes `{path}` of {pair.told(target)}, too: "
                        "its values and this text would replace each other",
                        f"Switch the line off: `mappings: [{{default: {line.default}, enabled: false}}]`."
                        if line.default
                        else "Remove the mapping's line, or the action.",
                    )
            case PermitEmail():
                guarded = [field.path for field in app.fields if field.guarded]
                if not any(self._writer(app, path, target, shared, flow) for path in guarded):
                    self._report.warning(
                        ordered.mark,
                        f"{quoted(str(ordered.written))} does nothing: no e-mail flows into {pair.told(target)}, "
                        "its line of the mapping is off",
                        "Remove the action, or switch the line on.",
                    )
            case SetTag():
                pass

    def _writer(
        self, app: Manifest, path: str, target: Side, shared: Collection[str | None], flow: Flow
    ) -> MappingLine | None:
        field = app.field(path)
        return flow.line_into(target, path, field.canonical if field and field.canonical in shared else None)

    def _twice(self, mark: Mark, written: str, first: Mark) -> None:
        self._report.warning(mark, f"{quoted(written)} is there twice; the first is on line {first.line}", "Keep one.")


def name_of(action: Action) -> str:
    """Return what an action is about: two of a kind with one name can't both be wanted."""
    match action:
        case SetTag(name=name):
            return name
        case SetText(path=path):
            return path
        case PermitEmail():
            return ""
