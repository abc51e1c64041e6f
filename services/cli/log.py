"""`log adopt`: going on with a log that isn't the one that was worked on before."""

from __future__ import annotations

from services.cli.database import opened
from services.cli.failure import Failure
from services.cli.output import say
from services.connectors import discover
from services.connectors.runner import PROGRESS as CONNECTORS
from services.connectors.runner import group_of
from services.ingest.cursor import scan_again
from services.runtime.log import EVENTS, RECEIPTS, Log, Partition, commands_topic
from services.runtime.log.errors import UnknownTopicError
from services.runtime.log.open import log_of
from services.runtime.log.progress import Progress
from services.runtime.settings import load
from services.runtime.store import Connection, Store
from services.sync.worker import GROUP
from services.sync.worker import PROGRESS as SYNC

_ACCOUNTS = "SELECT name FROM registry.account WHERE removed_at IS NULL ORDER BY name"


async def adopt() -> int:
    """Accept the topics that are there now wherever they aren't the known ones, and have every account read again."""
    settings = load()
    readers: list[tuple[Progress, str, str]] = [(SYNC, GROUP, EVENTS), (SYNC, GROUP, RECEIPTS)]
    readers += [(CONNECTORS, group_of(app), commands_topic(app)) for app in discover()]
    async with opened(settings) as store, log_of(settings, store) as log:
        adopted = [topic for reader in readers for topic in await _adopt(log, store, *reader)]
        if not adopted:
            say("The log is the one that was worked on all along: there is nothing to adopt.")
            return 0
        again = await store.retrying(_read_again)
    for topic in adopted:
        say(f"{topic}: taken as it is now, from its first message")
    say(
        f"Read again from start to end, since events may be lost: {', '.join(again) or 'no account'}. Commands and "
        "receipts that are lost are sent again within ten minutes."
    )
    return 0


async def _adopt(log: Log, store: Store, progress: Progress, group: str, topic: str) -> list[str]:
    try:
        log_id, bounds = await log.topic_id(topic), await log.bounds(topic)
    except UnknownTopicError:
        raise Failure(
            f"The log has no topic {topic}. Run `contactsync migrate` first: it makes what is missing."
        ) from None

    async def work(database: Connection) -> frozenset[Partition]:
        foreign = await progress.foreign(database, group, log_id, bounds)
        await progress.adopt(database, group, log_id, {place: bounds[place][0] for place in foreign})
        return foreign

    return [topic] if await store.retrying(work, repeatable=True) else []


async def _read_again(database: Connection) -> list[str]:
    accounts = [row["name"] for row in await database.fetch(_ACCOUNTS)]
    return [account for account in accounts if await scan_again(database, account)]
