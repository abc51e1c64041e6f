"""The commands that look after an installation, as the command line shows them: its schema, keys and log."""

from __future__ import annotations

from typing import Annotated

import cyclopts

from services.cli import control


def register(app: cyclopts.App) -> None:
    """Add the commands to the command line."""
    app.command(migrate)
    app.command(keys)
    app.command(log)


log = cyclopts.App(name="log", help="The log that messages travel in.")
keys = cyclopts.App(name="keys", help="The keys that seal the stored credentials.")


async def migrate(*, restored: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Bring the database's schema up to this version, and make the topics that the log lacks.

    Parameters
    ----------
    restored
        The database was restored from a copy. Stop every contactsync first; then writes that the copy holds as
        unanswered are looked into before anything else is written to their contacts.
    """
    return await control.migrate_store(restored=restored)


@keys.command(name="show")
async def keys_show() -> int:
    """Tell which keys there are, and how much each has sealed."""
    from services.cli import keys as sealing  # noqa: PLC0415 - the file's commands work without sync and connectors

    return await sealing.show()


@keys.command(name="rotate")
async def keys_rotate() -> int:
    """Seal every stored credential and token with a new key; ended in the middle, it goes on the next time.

    Without CONTACTSYNC_SECRET_KEY, the new key is made now, and a running contactsync has it at once. Otherwise put
    the new key on a line before the old one in CONTACTSYNC_SECRET_KEY wherever contactsync runs, then run this.
    """
    from services.cli import keys as sealing  # noqa: PLC0415 - the file's commands work without sync and connectors

    return await sealing.rotate_keys()


@log.command(name="adopt")
async def log_adopt() -> int:
    """Go on with the log that is there now, though it isn't the one worked on before, or has lost messages.

    Every account is read again from start to end.
    """
    from services.cli.log import adopt  # noqa: PLC0415 - the file's commands work without sync and connectors

    return await adopt()
