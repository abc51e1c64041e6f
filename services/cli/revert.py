"""The command `revert`, as the command line shows it; what it does is in `reverted`."""

from __future__ import annotations

from typing import Annotated

import cyclopts

Flag = Annotated[bool, cyclopts.Parameter(negative=())]


def register(app: cyclopts.App) -> None:
    """Add the command to the command line."""
    app.command(revert)


async def revert(  # noqa: PLR0913 - each narrows what is meant by another word
    contact: str | None = None,
    /,
    *,
    config: int | None = None,
    connection: str | None = None,
    line: str | None = None,
    rule: int | None = None,
    since: str | None = None,
    until: str | None = None,
    yes: Flag = False,
    limit: int = 50,
    json: Flag = False,
) -> int:
    """Take back what contactsync wrote: fields that still hold it get back what stood there before.

    Contacts that it created get the trash tag; nothing is deleted. Shows everything first, then asks. What can't be
    taken back is listed with the reason.

    Parameters
    ----------
    contact
        Only what was written to this one's pair: an e-mail address, a contact's id, ACCOUNT/CONTACT or a link's id.
    config
        What was written under the file that was applied as this version (`contactsync apply` printed it).
    connection
        Only this one's writes.
    line
        Only what this mapping line wrote; it is named by one of its fields. Needs --connection.
    rule
        Only what this rule did, by its place in the connection from 1. Needs --connection.
    since
        Only what was written from then on: 30min, 2h, 3d ago, or a time such as 2026-11-22T14:00.
    until
        Only what was written before then.
    yes
        Don't ask.
    limit
        How many contacts are shown; all are counted.
    json
        Print JSON, for programs. Without --yes that is the plan, and nothing is written.
    """
    from services.cli import reverted  # noqa: PLC0415 - the file's commands work without sync and connectors

    asked = reverted.Asked(
        contact=contact,
        config=config,
        connection=connection,
        line=line,
        rule=rule,
        since=since,
        until=until,
        yes=yes,
        limit=limit,
    )
    return await reverted.revert(asked, as_json=json)
