"""The connections file as a JSON Schema (https://json-schema.org/draft/2020-12), for editors.

It says what `contactsync check` says, as far as a schema can: that a rule's condition suits its side's app, for one,
takes the accounts, and only `check` looks there. So what the check takes is valid, and not the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, get_args

from services.contracts.app import Credential, Manifest, Setting
from services.contracts.connection import Deletions, Direction
from services.contracts.contact import SIDES
from services.contracts.rule import Operator
from services.runtime.registry import wording

Json: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_CONDITIONS = 50
_NAME = "^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"
_WORDS = re.compile(r"[a-z_]+(\|[a-z_]+)+")
_VALUED: Mapping[str, str] = {
    "subscribed_to": "A subscription to this plan runs: a price's id, a product's id or a lookup key.",
    "not_subscribed_to": "No subscription to this plan runs: a price's id, a product's id or a lookup key.",
}
_FLAGS: Mapping[str, str] = {
    "has_subscription": "Any subscription runs.",
    "has_no_subscription": "No subscription runs.",
    "exists_on_other_side": "The other account had a contact with one of its addresses when it was first asked.",
}


def schema(manifests: Mapping[str, Manifest]) -> Json:
    """Return the schema for files whose accounts are of these apps."""
    return {
        "$schema": DIALECT,
        "title": "contactsync's connections file",
        "type": "object",
        "required": ["accounts", "connections"],
        "additionalProperties": False,
        "properties": {
            "accounts": {
                "description": "The accounts that connections pair, by names of your choice.",
                **_named({"$ref": "#/$defs/account"}),
            },
            "connections": {
                "description": "Which accounts are kept in step, and how.",
                **_named({"$ref": "#/$defs/connection"}),
            },
        },
        "$defs": {
            "variable": {
                "description": "Taken from the environment.",
                "type": "string",
                "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}\n\r]*)?\}",
            },
            "boolean": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/variable"}]},
            "text": {"type": ["string", "number", "boolean"]},
            "account": _account(manifests),
            **{f"account_{name}": _account_of(manifest) for name, manifest in manifests.items()},
            "connection": _connection(),
            "rule": _rule(),
            "condition": _condition(manifests.values()),
            "action": _action(manifests.values()),
            "mapping": _mapping(manifests.values()),
        },
    }


def _named(what: Json) -> Json:
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": what,
    }


def _account(manifests: Mapping[str, Manifest]) -> Json:
    return {
        "type": "object",
        "required": ["app"],
        "properties": {"app": {"description": "What kind of system it is.", "enum": sorted(manifests)}},
        "allOf": [
            {
                "if": {"properties": {"app": {"const": name}}, "required": ["app"]},
                "then": {"$ref": f"#/$defs/account_{name}"},
            }
            for name in sorted(manifests)
        ],
    }


def _account_of(manifest: Manifest) -> Json:
    # Credentials may be stored already (`contactsync authorize`): the file needn't have them.
    return {
        "title": manifest.title,
        "description": f"{manifest.title}: {manifest.docs}",
        "type": "object",
        "required": ["app", *(setting.key for setting in manifest.settings if setting.required)],
        "additionalProperties": False,
        "properties": {
            "app": {"const": manifest.name},
            **{credential.key: _credential(credential) for credential in manifest.credentials},
            **{setting.key: _setting(setting) for setting in manifest.settings},
        },
    }


def _credential(credential: Credential) -> Json:
    one = _patterned(credential.pattern)
    if credential.many:
        one = {"anyOf": [one, {"type": "array", "minItems": 1, "items": one}]}
    told = f"{credential.title}. Write it as ${{VARIABLE}}, or have `contactsync authorize` store it."
    return {"description": told, **one}


def _setting(setting: Setting) -> Json:
    told: Json = {"description": setting.title}
    if setting.default:
        told["default"] = setting.default
    if setting.example:
        told["examples"] = [setting.example]
    return {**told, **_patterned(setting.pattern)}


def _patterned(pattern: str) -> Json:
    if not pattern:
        return {"$ref": "#/$defs/text"}
    if _WORDS.fullmatch(pattern):
        # Some readers of YAML take `on` and `off` for booleans.
        return {"anyOf": [{"enum": pattern.split("|")}, {"type": "boolean"}, {"$ref": "#/$defs/variable"}]}
    return {
        "anyOf": [
            {"type": ["string", "number"], "pattern": f"^(?:{pattern})$"},
            {"$ref": "#/$defs/variable"},
        ]
    }


def _connection() -> Json:
    return {
        "type": "object",
        "required": ["left", "right"],
        "additionalProperties": False,
        "properties": {
            "left": {"description": "The name of an account.", "type": "string", "pattern": _NAME},
            "right": {"description": "The name of another account.", "type": "string", "pattern": _NAME},
            "direction": {
                "description": "Which way values flow.",
                "enum": list(get_args(Direction)),
                "default": "two_way",
            },
            "winner": {
                "description": "Whose value counts where both sides changed the same field. Only for `two_way`.",
                "enum": list(SIDES),
                "default": "left",
            },
            "options": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "avoid_duplicates": {
                        "description": "Contacts without an e-mail address stay out.",
                        "default": True,
                        "$ref": "#/$defs/boolean",
                    },
                    "sync_deletions": {
                        "description": "Where a contact whose partner was deleted gets a tag. `contactsync apps LEFT "
                        "RIGHT` says which of these a pair can have.",
                        "enum": list(get_args(Deletions)),
                        "default": "none",
                    },
                },
            },
            "rules": {
                "description": "Who takes part; without rules everybody.",
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/rule"},
            },
            "mappings": {
                "description": "Changes to the default mapping of fields.",
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/mapping"},
            },
        },
        # One way, the source always wins.
        "if": {"required": ["direction"], "properties": {"direction": {"not": {"const": "two_way"}}}},
        "then": {"not": {"required": ["winner"]}},
    }


def _rule() -> Json:
    return {
        "type": "object",
        "required": ["from"],
        "additionalProperties": False,
        "properties": {
            "from": {"description": "Whose contacts the rule is about.", "enum": list(SIDES)},
            "if": {
                "description": "All of these have to hold; without it, every contact of that side.",
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_CONDITIONS,
                "items": {"$ref": "#/$defs/condition"},
            },
            "then": {
                "description": "What is done to the other side's contact.",
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/action"},
            },
            "undo": {
                "description": "Take the actions back when the contact no longer matches.",
                "default": False,
                "$ref": "#/$defs/boolean",
            },
        },
    }


def _condition(manifests: Iterable[Manifest]) -> Json:
    words: dict[str, Json] = {}
    for manifest in manifests:
        for word in wording.conditions(manifest):
            if word in _FLAGS:
                words[word] = {"description": _FLAGS[word], "$ref": "#/$defs/boolean"}
            elif word in _VALUED:
                words[word] = {"description": _VALUED[word], "$ref": "#/$defs/text"}
            elif word != "field":
                has = "has" if word.startswith("has_") else "hasn't"
                told = f"The contact {has} the {manifest.tag_word} of this name ({manifest.title})."
                words[word] = {"description": told, "$ref": "#/$defs/text"}
    operators: dict[str, Json] = {each: {"$ref": "#/$defs/text"} for each in get_args(Operator)}
    operators |= {each: {"$ref": "#/$defs/boolean"} for each in ("is_empty", "is_not_empty")}
    operators["one_of"] = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/text"}}
    field = {
        "type": "object",
        "required": ["field"],
        "minProperties": 2,
        "maxProperties": 2,
        "additionalProperties": False,
        "properties": {
            "field": {
                "description": "The app's own path of a field, such as `email`, `address.country` or `metadata.KEY`.",
                "type": "string",
                "minLength": 1,
            },
            **operators,
        },
    }
    return {
        "type": "object",
        "if": {"required": ["field"]},
        "then": field,
        "else": {"minProperties": 1, "maxProperties": 1, "additionalProperties": False, "properties": words},
    }


def _action(manifests: Iterable[Manifest]) -> Json:
    words: dict[str, Json] = {}
    alone: set[str] = set()
    for manifest in manifests:
        for word in wording.actions(manifest):
            verb, _, what = word.partition("_")
            if word == "update_email":
                alone.add(word)
                told = f"Changed e-mail addresses go into {manifest.title} without a yes. Takes no value."
                words[word] = {"description": told, "enum": [True, None]}
            elif verb == "update":
                words[word] = {"description": f"Puts a text into {what} ({manifest.title}).", "$ref": "#/$defs/text"}
            else:
                doing = "Adds" if verb == "add" else "Removes"
                words[word] = {"description": f"{doing} a {what} ({manifest.title}).", "$ref": "#/$defs/text"}
    one = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": words,
    }
    return {"anyOf": [one, {"enum": sorted(alone)}]} if alone else one


def _mapping(manifests: Iterable[Manifest]) -> Json:
    names = sorted({field.canonical for manifest in manifests for field in manifest.fields if field.canonical})
    path: Json = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "anyOf": [{"required": ["default"]}, {"required": ["left", "right"]}],
        "dependentSchemas": {"default": {"not": {"anyOf": [{"required": ["left"]}, {"required": ["right"]}]}}},
        "additionalProperties": False,
        "properties": {
            "default": {"description": "A line of the default mapping.", "enum": names},
            "left": {"description": "The left app's path of a field.", **path},
            "right": {"description": "The right app's path of a field.", **path},
            "direction": {"description": "Narrows the line to one way.", "enum": list(get_args(Direction))},
            "enabled": {"description": "Whether the line is on.", "default": True, "$ref": "#/$defs/boolean"},
        },
    }
