"""What is known of a rule's action on a contact: that it is under way, or that we did it."""

from typing import TypeAlias

import msgspec

from services.contracts.commands import Version
from services.contracts.contact import Order, Values
from services.contracts.rule import SetTag, SetText

_ACTIONS = ("tag:", "untag:", "text:")


def is_action(key: str) -> bool:
    """Whether a refusal's key is that of a rule's action; else it is a mapping line's, or `*` for a whole create."""
    return key.startswith(_ACTIONS)


Doable: TypeAlias = SetTag | SetText


class Acting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule's action that a write does, or undoes."""

    key: str
    action: Doable
    undo: bool
    replaced: Values = ()
    """What stood where a text was put."""
    undoes: bool = False


class Applied(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rule's action that we did."""

    action: Doable
    undo: bool
    version: Version
    """Of the write that did it."""
    replaced: Values = ()
    order: Order | None = None
    """When it was seen done; a later observation without it means that a person took it back."""
    final: bool = False
    """A person took it back."""
