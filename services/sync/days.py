"""Journal, inputs and inbox are partitioned by day: days to come are made, old ones dropped whole (P17)."""

import asyncio
from datetime import date, timedelta
from typing import LiteralString, NoReturn

import asyncpg
import structlog

from services.runtime.log.errors import is_passing
from services.runtime.store import Connection as Database
from services.runtime.store import Store

KEPT: dict[LiteralString, int] = {"inbox": 4, "journal": 35, "input": 35}
"""Days kept. The inbox: older duplicates fall to the order of observations; journal and inputs: as long as events."""
AHEAD = 2
HOUR = 3600.0

_DAYS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = ('sync.' || $1)::regclass AND c.relname ~ '_[0-9]{8}$'
"""
_CUT = """
UPDATE sync.input_start SET whole = false WHERE whole AND EXISTS (SELECT FROM sync.input WHERE day < $1)
"""
_LATE = "SELECT EXISTS (SELECT FROM sync.{table}_default WHERE day = $1)"


async def keep_days(store: Store) -> NoReturn:
    """Tend the partitions every hour, for ever."""
    while True:
        try:
            await store.retrying(tend_days, repeatable=True)
        except Exception as error:
            # A day that has begun while its partition was made: it stays in the default partition.
            if not (is_passing(error) or isinstance(error, asyncpg.CheckViolationError)):
                raise
            structlog.get_logger().warning("days_put_off", error=type(error).__name__)
        await asyncio.sleep(HOUR)


async def tend_days(database: Database) -> None:
    """Make the partitions of the days to come, drop those past their time.

    Only one process does it at a time. Today, at a first start, stays in the default partition: rows may be on their
    way there already.
    """
    await database.execute("LOCK TABLE sync.parked IN SHARE UPDATE EXCLUSIVE MODE")
    today: date = await database.fetchval("SELECT current_date")
    await database.execute(_CUT, today - timedelta(days=KEPT["input"]))
    for table, kept in KEPT.items():
        names = {row["relname"] for row in await database.fetch(_DAYS, table)}
        for ahead in range(1, AHEAD + 1):
            day = today + timedelta(days=ahead)
            name = f"{table}_{day:%Y%m%d}"
            if name in names or await database.fetchval(_LATE.replace("{table}", table), day):
                continue
            following = day + timedelta(days=1)
            await database.execute(
                f"CREATE TABLE sync.{name} PARTITION OF sync.{table} FOR VALUES FROM ('{day}') TO ('{following}')"
            )
        for name in sorted(names):
            if date.fromisoformat(name[-8:]) < today - timedelta(days=kept):
                await database.execute(f"DROP TABLE sync.{name}")
        await database.execute(f"DELETE FROM sync.{table}_default WHERE day < $1", today - timedelta(days=kept))  # noqa: S608 - a table of ours
