"""The command `forget`, as the command line shows it; what it does is in `forgetting`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

Flag = Annotated[bool, cyclopts.Parameter(negative=())]


def register(app: cyclopts.App) -> None:
    """Add the command to the command line."""
    app.command(forget)


async def forget(
    contact: str | None = None,
    /,
    *,
    list_: Annotated[bool, cyclopts.Parameter(name="--list", negative=())] = False,
    lift: str | None = None,
    archive: tuple[Path, ...] = (),
    yes: Flag = False,
) -> int:
    """Erase a person from everything that contactsync holds, and keep them from coming back.

    Both sides of their pair are forgotten, and whoever shares an address with them. The contacts in the apps stay:
    nothing is ever deleted there. Shows whom it means first, then asks.

    Parameters
    ----------
    contact
        An e-mail address, a contact's id, ACCOUNT/CONTACT or a link's id.
    list_
        Show the entries that keep people away: their ids, when they were made and who asked; not about whom.
    lift
        Take the person of this entry in again, from their next change or scan on.
    archive
        An exported file or folder that is rewritten without the person; may be named several times.
    yes
        Don't ask.
    """
    from services.cli import forgetting  # noqa: PLC0415 - the file's commands work without sync and connectors

    return await forgetting.forget(contact, entries=list_, lift=lift, archives=archive, yes=yes)
