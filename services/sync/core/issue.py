"""Issuing a write: the next version of a side (P1: at most one unsettled)."""

from msgspec.structs import replace

from services.contracts.commands import Aim, Version
from services.contracts.contact import Side
from services.sync.core.mapping import Config
from services.sync.core.slice import Slice
from services.sync.core.state import Half, Link


def issue(state: Slice, config: Config, link: Link, side: Side) -> tuple[Aim, Half]:
    """Return the aim of the next write to that side, and the half with its version counted."""
    half = replace(link.half(side), issued=link.half(side).issued + 1)
    aim = Aim(
        link=link.id,
        side=side,
        version=Version(state.incarnation, half.issued),
        connection=link.connection,
        config_version=config.version,
        account=config.account(side),
    )
    return aim, half
