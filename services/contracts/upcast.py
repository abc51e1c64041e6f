"""Upcasters: pure functions that lift a message body from one version to the next.

Within a version a change is additive (a new field has a default, a type never changes) and needs nothing here.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

Body: TypeAlias = dict[str, Any]

Upcasters: TypeAlias = Mapping[tuple[str, int], Callable[[Body], Body]]

UPCASTERS: Upcasters = {}
"""(message type, version) -> the function that makes the next version's body of that version's."""


class MissingUpcastError(LookupError):
    """A version was raised without an upcaster for the one before."""


def lift(type_name: str, version: int, present: int, data: bytes, table: Upcasters = UPCASTERS) -> Body:
    """Return the body in `data`, of an older `version`, as one of the `present` version.

    Raises `MissingUpcastError` when a step has no upcaster, `msgspec.DecodeError` on broken JSON.
    """
    body: Body = msgspec.json.decode(data, type=dict[str, Any])
    for step in range(version, present):
        upcaster = table.get((type_name, step))
        if upcaster is None:
            raise MissingUpcastError(f"{type_name} version {step}")
        body = upcaster(body)
    return body
