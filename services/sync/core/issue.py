"""Issuing a write: the next version of a side (P1: at most one unsettled), and again while nothing is heard of it."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Aim, Create, Tag, Untag, Update, Version, Write
from services.contracts.contact import SIDES, Side
from services.sync.core.brake import WINDOW
from services.sync.core.mapping import Config
from services.sync.core.slice import Slice
from services.sync.core.state import Half, Kind, LineWrite, Link, Pending

RESEND = 600_000_000
"""Microseconds after which a write that nobody answered is sent again: it, or its receipt, may be lost (P10)."""
_NOTHING = msgspec.Raw(b"null")
_KINDS: Mapping[Kind, type[Write]] = {"create": Create, "update": Update, "tag": Tag, "untag": Untag}


def issue(state: Slice, config: Config, link: Link, side: Side) -> tuple[Aim, Half]:
    """Return the aim of the next write to that side, and the half with its version counted."""
    half = link.half(side)
    lately = tuple(at for at in half.written if at > state.now - WINDOW)
    half = replace(half, issued=half.issued + 1, written=(*lately, state.now))
    aim = Aim(
        link=link.id,
        side=side,
        version=Version(state.incarnation, half.issued),
        connection=link.connection,
        config_version=config.version,
        account=config.account(side),
    )
    return aim, half


def send(
    state: Slice,
    config: Config,
    command: Write,
    lines: Mapping[str, LineWrite] | None = None,
    restores: tuple[str, ...] = (),
) -> Pending:
    """Put the command among those to be sent, and return it as what its side waits for."""
    state.commands.append((command, config.manifest(command.aim.side).name))
    return Pending(
        version=command.aim.version,
        kind=next(kind for kind, struct in _KINDS.items() if isinstance(command, struct)),
        at=state.now,
        sent=state.now,
        command=msgspec.Raw(msgspec.json.encode(command)),
        lines=dict(lines or {}),
        restores=restores,
    )


def send_again(state: Slice, link: Link) -> Link:
    """Send the link's writes again that were sent long ago and not answered.

    The ledger answers a version that it has settled with the receipt it stored, takes one in that it never saw, and
    ignores one that it is still working on (P12).
    """
    config = state.configs.get(link.connection)
    for side in SIDES:
        half = link.half(side)
        pending = half.pending
        if pending is None or state.now - pending.sent < RESEND:
            continue
        if config is not None and pending.command != _NOTHING:
            command = msgspec.json.decode(pending.command, type=_KINDS[pending.kind])
            state.commands.append((command, config.manifest(side).name))
        # Also where it can't be sent: its time has come, and comes again.
        link = link.with_half(side, replace(half, pending=replace(pending, sent=state.now)))
    return link
