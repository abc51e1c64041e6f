"""The commands `plan` and `apply`, as the command line shows them; what they do is in `planned` and `files`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

from services.cli import files


def register(app: cyclopts.App) -> None:
    """Add the commands to the command line."""
    app.command(plan)
    app.command(apply)


async def plan(
    file: Path,
    /,
    *,
    fresh: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    offline: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    limit: int = 50,
    page: int = 1,
    json: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> int:
    """Tell what applying a connections file would do: counts, then each contact and field. Changes nothing.

    Prints contacts' data. `contactsync apply FILE --plan ID` then does exactly that.

    Parameters
    ----------
    file
        The YAML file.
    fresh
        Read all contacts of its accounts from the apps first; without it, what is known counts.
    offline
        Ask no app, such as Stripe for its plans, when the file is checked.
    limit
        How many contacts are told on a page.
    page
        Which page, from 1 on.
    json
        Print JSON, for programs.
    """
    from services.cli import planned  # noqa: PLC0415 - the file's commands work without sync and connectors

    asked = planned.Asked(fresh=fresh, offline=offline, limit=limit, page=page)
    return await planned.plan_file(file, asked, as_json=json)


async def apply(
    file: Path, /, *, plan: str | None = None, offline: Annotated[bool, cyclopts.Parameter(negative=())] = False
) -> int:
    """Put a connections file into force, and say what that changed.

    A file that would overwrite or tag many contacts waits for a yes to its plan.

    Parameters
    ----------
    file
        The YAML file.
    plan
        The id of a plan that you have seen: the file is applied if it would still do exactly that.
    offline
        Ask no app, such as Stripe for its plans.
    """
    return await files.apply_file(file, offline=offline, plan=plan)
