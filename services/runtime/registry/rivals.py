"""Rules of one side that say the same, add nothing, or want opposite things of one contact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from services.contracts.contact import Side
from services.contracts.rule import Action, Condition, PermitEmail, Rule, SetTag, SetText
from services.runtime.registry.problem import Mark, Report

Placed: TypeAlias = tuple[Rule, Mark, Sequence[tuple[Action, Mark]]]
"""A rule, where it stands, and where each of its actions does."""
_Key: TypeAlias = tuple[Side, frozenset[Condition]]


@dataclass(slots=True)
class _Group:
    """The rules of a side with the same conditions, by their place in the list: they match the same contacts."""

    members: list[int] = field(default_factory=list)
    wants: dict[tuple[str, str], dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """What an action is about -> what is wanted -> the first rule that wants it."""


def compare(rules: Sequence[Placed], report: Report) -> None:
    """Warn about rules that can't all be meant. Each is compared with those that match whenever it does.

    Those are the rules with the same conditions and the ones without any; a rule whose conditions are some of
    another's isn't looked for, so that a long list stays quick to check.
    """
    groups: dict[_Key, _Group] = defaultdict(_Group)
    for at, (rule, _, _) in enumerate(rules):
        group = groups[_key(rule)]
        group.members.append(at)
        for action in rule.actions:
            about, wanted = _about(action)
            group.wants[about].setdefault(wanted, at)
    seen: dict[tuple[_Key, frozenset[Action]], int] = {}
    for at, (rule, mark, _) in enumerate(rules):
        key = _key(rule)
        near = [groups[key]]
        if rule.conditions and (everyone := groups.get((rule.source, frozenset()))):
            near.append(everyone)
        first = seen.setdefault((key, frozenset(rule.actions)), at)
        if first != at:
            _same(rule, rules[first], mark, report)
        elif not rule.actions and (wider := _wider(near)) is not None:
            report.warning(
                mark,
                f"this rule changes nothing: whom it takes, the rule on line {rules[wider][1].line} takes, too",
                "Remove it, or the other one: a contact needs to match only one rule.",
            )
        _opposite(rules, at, near, report)


def _same(rule: Rule, first: Placed, mark: Mark, report: Report) -> None:
    but = "" if rule.undo == first[0].undo else ", but for `undo`"
    report.warning(mark, f"this rule says the same as the one on line {first[1].line}{but}", "Keep one of them.")


def _wider(near: Sequence[_Group]) -> int | None:
    """A rule that takes whom one of the first group takes, which does nothing; its equals are told of elsewhere."""
    same, *everyone = near
    acting = (member for wants in same.wants.values() for member in wants.values())
    return next(iter((*acting, *(group.members[0] for group in everyone))), None)


def _opposite(rules: Sequence[Placed], at: int, near: Sequence[_Group], report: Report) -> None:
    for place, group in enumerate(near):
        for action, mark in rules[at][2]:
            about, wanted = _about(action)
            # Of two rules with the same conditions the later one is told.
            rivals = (
                first
                for other, first in group.wants.get(about, {}).items()
                if other != wanted and first != at and (place > 0 or first < at)
            )
            if (rival := next(rivals, None)) is not None:
                report.warning(
                    mark,
                    f"the rule on line {rules[rival][1].line} wants something else of the same contacts",
                    "Keep one of them, or give the rules conditions that exclude each other.",
                )


def _key(rule: Rule) -> _Key:
    return rule.source, frozenset(rule.conditions)


def _about(action: Action) -> tuple[tuple[str, str], str]:
    """What an action is about, and what it wants there."""
    match action:
        case SetTag(name=name, present=present):
            return ("tag", name), str(present)
        case SetText(path=path, text=text):
            return ("text", path), text
        case PermitEmail():
            return ("email", ""), ""
