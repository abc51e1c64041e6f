"""What a parameter may be, and the reading of a request's parameters by such declarations."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError

# Limits of metadata: https://docs.stripe.com/api/metadata
METADATA_KEYS = 50
METADATA_KEY_LENGTH = 40
METADATA_VALUE_LENGTH = 500

# Which addresses Stripe finds valid isn't documented: one @, something before it, a domain with a dot.
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z")


@dataclass(frozen=True)
class Text:
    """Text, at most `limit` characters; the empty text clears it, unless it can't be cleared."""

    limit: int | None = None
    email: bool = False
    clears: bool = True


@dataclass(frozen=True)
class Whole:
    """A whole number within bounds."""

    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Flag:
    """`true` or `false`."""


@dataclass(frozen=True)
class Choice:
    """One of some words; `empty` is what the empty text stands for."""

    options: tuple[str, ...]
    empty: str | None = None


@dataclass(frozen=True)
class Texts:
    """A list of texts, at most `limit` of them; the empty text stands for the empty list."""

    limit: int | None = None


@dataclass(frozen=True)
class Struct:
    """An object of its own fields; the empty text clears it."""

    members: Mapping[str, "Kind"]
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Structs:
    """A list of objects."""

    each: Struct


@dataclass(frozen=True)
class Span:
    """A moment in seconds, or a range of them: gt, gte, lt, lte. Read as a dict of those."""

    bounds: tuple[str, ...] = field(default=("gt", "gte", "lt", "lte"))


@dataclass(frozen=True)
class Metadata:
    """Key-value pairs; read as a dict whose None removes a key, or as None, which removes all."""


@dataclass(frozen=True)
class Unmodelled:
    """A parameter that Stripe has and this sandbox doesn't: refused in a way that says so."""


Kind = Text | Whole | Flag | Choice | Texts | Struct | Structs | Span | Metadata | Unmodelled


def clean(tree: Tree, kinds: Mapping[str, Kind], required: Iterable[str] = (), at: str = "") -> dict[str, Any]:
    """The parameters as values. Raises ApiError (400), with its full name, for the first wrong parameter."""
    for name in tree:
        if name not in kinds:
            param = _named(at, name)
            raise ApiError(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
    for name in required:
        if name not in tree:
            param = _named(at, name)
            raise ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)
    return {name: _read(value, kinds[name], _named(at, name)) for name, value in tree.items()}


def _named(at: str, name: str) -> str:
    return f"{at}[{name}]" if at else name


def _read(value: Any, kind: Kind, param: str) -> Any:
    match kind:
        case Struct(members, required):
            return None if value == "" else clean(_object(value, param), members, required, param)
        case Structs(each):
            elements = _object(value, param).items()
            return [
                clean(_object(element, f"{param}[{place}]"), each.members, each.required, f"{param}[{place}]")
                for place, element in elements
            ]
        case Texts(limit):
            return _texts(value, limit, param)
        case Span(bounds):
            if isinstance(value, dict):
                return clean(value, dict.fromkeys(bounds, Whole()), (), param)
            return dict.fromkeys(("gte", "lte"), _whole(value, Whole(), param))
        case Metadata():
            return None if value == "" else _metadata(_object(value, param))
        case Unmodelled():
            message = f"This sandbox doesn't model the parameter {param}. Leave it out, or model it."
            raise ApiError(message, code="sandbox_unmodelled", param=param)
        case _:
            if not isinstance(value, str):
                raise ApiError(f"Invalid string for {param}: an object was given.", param=param)
            return _scalar(value, kind, param)


def _scalar(value: str, kind: Text | Whole | Flag | Choice, param: str) -> Any:
    match kind:
        case Text():
            return _text(value, kind, param)
        case Whole():
            return _whole(value, kind, param)
        case Flag():
            if value not in ("true", "false"):
                raise ApiError(f"Invalid boolean: {value}", param=param)
            return value == "true"
        case Choice(options, empty):
            if value == "" and empty is not None:
                return empty
            if value not in options:
                raise ApiError(f"Invalid {param}: must be one of {', '.join(options)}.", param=param)
            return value


def _object(value: Any, param: str) -> Tree:
    if not isinstance(value, dict):
        raise ApiError(f"Invalid object for {param}: text was given.", param=param)
    return value


def _text(value: str, kind: Text, param: str) -> str | None:
    if value == "":
        if kind.clears:
            return None
        message = f"{param} can't be unset: give it a value, or leave it out."
        raise ApiError(message, code="parameter_invalid_empty", param=param)
    if kind.limit is not None and len(value) > kind.limit:
        message = f"Invalid string for {param}: {len(value)} characters, at most {kind.limit} are allowed."
        raise ApiError(message, param=param)
    if kind.email and not _EMAIL.match(value):
        raise ApiError(f"Invalid email address: {value}", code="email_invalid", param=param)
    return value


def _whole(value: Any, kind: Whole, param: str) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise ApiError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=param)
    number = int(value)
    if (kind.low is not None and number < kind.low) or (kind.high is not None and number > kind.high):
        message = f"Invalid integer for {param}: {number} isn't between {kind.low} and {kind.high}."
        raise ApiError(message, code="parameter_invalid_integer", param=param)
    return number


def _texts(value: Any, limit: int | None, param: str) -> list[str]:
    if value == "":
        return []
    texts = list(value.values()) if isinstance(value, dict) else []
    if not texts or not all(isinstance(each, str) for each in texts):
        raise ApiError(f"Invalid array for {param}.", param=param)
    if limit is not None and len(texts) > limit:
        raise ApiError(f"{param} takes at most {limit} values, {len(texts)} were given.", param=param)
    return texts


def _metadata(tree: Tree) -> dict[str, str | None]:
    for key, value in tree.items():
        param = f"metadata[{key}]"
        if len(key) > METADATA_KEY_LENGTH:
            message = f"Metadata keys have at most {METADATA_KEY_LENGTH} characters, this one has {len(key)}."
            raise ApiError(message, param=param)
        if not isinstance(value, str):
            raise ApiError("Metadata values are text, an object was given.", param=param)
        if len(value) > METADATA_VALUE_LENGTH:
            message = f"Metadata values have at most {METADATA_VALUE_LENGTH} characters, not {len(value)}."
            raise ApiError(message, param=param)
    return {key: value or None for key, value in tree.items()}


def merged(present: Mapping[str, str], change: Mapping[str, str | None] | None) -> dict[str, str]:
    """Metadata after a change: merged key by key, None removes. Raises ApiError (400) above 50 keys."""
    if change is None:
        return {}
    both = {key: value for key, value in {**present, **change}.items() if value is not None}
    if len(both) > METADATA_KEYS:
        message = f"Metadata has at most {METADATA_KEYS} keys, this would make {len(both)}."
        raise ApiError(message, param="metadata")
    return both
