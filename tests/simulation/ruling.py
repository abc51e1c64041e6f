"""Rules in stories: what people do about them, and whom they take, worked out apart from the core's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.contracts.contact import Side
from services.contracts.rule import HasTag, Rule, SetTag

if TYPE_CHECKING:
    from services.contracts.connection import Connection
    from tests.simulation.account import Person
    from tests.simulation.sync import Sync

GOLD, VIP = "Gold", "VIP"
"""The tag that people set and rules ask for; the tag that rules set."""
_IS_GOLD, _TAG = HasTag(name=GOLD), SetTag(name=VIP)
_EVERYBODY = (Rule(source="left"), Rule(source="right"))


def golden(source: Side, *, undo: bool = True) -> Rule:
    """Return the rule that takes who is gold on that side, and says so on the other."""
    return Rule(source=source, conditions=(_IS_GOLD,), actions=(_TAG,), undo=undo)


VARIANTS: tuple[tuple[Rule, ...], ...] = (
    (golden("left"),),
    (golden("right"),),
    (golden("left"), golden("right")),
    (golden("left"), *_EVERYBODY),
    (Rule(source="right", conditions=(_IS_GOLD,)), golden("left")),
    (*_EVERYBODY, golden("right"), golden("left", undo=False)),
    _EVERYBODY,
)


def side_of(account: str) -> Side:
    """Return the side of an account of the simulation."""
    return "right" if account == "office" else "left"


def matching(connection: Connection, account: str, person: Person) -> list[Rule]:
    """Return the connection's rules that take a contact now."""
    return [
        rule
        for rule in connection.rules
        if rule.source == side_of(account) and (not rule.conditions or GOLD in person.tags)
    ]


def was_taken(world: Sync, account: str, contact_id: str | None) -> bool:
    """Whether a rule, as it ever was, took the contact as it ever was: old news may meet new rules."""
    return any(
        rule.source == side_of(account) and (not rule.conditions or (account, contact_id) in world.marks)
        for rule in world.in_force
    )


def tags_partner(connection: Connection, account: str, person: Person) -> bool:
    """Whether a rule wants the tag on the contact's partner."""
    return any(rule.actions for rule in matching(connection, account, person))
