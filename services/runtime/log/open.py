"""Which log: the scheme of its address says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

from services.runtime.log import Log
from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Store


class LogUrlError(ValueError):
    """The log's address isn't one we know."""


class ManagedLog(Log, Protocol):
    """A log together with what only its installation does."""

    async def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create the topics (name to number of partitions) that aren't there; another number is an error."""
        ...

    async def expire(self, retention: Mapping[str, timedelta]) -> int:
        """Delete records older than their topic's age; return how many."""
        ...


@contextlib.asynccontextmanager
async def open_log(url: str, store: Store) -> AsyncIterator[ManagedLog]:
    """Open the log at `url` (CONTACTSYNC_LOG_URL): `postgres:` is the one in `store`'s own database.

    Raises `LogUrlError` for any other scheme.
    """
    match urlsplit(url).scheme:
        case "postgres":
            async with PostgresLog.open(store) as log:
                yield log
        case scheme:
            raise LogUrlError(
                f"CONTACTSYNC_LOG_URL names a log of the kind {scheme!r}, which this version doesn't have. "
                "Write `postgres:` for the log in contactsync's own database."
            )
