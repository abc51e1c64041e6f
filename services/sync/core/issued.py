"""Which writes a decision gave rise to: what stands pending on the link after it, and didn't before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from services.contracts.commands import Version
from services.contracts.contact import SIDES, Side

if TYPE_CHECKING:  # a decision, which is part of the state, names what was issued
    from services.sync.core.state import Link


class Issued(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A write that a decision gave rise to, without its values."""

    side: Side
    version: Version
    kind: Literal["create", "update", "tag", "untag"]
    lines: tuple[str, ...] = ()
    """The mapping lines it writes."""
    action: str | None = None
    """Key of the rule's action that it does or undoes."""


def issued(before: Link, after: Link) -> tuple[Issued, ...]:
    """Return the writes that were decided between the two states of a link."""
    found = []
    for side in SIDES:
        pending, known = after.half(side).pending, before.half(side).pending
        if pending is None or (known is not None and known.version == pending.version):
            continue
        action = None if pending.doing is None else pending.doing.key
        found.append(
            Issued(
                side=side, version=pending.version, kind=pending.kind, lines=tuple(sorted(pending.lines)), action=action
            )
        )
    return tuple(found)
