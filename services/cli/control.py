"""`pause`, `resume` and `migrate`: what a person does to a running installation."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from services.cli.database import opened
from services.cli.failure import Failure
from services.cli.output import say
from services.connectors import discover
from services.connectors.restore import restore as restore_connectors
from services.contracts.app import Manifest
from services.runtime.clock import SystemClock
from services.runtime.log import EVENTS, RECEIPTS, Partition
from services.runtime.log.open import log_of
from services.runtime.log.topics import topics
from services.runtime.registry import pause as pausing
from services.runtime.registry import read
from services.runtime.registry.problem import nearest
from services.runtime.settings import load
from services.runtime.store import Connection, Store
from services.runtime.store.migrate import migrate as apply_migrations
from services.sync.restore import restore as restore_sync

_NEXT_INCARNATION = "UPDATE registry.incarnation SET n = n + 1 RETURNING n"


async def pause(name: str) -> int:
    """Pause the connection of that name."""
    async with opened(load()) as store, store.transaction() as database:
        outcome = await pausing.pause(database, name, SystemClock().now())
        if outcome == "unknown":
            raise await _unknown(database, name)
    say(f"{name} is paused{' already' if outcome == 'already' else ''}: events are taken in, nothing is written.")
    return 0


async def resume(name: str) -> int:
    """End the pause of the connection of that name."""
    async with opened(load()) as store, store.transaction() as database:
        outcome = await pausing.resume(database, name)
        if outcome == "unknown":
            raise await _unknown(database, name)
    say(f"{name} isn't paused." if outcome == "already" else f"{name} goes on, with the newest values.")
    return 0


async def migrate_store(*, restored: bool) -> int:
    """Apply the migrations that the database lacks, and make the topics that the log lacks."""
    settings, apps = load(), discover()
    async with opened(settings, migrated=False) as store:
        connection = await asyncpg.connect(store.dsn, timeout=30)
        try:
            done = await apply_migrations(connection)
        finally:
            await connection.close()
        for migration in done:
            say(f"applied {migration}")
        if not done:
            say("The database is up to date.")
        async with log_of(settings, store) as log:
            await log.create_topics(topics(apps))
            if restored:
                bounds = {**await log.bounds(EVENTS), **await log.bounds(RECEIPTS)}
                ends = {place: end for place, (_, end) in bounds.items()}
                await _restored(store, {name: app.manifest for name, app in apps.items()}, ends)
    return 0


async def _restored(store: Store, manifests: Mapping[str, Manifest], ends: Mapping[Partition, int]) -> None:
    async def work(database: Connection) -> tuple[int, int]:
        incarnation: int = await database.fetchval(_NEXT_INCARNATION)
        await restore_connectors(database)
        return incarnation, await restore_sync(database, manifests, ends)

    incarnation, links = await store.retrying(work)
    say(
        f"The database counts as restored from a copy (incarnation {incarnation}). Writes without an answer: {links}; "
        "their contacts are looked at before anything else is written to them."
    )


async def _unknown(database: Connection, name: str) -> Failure:
    names = [registered.connection.name for registered in await read.connections(database)]
    if meant := nearest(name, names):
        return Failure(f"There is no connection {name}. Did you mean {meant}?")
    known = f"There are {', '.join(names)}." if names else "None was applied yet: `contactsync apply FILE`."
    return Failure(f"There is no connection {name}. {known}")
