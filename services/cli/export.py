"""The command `export`: everything that an installation knows, as an archive."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts

from services.cli.failure import MISUSED, Failure
from services.runtime.archive.manifest import Export, Manifest

# What it calls is imported when it is called: the file's commands work without the log and the connectors.
# ruff: noqa: PLC0415


def register(app: cyclopts.App) -> None:
    """Add the command to the command line."""
    app.command(export)


async def export(
    path: Path,
    /,
    *,
    since: str | None = None,
    until: str | None = None,
    with_credentials: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> int:
    """Write everything that this installation knows to an archive: its state, its log and its decisions.

    The archive holds contacts' data. Exported to the same folder again, it gets what is new, and outlives what the
    log and the journal keep.

    Parameters
    ----------
    path
        A name that ends with .zst for one file; any other is a folder.
    since
        Leave out what is older, such as 2026-11-01 or 2026-11-22T14:00 (UTC); what is still to be read is kept.
    until
        Leave out what is later. Such an archive is history to replay: it can't be imported.
    with_credentials
        Take the sealed credentials along. They are of use only with this installation's key.
    """
    from services.cli.database import opened
    from services.cli.output import say
    from services.cli.working import working
    from services.connectors import discover
    from services.runtime.archive.stream import Span
    from services.runtime.archive.writing import export as write
    from services.runtime.log.open import log_of
    from services.runtime.log.topics import topics
    from services.runtime.settings import load

    span = Span(since=moment("since", since), until=moment("until", until), credentials=with_credentials)
    settings, names = load(), tuple(topics(discover()))
    async with opened(settings) as store:
        with working("Exporting") as told:
            if settings.kafka_log:
                async with log_of(settings, store) as log:
                    manifest = await write(store, log, names, path, span=span, told=told)
            else:
                manifest = await write(store, None, names, path, span=span, told=told)
    for line in _told(path, manifest):
        say(line)
    return 0


def moment(option: str, text: str | None) -> datetime | None:
    """Return the moment that an option names, in UTC where it says no time zone. Raises `Failure`."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(
            f"--{option} {text} isn't a moment. Write a day, 2026-11-22, or a time, 2026-11-22T14:00.", MISUSED
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _told(path: Path, manifest: Manifest) -> list[str]:
    new = manifest.newest
    mine = [part for part in manifest.parts if part.export == new.number]
    records = sum(part.rows for part in mine if part.stream.startswith("log/"))
    decisions = sum(part.rows for part in mine if part.stream == "sync.journal")
    size = sum(part.size for part in mine)
    again = f" (export {new.number} into this folder)" if new.number > 1 else ""
    lines = [f"{path}: {records} messages and {decisions} decisions, {size / 1e6:.1f} MB{again}."]
    if lost := _lost(manifest):
        lines.append(
            f"{lost} messages came and went between the last export and this one: the log doesn't have them any more. "
            "Export more often than the log forgets."
        )
    lines += [_whole(new)]
    if new.whole:
        lines.append(
            "The sealed credentials are in it; they open with this installation's key only."
            if new.credentials
            else "Credentials aren't in it: after an import, accounts are authorized again, or applied from the file."
        )
    return lines


def _lost(manifest: Manifest) -> int:
    """How many messages the log dropped before they were in any export."""
    if len(manifest.exports) == 1:
        return 0
    before = manifest.exports[-2].bounds()
    return sum(max(0, begin - before[at][1]) for at, (begin, _) in manifest.newest.bounds().items() if at in before)


def _whole(new: Export) -> str:
    if not new.whole:
        return "It is history to replay, without the state: it can't be imported."
    if new.running:
        return (
            "contactsync was at work meanwhile: an import of this archive counts as a restored copy. To move the "
            "installation, stop it first and export again."
        )
    return "contactsync was stopped: `contactsync import` goes on exactly here."
