"""Why a rule takes a contact or doesn't: each condition with what was found, in a person's words (B, G4)."""

from typing import assert_never

import msgspec

from services.contracts.app import Manifest
from services.contracts.contact import Address, Contact, PersonName, Side, Value, Values
from services.contracts.rule import (
    Action,
    Condition,
    FieldIs,
    HasSubscription,
    HasTag,
    OnOtherSide,
    PermitEmail,
    SetTag,
    SetText,
    SubscribedTo,
)
from services.sync.core.mapping import Config
from services.sync.core.names import join
from services.sync.core.rules import judge, matches, running, told, values_at
from services.sync.core.state import Record

EMPTY = "empty"
MOST = 20
"""Values of one field, tags or subscriptions that are told; the rest is counted."""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """One condition, whether it holds, and what was found."""

    condition: str
    holds: bool | None
    """None: the other account has to be asked first."""
    found: str


class RuleTold(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says of a contact."""

    number: int
    """Its place in the connection's list, from 1."""
    holds: bool | None
    grounds: tuple[Ground, ...]
    """None: it takes every contact of its side."""
    actions: tuple[str, ...]
    undo: bool


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What all rules for one side say of its contact."""

    side: Side
    holds: bool | None
    why: str
    rules: tuple[RuleTold, ...]


def ruling(config: Config, side: Side, record: Record, *, there: bool | None) -> Ruling:
    """Return what the rules for that side's contacts say of the contact, and of which values.

    `there`: as in `rules.matches`. The verdict is the step's own.
    """
    verdict = judge(config, side, record, there=there)
    manifest = config.manifest(side)
    found = tuple(
        RuleTold(
            number=match.number,
            holds=match.holds,
            grounds=tuple(
                Ground(
                    condition=told(said.condition),
                    holds=said.holds,
                    found=_found(said.condition, record, record.contact, manifest, there=there),
                )
                for said in match.said
                if record.contact is not None
            ),
            actions=tuple(_action(each) for each in match.rule.actions),
            undo=match.rule.undo,
        )
        for match in matches(config, side, record, there=there)
    )
    return Ruling(side=side, holds=verdict.holds, why=verdict.why, rules=found)


def _found(condition: Condition, record: Record, contact: Contact, manifest: Manifest, *, there: bool | None) -> str:
    match condition:
        case FieldIs(path=path):
            texts, _ = values_at(path, contact, manifest)
            return f"{path}: {_listed(texts) or EMPTY}"
        case HasTag():
            return f"tags: {_listed(contact.tags) or 'none'}"
        case SubscribedTo() | HasSubscription():
            return f"subscriptions: {_subscriptions(record) or 'none'}"
        case OnOtherSide():
            return {
                None: "the other account hasn't been asked yet",
                True: "it was there when the other account was asked first",
                False: "it wasn't there when the other account was asked first",
            }[there]
        case _:
            assert_never(condition)


def _subscriptions(record: Record) -> str:
    counting = {each.subscription.id for each in running(record)}
    told = []
    for _, each in sorted(record.subscriptions.items()):
        plans = " = ".join(each.subscription.plans) or each.subscription.id
        status = "ended" if each.ended else each.subscription.status
        told.append(f"{plans} ({status}{'' if each.subscription.id in counting else ', which does not count'})")
    return _listed(told)


def _listed(texts: list[str] | tuple[str, ...]) -> str:
    more = len(texts) - MOST
    return ", ".join(texts[:MOST]) + (f" and {more} more" if more > 0 else "")


def _action(action: Action) -> str:
    match action:
        case SetTag(name=name, present=present):
            return f"{'add' if present else 'remove'} the tag {name}"
        case SetText(path=path, text=text):
            return f"put {text!r} into {path}"
        case PermitEmail():
            return "let changed e-mail addresses flow"
        case _:
            assert_never(action)


def value_told(value: Value) -> str:
    """Return one value as a person reads it."""
    match value:
        case str():
            return value
        case PersonName():
            return join(value)
        case Address():
            lines = (value.line1, value.line2, value.postal_code, value.city, value.state, value.country)
            return ", ".join(line for line in lines if line)
        case _:
            assert_never(value)


def values_told(values: Values) -> tuple[str, ...]:
    """Return a field's values as a person reads them, without those that say nothing."""
    return tuple(text for value in values if (text := value_told(value)))
