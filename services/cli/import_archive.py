"""The command `import`: an archive into an installation that knows nothing yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated

import cyclopts

from services.cli.output import complain, say
from services.contracts.app import Manifest
from services.runtime.archive.manifest import Export
from services.runtime.archive.reading import Archive
from services.runtime.log import EVENTS, RECEIPTS, Partition
from services.runtime.settings import Settings
from services.runtime.store import Connection, Store

# What it calls is imported when it is called: the file's commands work without the log and the connectors.
# ruff: noqa: PLC0415
_NEXT_INCARNATION = "UPDATE registry.incarnation SET n = n + 1"
_KEYS = "SELECT DISTINCT key_id FROM registry.credential ORDER BY key_id"
_ACCOUNTS = """
SELECT name FROM registry.account a WHERE removed_at IS NULL
   AND NOT EXISTS (SELECT FROM registry.credential c WHERE c.account = a.name) ORDER BY name
"""


def register(app: cyclopts.App) -> None:
    """Add the command to the command line."""
    app.command(import_, name="import")


async def import_(path: Path, /, *, restored: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Put an archive's state, log and decisions into this installation, which has to be empty.

    With CONTACTSYNC_LOG_URL naming Kafka, the archive's messages go there, and the installation goes on with Kafka.

    Parameters
    ----------
    path
        What `contactsync export` wrote: a folder or a file.
    restored
        The archived installation went on working after the export: no write that the archive has as unsettled is
        trusted, and the contacts they went to are looked at first. So is an archive that was made while contactsync
        was at work, by itself.
    """
    from services.cli.database import opened
    from services.cli.working import working
    from services.connectors import discover
    from services.runtime.archive.loading import check, load, refuse_unless_empty
    from services.runtime.archive.moving import publish
    from services.runtime.log.open import log_of
    from services.runtime.log.topics import topics
    from services.runtime.settings import load as load_settings

    settings, apps = load_settings(), discover()
    archive = Archive(path)
    export = check(archive)
    again = restored or export.running
    async with opened(settings, migrated=False) as store:
        async with store.transaction(readonly=True) as database:
            await refuse_unless_empty(database)
        with working("Checking") as told:
            archive.verify(lambda part: told(part.stream, part.rows))
        manifests = {name: app.manifest for name, app in apps.items()}
        with working("Importing") as told:
            if settings.kafka_log:
                async with log_of(settings, store) as log:
                    await log.create_topics(topics(apps))
                    moved = await publish(archive, export, log, told)
                    ends = {at: end + moved.shifts.get(at, 0) for at, (_, end) in export.bounds().items()}
                    await load(store, archive, moved=moved, then=_last(manifests, ends) if again else None, told=told)
            else:
                ends = {at: end for at, (_, end) in export.bounds().items()}
                await load(store, archive, then=_last(manifests, ends) if again else None, told=told)
                async with log_of(settings, store) as log:
                    await log.create_topics(topics(apps))
        await _tell(store, settings, export, again=again)
    return 0


def _last(manifests: Mapping[str, Manifest], ends: Mapping[Partition, int]) -> Callable[[Connection], Awaitable[None]]:
    """Return the transaction's last step where the archived installation went on: as after any restored copy (P12)."""
    from services.connectors.restore import restore as restore_connectors
    from services.sync.restore import restore as restore_sync

    async def last(database: Connection) -> None:
        await database.execute(_NEXT_INCARNATION)
        await restore_connectors(database)
        await restore_sync(
            database, manifests, {place: end for place, end in ends.items() if place.topic in {EVENTS, RECEIPTS}}
        )

    return last


async def _tell(store: Store, settings: Settings, export: Export, *, again: bool) -> None:
    from services.runtime.secrets import vault

    say(f"Imported: everything as it was at {export.at:%Y-%m-%d %H:%M:%S} UTC.")
    if again:
        say(
            "It counts as restored from a copy: contacts with writes that had no answer are looked at before anything "
            "else is written to them."
        )
    if bare := [row["name"] for row in await store.fetch(_ACCOUNTS)]:
        say(
            f"Without credentials: {', '.join(bare)}. Apply the connections file with its secrets, or run `contactsync "
            "authorize ACCOUNT` for each."
        )
    key = None if settings.secret_key is None else settings.secret_key.get_secret_value()
    ours = vault(key, settings.data_dir, bundled_store=settings.bundled_store).key_ids
    if foreign := [row["key_id"] for row in await store.fetch(_KEYS) if row["key_id"] not in ours]:
        complain(
            f"The credentials were sealed with the key {', '.join(foreign)}, which isn't here: set "
            "CONTACTSYNC_SECRET_KEY to it, or copy its secret.key into the data folder, before you start."
        )
