"""The `if` of a rule: its conditions, against what the app of the rule's side knows of its contacts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from services.contracts.app import Manifest
from services.contracts.contact import Side
from services.contracts.rule import Condition, FieldIs, HasSubscription, HasTag, OnOtherSide, Operator, SubscribedTo
from services.runtime.registry import wording
from services.runtime.registry.contradictions import comparable
from services.runtime.registry.document import Entry, Node, Table, Text
from services.runtime.registry.form import Form
from services.runtime.registry.pair import OTHER, Pair
from services.runtime.registry.places import Place, fault, place
from services.runtime.registry.plans import Known, Plans
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted
from services.runtime.registry.wording import Written

EXAMPLE = "`{field: email, ends_with: example.com}`"
OPERATORS: tuple[Operator, ...] = get_args(Operator)
MOST = 50
"""Conditions of one rule: they are asked of every contact at every change."""

_ALSO_CALLED: Mapping[str, Operator] = {
    "is": "equals",
    "eq": "equals",
    "is_not": "not_equals",
    "isnt": "not_equals",
    "ne": "not_equals",
    "in": "one_of",
    "any_of": "one_of",
    "gt": "greater",
    "more_than": "greater",
    "after": "greater",
    "since": "greater",
    "lt": "less",
    "before": "less",
    "exists": "is_not_empty",
}
_FLAGS: Mapping[str, Callable[[bool], Condition]] = {
    "has_subscription": lambda yes: HasSubscription(present=yes),
    "has_no_subscription": lambda yes: HasSubscription(present=not yes),
    "exists_on_other_side": lambda yes: OnOtherSide(present=yes),
}
_ADDRESS = re.compile(r"\s*[^@\s]+@[^@\s]+\s*")


@dataclass(frozen=True, slots=True)
class Said:
    """A condition, where it stands and how it is written."""

    condition: Condition
    mark: Mark
    written: Written


class Conditions:
    """Reads the conditions of rules. `plans`: account -> what is known of its plans."""

    def __init__(self, form: Form, plans: Mapping[str, Known] | None = None) -> None:
        self._form = form
        self._report: Report = form.report
        self._plans = Plans(form.report, plans or {})

    def read(self, node: Node, pair: Pair, side: Side) -> list[Said]:
        """Every condition that can be made out; those of a side whose app is unknown can't be."""
        items = self._form.items(node, f"`if` in a rule of {pair.what}", f"`[{EXAMPLE.strip('`')}]`, or remove it")
        if items and len(items.items) > MOST:
            self._report.error(
                items.mark,
                f"a rule of {pair.what} has {len(items.items)} conditions, and {MOST} are possible",
                "Write several values of a field as one `one_of`.",
            )
            return []
        manifest = pair.apps.get(side)
        if items is None or manifest is None:
            return []
        read = [self._condition(item, pair, side, manifest) for item in items.items]
        return [said for said in read if said]

    def _condition(self, node: Node, pair: Pair, side: Side, manifest: Manifest) -> Said | None:
        what = f"a condition of {pair.what}"
        bare = isinstance(node, Text) and node.value in _FLAGS and node.value in wording.conditions(manifest)
        table = self._form.table(
            node, what, f"`{{{node.value}: true}}`" if isinstance(node, Text) and bare else EXAMPLE
        )
        if table is None:
            return None
        if path := table.get("field"):
            return self._field(table, path, pair, side, manifest)
        if len(table.entries) == 1:
            return self._word(table.entries[0], pair, side, manifest)
        if any(entry.key in OPERATORS for entry in table.entries):
            self._form.missing(table.mark, what, "field", manifest.fields[0].path if manifest.fields else "PATH")
        else:
            keys = listed(entry.key for entry in table.entries)
            self._report.error(
                table.entries[1].mark, f"{what} holds {keys} at once", "Write each as an item of its own."
            )
        return None

    def _word(self, entry: Entry, pair: Pair, side: Side, manifest: Manifest) -> Said | None:
        word, what = entry.key, f"{quoted(entry.key)} of {pair.what}"
        if word not in wording.conditions(manifest):
            self._unknown(entry, pair, side, manifest)
            return None
        if flag := _FLAGS.get(word):
            example = "`true` or `false`"
            if word == "has_subscription":
                example += ", and a plan as `{subscribed_to: PLAN}`"
            yes = self._form.boolean(entry.value, what, example)
            return None if yes is None else Said(flag(yes), entry.mark, _written(entry))
        condition: Condition
        if word in {"subscribed_to", "not_subscribed_to"}:
            plan = self._form.line(entry.value, what, "a price's id, a product's id or a lookup key")
            if plan is None:
                return None
            condition = SubscribedTo(plan=plan, present=word == "subscribed_to")
            self._plans.doubt(entry.value.mark, pair, side, plan, _value(entry.value))
        else:
            name = self._form.line(entry.value, what, f"the name of a {manifest.tag_word}")
            if name is None or not self._has_such_tags(entry, name, pair, side, manifest):
                return None
            condition = HasTag(name=name, present=word.startswith("has_"))
        return Said(condition, entry.mark, _written(entry))

    def _has_such_tags(self, entry: Entry, name: str, pair: Pair, side: Side, manifest: Manifest) -> bool:
        fixed = manifest.tags
        if not fixed or name in fixed:
            return True
        self._report.error(
            entry.value.mark,
            f"{pair.told(side)} has no {manifest.tag_word}s of its own but {listed(fixed)}",
            f"Did you mean `{meant}`?"
            if (meant := nearest(name, fixed))
            else f"Write {listed(fixed, 'or')}, or ask for a field: {EXAMPLE}.",
        )
        return False

    def _unknown(self, entry: Entry, pair: Pair, side: Side, manifest: Manifest) -> None:
        words = wording.conditions(manifest)
        message = f"{pair.told(side)} has no condition {quoted(entry.key)}"
        other = pair.apps.get(OTHER[side])
        meant = wording.meant(entry.key, words, manifest.tag_word)
        if entry.key in OPERATORS:
            message, remedy = f"a condition of {pair.what} has no field", f"Write {EXAMPLE}."
        elif meant:
            remedy = f"Did you mean `{meant}`?"
        elif other and entry.key in wording.conditions(other):
            message += f"; {pair.told(OTHER[side])} has"
            remedy = f"Write it in a rule `from: {OTHER[side]}`, or one of {listed(words, 'or')}."
        elif place(manifest, entry.key):
            remedy = f"Write `{{field: {entry.key}, equals: VALUE}}`."
        else:
            remedy = f"Write {listed(words, 'or')}."
        self._report.error(entry.mark, message, remedy)

    def _field(self, table: Table, path: Entry, pair: Pair, side: Side, manifest: Manifest) -> Said | None:
        what = f"a condition of {pair.what}"
        operators = [entry for entry in table.entries if entry is not path]
        known = [entry for entry in operators if entry.key in OPERATORS]
        for entry in operators:
            if entry not in known:
                meant = _ALSO_CALLED.get(entry.key.lower()) or wording.meant(entry.key, OPERATORS, "")
                self._report.error(
                    entry.mark,
                    f"{what} can't compare with {quoted(entry.key)}",
                    f"Did you mean `{meant}`?" if meant else f"Write {listed(OPERATORS, 'or')}.",
                )
        if len(known) > 1:
            self._report.error(
                known[1].mark,
                f"{what} compares with {listed(entry.key for entry in known)} at once",
                "Write two conditions: all of a rule's have to hold.",
            )
        if not operators:
            self._report.error(path.mark, f"{what} doesn't say how to compare", f"Write it like {EXAMPLE}.")
        text, name = path.value, self._form.line(path.value, f"`field` in {what}", "a field's path, such as `email`")
        if name is None or not isinstance(text, Text):
            return None
        at = place(manifest, name)
        if at is None:
            self._report.error(text.mark, *fault(manifest, pair.told(side), name, text.written.strip()))
        if at is None or len(known) != 1 or len(operators) != 1:
            return None
        return self._compared(name, at, known[0], text, pair)

    def _compared(self, path: str, at: Place, entry: Entry, text: Text, pair: Pair) -> Said | None:
        operator = next(each for each in OPERATORS if each == entry.key)
        what = f"{quoted(operator)} in a condition of {pair.what}"
        values: tuple[str, ...] | None = ()
        if operator in {"is_empty", "is_not_empty"}:
            yes = self._form.boolean(entry.value, what, "`true` or `false`")
            if yes is None:
                return None
            operator = "is_empty" if yes == (operator == "is_empty") else "is_not_empty"
        elif operator == "one_of":
            values = self._several(entry.value, what)
        else:
            instead = "a value; several are `one_of`, none is `is_empty: true`"
            value = self._form.line(entry.value, what, instead)
            values = None if value is None else (value,)
        if not values and operator not in {"is_empty", "is_not_empty"}:
            return None
        written = Written(text.written.strip(), f"{entry.key} {_value(entry.value)}".strip())
        said = Said(FieldIs(path=path, operator=operator, values=values or ()), text.mark, written)
        return said if self._sensible(said.condition, at, entry, text) else None

    def _several(self, node: Node, what: str) -> tuple[str, ...] | None:
        items = self._form.items(node, what, "a list, such as `[gold, silver]`")
        read = [self._form.line(item, f"a value of {what}", "a value") for item in items.items] if items else []
        return None if None in read else tuple(dict.fromkeys(value for value in read if value is not None))

    def _sensible(self, condition: Condition, at: Place, entry: Entry, text: Text) -> bool:
        """Refuse or doubt what can't fit any value of the field."""
        if not isinstance(condition, FieldIs):
            return True
        name = quoted(text.written.strip())
        if condition.operator in {"greater", "less"}:
            if at.type != "text":
                self._report.error(
                    entry.mark,
                    f"{name} is neither a number nor a date, and can't be compared with {quoted(entry.key)}",
                    "Write `equals`, `contains`, `starts_with`, `ends_with`, `one_of` or `is_empty`.",
                )
                return False
            if comparable(condition.values[0]) is None:
                self._report.error(
                    entry.value.mark,
                    f"{quoted(_value(entry.value))} is neither a number nor a date",
                    "Write it like `12.5`, `2026-11-22` or `2026-11-22T09:30:00Z`.",
                )
                return False
        whole = condition.operator in {"equals", "not_equals", "one_of"}
        if at.type == "email" and whole and not all(_ADDRESS.fullmatch(value) for value in condition.values):
            self._report.warning(
                entry.value.mark,
                f"{name} is never just that: an e-mail address has a name, `@` and a domain",
                "Write `ends_with` for a domain, or `contains`.",
            )
        return True


def _value(node: Node) -> str:
    return node.written.strip() if isinstance(node, Text) else ""


def _written(entry: Entry) -> Written:
    return Written(entry.key, _value(entry.value))
