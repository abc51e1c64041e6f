"""The command `explain`, as the command line shows it; what it does is in `explained`."""

from __future__ import annotations

from typing import Annotated

import cyclopts


def register(app: cyclopts.App) -> None:
    """Add the command to the command line."""
    app.command(explain)


async def explain(
    what: str,
    /,
    *,
    connection: str | None = None,
    since: str | None = None,
    limit: int = 30,
    json: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> int:
    """Tell everything about a contact: both sides now, which rules hold and why, what comes next, and its story.

    Prints the contact's data. Changes nothing.

    Parameters
    ----------
    what
        An e-mail address, a link's id, a contact's id in its app, or ACCOUNT/CONTACT.
    connection
        Its name, if only what happens in this one is asked for.
    since
        How far back the story goes: 30min, 2h, 3d, or a time such as 2026-11-22T14:00.
    limit
        How many entries of the story are shown, the newest.
    json
        Print JSON, for programs.
    """
    from services.cli import explained  # noqa: PLC0415 - the file's commands work without sync and connectors

    asked = explained.Asked(what=what, connection=connection, since=since, limit=limit)
    return await explained.explain(asked, as_json=json)
