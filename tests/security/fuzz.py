"""What fuzzing draws from: real samples, damaged as a hostile or broken sender would."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from typing import Any

TIMES = max(1, int(os.environ.get("CONTACTSYNC_FUZZ", "1")))
"""How many times as much as `make test` does: CONTACTSYNC_FUZZ=100 takes minutes per test."""

_NASTY = (
    *(
        "",
        "\x00",
        "\u202e\ufeff",
        "null",
        "x" * 70_000,
        "😀" * 300,
        "%s%n{0}",
        "../../etc/passwd",
        "http://169.254.169.254/",
    ),
    *("\ud800", "-0", "1e999", "9" * 400, "2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
    *("a@b@c", "<!DOCTYPE x>", "\r\nx: y", "//evil.example/", "people/../..", "{", "\\u0000"),
)
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, 1e308, -1e308, [], {}, [None], [[]]),
    *({"": None}, {"id": None}, [{"id": 1}] * 3, *_NASTY),
)


def damaged(raw: bytes, draw: random.Random) -> bytes:
    """The bytes with something cut, doubled, flipped, exchanged or put in."""
    out = bytearray(raw)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(out) + 1)
        end = min(len(out), start + draw.choice((1, 1, 2, 8, 64, 4096)))
        match draw.randrange(6):
            case 0:
                del out[start:end]
            case 1:
                out[start:start] = out[start:end]
            case 2 if start < len(out):
                out[start] ^= 1 << draw.randrange(8)
            case 3:
                out[start:end] = draw.choice(_NASTY).encode("utf-8", "surrogatepass")
            case 4:
                out[start:start] = draw.randbytes(draw.choice((1, 4, 64)))
            case _:
                del out[start:]
    return bytes(out)


def twisted(value: Any, draw: random.Random) -> Any:
    """The JSON value with one place in it exchanged, removed, doubled or nested."""
    places: list[tuple[Any, Any]] = []
    _places(value, places)
    if not places:
        return copy.deepcopy(draw.choice(_ODD))
    holder, key = draw.choice(places)
    match draw.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2 if isinstance(holder[key], list):
            holder[key] = holder[key] * 3
        case 3:
            holder[key] = nested(draw.choice((10, 200)))
        case _:
            holder[key] = copy.deepcopy(draw.choice(_ODD))
    return value


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def broken_json(raw: bytes, draw: random.Random) -> bytes:
    """A JSON text, damaged in its values, in its bytes or as a whole."""
    kind = draw.randrange(12)
    if kind == 0:
        return draw.choice(
            (b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"x" * 3_000_000 + b'"', b"", b"\xff\xfe", b"NaN")
        )
    if kind <= 3:
        return damaged(raw, draw)
    try:
        value = json.loads(raw)
    except ValueError:
        return damaged(raw, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        value = twisted(value, draw)
    # Lone surrogates and numbers without bounds are written as they are: parsers differ on them.
    return json.dumps(value, ensure_ascii=draw.random() < 0.7).encode("utf-8", "surrogatepass")


def rounds(count: int) -> range:
    """Seeds of that many rounds, times the setting."""
    return range(count * TIMES)


def each(count: int, one: Callable[[random.Random], None]) -> None:
    """Run `one` on that many draws; a failure tells which."""
    for seed in rounds(count):
        try:
            one(random.Random(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        _places(inner, found)
