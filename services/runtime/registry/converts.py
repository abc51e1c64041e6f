"""Which kinds of values can become which: what decides whether two fields can be mapped at all (SEMANTICS D6)."""

from __future__ import annotations

from services.contracts.app import FieldType

_CONVERTS: frozenset[tuple[FieldType, FieldType]] = frozenset(
    {("text", "name"), ("name", "text"), ("text", "phone"), ("phone", "text"), ("email", "text")}
)

KINDS: dict[FieldType, str] = {
    "text": "a text",
    "email": "an e-mail address",
    "phone": "a phone number",
    "name": "a name in parts",
    "address": "an address in parts",
}
"""What a field holds, for a person."""


def converts(source: FieldType, target: FieldType) -> bool:
    """Whether a value of one type can become one of the other; the core converts just these."""
    return source == target or (source, target) in _CONVERTS
