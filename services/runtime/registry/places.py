"""Where a rule may point in an app: its fields, parts of names and addresses, custom fields, and its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.contracts.app import TRASH, UNSUBSCRIBES, Ability, CustomFields, FieldType, Manifest
from services.contracts.contact import Address, PersonName
from services.runtime.registry.problem import listed, nearest, quoted

RESERVED = (TRASH, UNSUBSCRIBES)
"""The tags that contactsync sets itself (SEMANTICS E): a rule may ask for them, but neither set nor remove them."""

PARTS: Mapping[FieldType, tuple[str, ...]] = {
    "name": PersonName.__struct_fields__,
    "address": Address.__struct_fields__,
}
"""What may follow the dot after a field of that type."""


@dataclass(frozen=True, slots=True)
class Place:
    """A field, or a part of one, that a condition asks for."""

    type: FieldType
    multi: bool


def place(manifest: Manifest, path: str) -> Place | None:
    """Return what stands at `path`, or None if contacts of that app have nothing there."""
    if manifest.custom and path.startswith(manifest.custom.prefix):
        return None if _key_fault(manifest, manifest.custom, path) else Place("text", manifest.custom.multi)
    if field := manifest.field(path):
        return Place(field.type, field.multi)
    head, _, part = path.partition(".")
    field = manifest.field(head)
    if field is None or part not in PARTS.get(field.type, ()):
        return None
    return Place("text", field.multi)


def fault(manifest: Manifest, told: str, path: str, written: str) -> tuple[str, str]:
    """Say why there is no such path and what to write; `told`: the app and account, `written`: as in the file."""
    custom = manifest.custom
    if custom and path.startswith(custom.prefix) and (found := _key_fault(manifest, custom, path)):
        return f"{told} can't have the field {quoted(written)}: {found[0]}", found[1]
    head, dot, part = path.partition(".")
    field = manifest.field(head)
    if field and dot:
        parts = PARTS.get(field.type, ())
        if not parts:
            return f"{quoted(head)} of {told} has no parts", f"Write `{head}`."
        meant = nearest(part, parts)
        remedy = f"Did you mean `{head}.{meant}`?" if meant else f"Write `{head}.` and {listed(parts, 'or')}."
        return f"{quoted(head)} of {told} has no part {quoted(written.partition('.')[2] or '…')}", remedy
    return f"{told} has no field {quoted(written)}", _instead(manifest, path, written)


def _instead(manifest: Manifest, path: str, written: str) -> str:
    head, dot, part = path.partition(".")
    for field in manifest.fields:
        if field.canonical == head.lower() and (not dot or part in PARTS.get(field.type, ())):
            return f"Did you mean `{field.path}{dot}{part}`?"
    prefix = manifest.custom.prefix if manifest.custom else ""
    if prefix and head.lower() == prefix.removesuffix("."):
        key = written.partition(".")[2]  # as written: the value may come from a variable
        return f"Write `{prefix}{key if place(manifest, prefix + part) else 'KEY'}`."
    paths = [field.path for field in manifest.fields]
    if (meant := nearest(head if dot else path, paths)) and place(manifest, f"{meant}{dot}{part}"):
        return f"Did you mean `{meant}{dot}{part}`?"
    return f"Write {listed([*paths, *([f'{prefix}KEY'] if prefix else [])], 'or')}."


def _key_fault(manifest: Manifest, custom: CustomFields, path: str) -> tuple[str, str] | None:
    """Why a custom field can't be called that, and what to write."""
    key = path.removeprefix(custom.prefix)
    if not key.strip():
        return "the key is missing", f"Write `{custom.prefix}KEY`."
    if key in custom.reserved:
        tag = Ability.TAG in manifest.abilities and key in RESERVED
        return (
            "that key is contactsync's own",
            f"Write `{{has_{manifest.tag_word}: {key}}}`." if tag else "Ask for another.",
        )
    if any(character in key for character in custom.forbidden):
        return f"a {custom.title} has no {listed(custom.forbidden, 'or')}", "Write the key as it is in the app."
    if custom.max_key and len(key) > custom.max_key:
        return f"a {custom.title} has at most {custom.max_key} characters", "Write the key as it is in the app."
    return None
