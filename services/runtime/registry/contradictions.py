"""Conditions that exclude each other: a rule with two of them matches nobody."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Literal

from services.contracts.app import Manifest
from services.contracts.rule import Condition, FieldIs, HasSubscription, HasTag, OnOtherSide, SubscribedTo
from services.runtime.registry.places import place

_LISTS = frozenset({"equals", "one_of"})
_WITHIN = frozenset({"contains", "starts_with", "ends_with"})
_BOUNDS = frozenset({"greater", "less"})


def comparable(text: str) -> tuple[Literal["number", "moment"], float] | None:
    """Return a number, or a date or time of ISO 8601 in seconds, as what can be greater or less; None: it's neither."""
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        return ("number", number) if isfinite(number) else None
    try:
        moment = datetime.fromisoformat(text.strip().upper())
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return "moment", zoned.timestamp()
    except (ValueError, OverflowError):
        return None


def excluding(conditions: Sequence[Condition], manifest: Manifest) -> tuple[int, int] | None:
    """Return the places of two conditions that no contact fulfils both of, the later one last, or None."""
    for second, later in enumerate(conditions):
        for first, earlier in enumerate(conditions[:second]):
            if _exclude(earlier, later, manifest) or _exclude(later, earlier, manifest):
                return first, second
    return None


def _exclude(one: Condition, two: Condition, manifest: Manifest) -> bool:
    match one, two:
        case HasTag(), HasTag():
            return one.name == two.name and one.present != two.present
        case SubscribedTo(), SubscribedTo():
            return one.plan == two.plan and one.present != two.present
        case SubscribedTo(present=True), HasSubscription(present=False):
            return True
        case HasSubscription(), HasSubscription():
            return one.present != two.present
        case OnOtherSide(), OnOtherSide():
            return one.present != two.present
        case FieldIs(), FieldIs():
            return one.path == two.path and _fields_exclude(one, two, manifest)
        case _:
            return False


def _fields_exclude(one: FieldIs, two: FieldIs, manifest: Manifest) -> bool:
    """Whether no contact fits both; phone numbers compare by what they dial, and aren't judged here."""
    if one.operator == "is_empty":
        return two.operator not in {"is_empty", "not_equals"}
    at = place(manifest, one.path)
    if at is None or at.type == "phone":
        return False
    mine, its = [_plain(value) for value in one.values], [_plain(value) for value in two.values]
    if one.operator == "not_equals" and two.operator in _LISTS:
        return set(its) == set(mine)
    if at.multi:
        return False
    if one.operator in _LISTS and two.operator in _LISTS:
        return not set(mine) & set(its)
    if one.operator in _LISTS and two.operator in _WITHIN:
        return not any(_within(two.operator, value, its[0]) for value in mine)
    if one.operator in _LISTS and two.operator in _BOUNDS:
        return not any(_bounded(value, two) for value in one.values)
    if one.operator == two.operator and one.operator in {"starts_with", "ends_with"}:
        return not (_within(one.operator, mine[0], its[0]) or _within(one.operator, its[0], mine[0]))
    if one.operator == "greater" and two.operator == "less":
        low, high = comparable(one.values[0]), comparable(two.values[0])
        return low is not None and high is not None and (low[0] != high[0] or low[1] >= high[1])
    return False


def _within(operator: str, value: str, part: str) -> bool:
    match operator:
        case "starts_with":
            return value.startswith(part)
        case "ends_with":
            return value.endswith(part)
        case _:
            return part in value


def _bounded(value: str, bound: FieldIs) -> bool:
    mine, limit = comparable(value), comparable(bound.values[0])
    if mine is None or limit is None or mine[0] != limit[0]:
        return False
    return mine[1] > limit[1] if bound.operator == "greater" else mine[1] < limit[1]


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split()).casefold()
