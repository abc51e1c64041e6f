"""What every process does beside its roles: it keeps its clock, and the log's age."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NoReturn

from services.runtime.clock import DatabaseClock
from services.runtime.log.errors import is_passing
from services.runtime.log.open import ManagedLog
from services.runtime.store import Store

_CLOCK_SECONDS = 60.0
_HOUR_SECONDS = 3600.0


async def measure(clock: DatabaseClock, store: Store) -> None:
    """Measure by how much this machine's clock differs from the database's. Raises what the store raises."""

    async def ask() -> datetime:
        now: datetime = await store.fetchval("SELECT clock_timestamp()")
        return now

    await clock.measure(ask)


async def keep_time(clock: DatabaseClock, store: Store) -> NoReturn:
    """Measure it again every minute."""
    while True:
        await asyncio.sleep(_CLOCK_SECONDS)
        try:
            await measure(clock, store)
        except Exception as error:
            if not is_passing(error):
                raise


async def keep_log(log: ManagedLog, retention: Mapping[str, timedelta]) -> NoReturn:
    """Let the log forget what is past its topic's time, every hour."""
    while True:
        try:
            await log.expire(retention)
        except Exception as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(_HOUR_SECONDS)
