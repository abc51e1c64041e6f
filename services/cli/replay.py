"""The command `replay`, as the command line shows it; what it does is in the modules that it calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

from services.cli.failure import MISUSED, Failure

Flag = Annotated[bool, cyclopts.Parameter(negative=())]


def register(app: cyclopts.App) -> None:
    """Add the command to the command line."""
    app.command(replay)


async def replay(  # noqa: PLR0913 - each is a choice that a person makes by name
    *,
    audit: Flag = False,
    preview: Path | None = None,
    repair: Flag = False,
    checkpoint: Path | None = None,
    archive: Path | None = None,
    from_: Annotated[Path | None, cyclopts.Parameter(name="--from")] = None,
    resume: Path | None = None,
    since: str | None = None,
    until: str | None = None,
    connection: str | None = None,
    account: str | None = None,
    contact: str | None = None,
    type_: Annotated[str | None, cyclopts.Parameter(name="--type")] = None,
    fresh: Flag = False,
    yes: Flag = False,
    limit: int = 30,
    page: int = 1,
    json: Flag = False,
) -> int:
    """Go through what happened once more. Nothing is written to any app, except by a repair.

    Parameters
    ----------
    audit
        Decide about everything again with today's program, in the same order, and tell every difference.
    preview
        Tell what history would have led to under the rules in this connections file.
    repair
        Decide anew what should be, from what is known now, and write only what differs: shown first, then asked.
    checkpoint
        Write what is known now to this file, for audits from now on. It holds contacts' data.
    archive
        Audit this export, instead of the present installation.
    from_
        Begin the audit at this checkpoint, instead of at the beginning.
    resume
        An audit that is stopped (Ctrl-C) writes here how far it came, and goes on from there the next time.
    since
        Tell only differences from then on: 30min, 2h, 3d ago, or a time such as 2026-11-22T14:00.
    until
        Tell only differences before then.
    connection
        Tell only differences in this connection.
    account
        Tell only differences about this account's contacts.
    contact
        Tell only differences about this contact, by its id in its app.
    type_
        Tell only differences that this kind of input led to: contact.changed, receipt.write, reconsider …
    fresh
        Before a repair, read every linked contact from its app.
    yes
        Repair without asking.
    limit
        How many differences are told; all are counted.
    page
        Which page of a preview is shown.
    json
        Print JSON, for programs.
    """
    if [audit, repair, preview is not None, checkpoint is not None].count(True) != 1:
        wanted = "--audit, --preview FILE, --repair, --checkpoint FILE"
        raise Failure(f"Say what is to be done: one of {wanted}.", MISUSED)
    # What is called is imported when it is called: other commands work without sync and connectors.
    from services.cli import replayed  # noqa: PLC0415

    if checkpoint is not None:
        return await replayed.write_checkpoint(checkpoint)
    if repair:
        from services.cli import repaired  # noqa: PLC0415

        return await repaired.repair(
            connection=connection,
            account=account,
            contact=contact,
            fresh=fresh,
            yes=yes,
            as_json=json,
            limit=limit,
        )
    asked = replayed.Asked(
        archive=archive,
        start=from_,
        resume=resume,
        since=since,
        until=until,
        connection=connection,
        account=account,
        contact=contact,
        type=type_,
        limit=limit,
    )
    if preview is not None:
        from services.cli import previewed  # noqa: PLC0415

        filters = replayed.filters_of(asked)
        return await previewed.preview(preview, filters=filters, as_json=json, limit=limit, page=page)
    return await replayed.audit(asked, as_json=json)
