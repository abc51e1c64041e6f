"""Which rules a contact matches, and why or why not: pure predicates over what is known of it (SEMANTICS B)."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import assert_never

import msgspec

from services.contracts.app import SUBSCRIBED, FieldType, Manifest
from services.contracts.contact import Address, Contact, PersonName, Side, Value
from services.contracts.rule import (
    Action,
    Condition,
    FieldIs,
    HasSubscription,
    HasTag,
    OnOtherSide,
    Operator,
    PermitEmail,
    Rule,
    SetTag,
    SetText,
    SubscribedTo,
)
from services.sync.core.mapping import Config, normal_text
from services.sync.core.names import join
from services.sync.core.state import Record, SubscriptionRecord, other

_NEGATED: Mapping[Operator, Operator] = {"not_equals": "equals", "is_empty": "is_not_empty"}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one condition says of a contact."""

    condition: Condition
    holds: bool | None
    """None: not known yet, the other account has to be asked first (B6)."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says of a contact."""

    rule: Rule
    number: int
    """Its place in the file, from 1."""
    said: tuple[Said, ...]

    @property
    def holds(self) -> bool | None:
        """Whether all conditions hold; None: that depends on what isn't known yet."""
        answers = [each.holds for each in self.said]
        return False if False in answers else None if None in answers else True

    @property
    def why(self) -> str:
        """Which condition failed, or that all hold: a sentence without the contact's data."""
        failed = [told(each.condition) for each in self.said if each.holds is False]
        if failed:
            return f"rule {self.number} doesn't match: {', '.join(failed)}"
        unknown = [told(each.condition) for each in self.said if each.holds is None]
        if unknown:
            return f"rule {self.number} isn't decided yet: {', '.join(unknown)}"
        if not self.said:
            return f"rule {self.number} takes every contact of this side"
        return f"rule {self.number} matches: {', '.join(told(each.condition) for each in self.said)}"


def matches(config: Config, side: Side, record: Record, *, there: bool | None) -> tuple[Match, ...]:
    """Return what each rule for contacts of that side says of the contact, in the file's order.

    A rule whose values have nowhere to flow says nothing (A4). `there`: whether the other account had a contact with
    one of its addresses when it was asked, None if it wasn't.
    """
    if not config.connection.writes(other(side)) or record.contact is None:
        return ()
    return tuple(
        Match(
            rule=rule,
            number=number,
            said=tuple(
                Said(condition=each, holds=_holds(each, record, record.contact, config.manifest(side), there=there))
                for each in rule.conditions
            ),
        )
        for number, rule in enumerate(config.connection.rules, 1)
        if rule.source == side
    )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether rules take a contact into the sync, and why."""

    holds: bool | None
    """None: that depends on whether the other account has a contact with one of its addresses."""
    found: tuple[Match, ...] = ()
    """What decided: the rule that matches first, or what all of them say; none if there is nothing to match."""
    otherwise: str = ""
    """Why, where no rule was asked."""
    rules: tuple[Rule, ...] = ()
    """Those that match."""

    @property
    def why(self) -> str:
        """A sentence without the contact's data. It is made when somebody asks: most decisions don't tell it."""
        return "; ".join(match.why for match in self.found) or self.otherwise


def judge(config: Config, side: Side, record: Record, *, there: bool | None) -> Verdict:
    """Return whether the rules for that side take the contact in; `there` as in `matches`."""
    if not config.connection.writes(other(side)):
        return Verdict(holds=False, otherwise="the connection doesn't write to the other side")
    found = matches(config, side, record, there=there)
    holding = tuple(match for match in found if match.holds)
    if holding:
        return Verdict(holds=True, found=holding[:1], rules=tuple(match.rule for match in holding))
    if not found:
        return Verdict(holds=False, otherwise="no rule takes contacts of this side into the sync")
    undecided = any(match.holds is None for match in found)
    return Verdict(holds=None if undecided else False, found=found)


def permits_email(rules: Iterable[Rule]) -> bool:
    """Whether one of the matching rules lets changed e-mail addresses flow (B10)."""
    return any(isinstance(action, PermitEmail) for rule in rules for action in rule.actions)


def told(condition: Condition) -> str:
    """Return a condition as a person would say it; what the file says stands in it, the contact's values don't."""
    match condition:
        case FieldIs(path=path, operator=operator, values=values):
            return " ".join((path, operator.replace("_", " "), " or ".join(values))).rstrip()
        case HasTag(name=name, present=present):
            return f"{'has' if present else 'lacks'} the tag {name}"
        case SubscribedTo(plan=plan, present=present):
            return f"{'is' if present else 'is not'} subscribed to {plan}"
        case HasSubscription(present=present):
            return f"has {'a' if present else 'no'} subscription"
        case OnOtherSide(present=present):
            return f"{'exists' if present else 'does not exist'} on the other side"
        case _:
            assert_never(condition)


def key_of(action: Action) -> str:
    """Return what an action is remembered by on a link."""
    match action:
        case SetTag(name=name, present=True):
            return f"tag:{name}"
        case SetTag(name=name):
            return f"untag:{name}"
        case SetText(path=path):
            return f"text:{path}"
        case PermitEmail():
            return "email"
        case _:
            assert_never(action)


def _holds(
    condition: Condition, record: Record, contact: Contact, manifest: Manifest, *, there: bool | None
) -> bool | None:
    match condition:
        case FieldIs():
            return _field_is(condition, contact, manifest)
        case HasTag(name=name, present=present):
            return (name in contact.tags) == present
        case SubscribedTo(plan=plan, present=present):
            plans = {name for each in running(record) for name in each.subscription.plans}
            return (plan in plans) == present
        case HasSubscription(present=present):
            return bool(running(record)) == present
        case OnOtherSide(present=present):
            return None if there is None else there == present
        case _:
            assert_never(condition)


def running(record: Record) -> list[SubscriptionRecord]:
    """Return the subscriptions that count as such (B3)."""
    return [each for each in record.subscriptions.values() if not each.ended and each.subscription.status in SUBSCRIBED]


def _field_is(condition: FieldIs, contact: Contact, manifest: Manifest) -> bool:
    positive = _NEGATED.get(condition.operator, condition.operator)
    values, type_ = values_at(condition.path, contact, manifest)
    wanted = _wanted(condition.values, type_)
    found = False
    for value in values:
        found = found or _fits(positive, normal_text(value, type_).casefold(), wanted)
    return found == (positive == condition.operator)


@lru_cache(maxsize=4096)
def _wanted(values: tuple[str, ...], type_: FieldType) -> tuple[str, ...]:
    """Return a condition's values as they compare: the file says them once, and every decision asks for them."""
    return tuple(normal_text(value, type_).casefold() for value in values)


