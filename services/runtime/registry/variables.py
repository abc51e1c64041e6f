"""References to environment variables in a file: `${NAME}` and `${NAME:-default}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}\n\r]*))?\}|(?P<broken>\$\{)")
_BASE = 0xE000  # Unicode's private use area: 128 places for ASCII, printable for YAML and special to nobody
_HIDE = {n: _BASE + n for n in range(128)}
_SHOW = {_BASE + n: n for n in range(128)}
_RESERVED = re.compile(f"[{chr(_BASE)}-{chr(_BASE + 127)}]")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A text after its references were replaced."""

    value: str = field(repr=False)
    missing: tuple[str, ...]
    """Variables that aren't set and have no default."""
    referred: bool
    """Whether there was any reference."""
    literal: bool
    """Whether the text itself, or a default in it, says something: a secret there stands in plain text."""
    broken: bool
    """Whether a `${` isn't a reference."""


def reserved_at(text: str) -> int | None:
    """The index of a character that `hidden` needs for itself, or None."""
    found = _RESERVED.search(text)
    return found.start() if found else None


def hidden(text: str) -> str:
    """`text` with each reference in letters without meaning for YAML, of the same length.

    An unquoted `{key: ${NAME}}` isn't YAML, as a brace ends a plain word there; people write it all the same.
    """
    return _REFERENCE.sub(lambda found: found[0].translate(_HIDE) if found["name"] else found[0], text)


def shown(text: str) -> str:
    """Undo `hidden`."""
    return text.translate(_SHOW)


def resolved(text: str, environ: Mapping[str, str]) -> Resolved:
    """Replace references by values from `environ`. `$${` stands for `${` itself."""
    missing: list[str] = []
    parts: list[str] = []
    at, referred, broken, literal = 0, False, False, False
    for found in _REFERENCE.finditer(text):
        before = text[at : found.start()]
        at = found.end()
        name, default = found["name"], found["default"]
        literal = literal or bool(before.strip()) or bool(default)
        parts.append(before)
        if name:
            referred = True
            value = environ.get(name) or default
            if value is None:
                missing.append(name)
            parts.append(value or "")
        else:
            literal = True
            broken = broken or found["broken"] is not None
            parts.append("${")
    parts.append(text[at:])
    return Resolved("".join(parts), tuple(missing), referred, literal or bool(text[at:].strip()), broken)
