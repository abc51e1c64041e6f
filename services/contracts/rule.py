"""Rules: IF conditions THEN actions, as data that `contactsync apply` made of the file (SEMANTICS B)."""

from typing import Literal, TypeAlias

import msgspec

from services.contracts.contact import Side

Operator: TypeAlias = Literal[
    "equals",
    "not_equals",
    "contains",
    "starts_with",
    "ends_with",
    "is_empty",
    "is_not_empty",
    "one_of",
    "greater",
    "less",
]
"""How a field is compared. Several values of a field: any of them may fit; for the negated ones, none may."""


class FieldIs(msgspec.Struct, frozen=True, kw_only=True, tag="field", omit_defaults=True):
    """What a field of the contact holds."""

    path: str
    """The app's own path; a part of a name or an address follows a dot, as in `address.country`."""
    operator: Operator
    values: tuple[str, ...] = ()
    """One, several for `one_of`, none for `is_empty` and `is_not_empty`."""


class HasTag(msgspec.Struct, frozen=True, kw_only=True, tag="tag", omit_defaults=True):
    """Whether the contact has a tag (label, category)."""

    name: str
    present: bool = True


class SubscribedTo(msgspec.Struct, frozen=True, kw_only=True, tag="plan", omit_defaults=True):
    """Whether the contact is subscribed to a plan now."""

    plan: str
    """A price id, a product id or a lookup key."""
    present: bool = True


class HasSubscription(msgspec.Struct, frozen=True, kw_only=True, tag="subscription", omit_defaults=True):
    """Whether the contact is subscribed to anything now."""

    present: bool = True


class OnOtherSide(msgspec.Struct, frozen=True, kw_only=True, tag="other_side", omit_defaults=True):
    """Whether the other account had a contact with one of its addresses when it was first asked (B6)."""

    present: bool = True


Condition: TypeAlias = FieldIs | HasTag | SubscribedTo | HasSubscription | OnOtherSide


class SetTag(msgspec.Struct, frozen=True, kw_only=True, tag="tag", omit_defaults=True):
    """Add a tag (label, category) to the other side's contact, or remove it there."""

    name: str
    present: bool = True


class SetText(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """Put a fixed text into a field of the other side's contact."""

    path: str
    text: str


class PermitEmail(msgspec.Struct, frozen=True, kw_only=True, tag="email"):
    """Let changed e-mail addresses flow to the other side without a person's yes (B10)."""


Action: TypeAlias = SetTag | SetText | PermitEmail


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which contacts of one side are paired, and what is done on the other side to those that it brings in."""

    source: Side
    conditions: tuple[Condition, ...] = ()
    """All of them have to hold; none: every contact."""
    actions: tuple[Action, ...] = ()
    undo: bool = False
    """Take the actions back when no rule wants them any more (B9)."""