def values_at(path: str, contact: Contact, manifest: Manifest) -> tuple[list[str], FieldType]:
    """Return the field's values as text, and as what they compare: as e-mail, as phone or as text without case."""
    values, part, type_ = contact.fields.get(path), "", _type(path, manifest)
    if values is None and manifest.field(path) is None:
        head, _, part = path.partition(".")
        if part and manifest.field(head) is not None:
            values = contact.fields.get(head)
    texts = [text for value in values or () if (text := _text(value, part).strip())]
    return texts, type_


def _type(path: str, manifest: Manifest) -> FieldType:
    """As what the values of a field compare; custom fields are texts."""
    for field in manifest.fields:
        if field.path == path:
            return field.type if field.type in ("email", "phone") else "text"
    return "text"


def _text(value: Value, part: str) -> str:
    match value:
        case str():
            return "" if part else value
        case PersonName() | Address() if part:
            return str(getattr(value, part)) if part in value.__struct_fields__ else ""
        case PersonName():
            return join(value)
        case Address():
            lines = (value.line1, value.line2, value.postal_code, value.city, value.state, value.country)
            return ", ".join(line for line in lines if line)
        case _:
            assert_never(value)


def _fits(operator: Operator, value: str, wanted: tuple[str, ...]) -> bool:
    match operator:
        case "equals" | "one_of":
            return value in wanted
        case "contains":
            return any(part in value for part in wanted)
        case "starts_with":
            return value.startswith(wanted)
        case "ends_with":
            return value.endswith(wanted)
        case "is_not_empty":
            return True
        case "greater":
            return any(_compared(value, limit) == 1 for limit in wanted)
        case "less":
            return any(_compared(value, limit) == -1 for limit in wanted)
        case _:
            raise AssertionError(f"{operator} is asked by its opposite")


def _compared(value: str, wanted: str) -> int | None:
    """1, 0 or -1 as `value` is after, equal to or before `wanted`, as numbers or dates; None: they don't compare."""
    for read in (_number, _moment):
        left, right = read(value), read(wanted)
        if left is not None and right is not None:
            return (left > right) - (left < right)
    return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _moment(text: str) -> float | None:
    """A date or time of ISO 8601 in seconds; a day begins at midnight UTC."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
