"""An installation that has seen something, stopped in the midst of it, and what its database holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from services.connectors.stripe.sandbox import Where
from services.runtime.archive import tables
from services.runtime.archive.manifest import Manifest
from services.runtime.archive.stream import Span
from services.runtime.archive.writing import export
from services.runtime.store import Store
from tests.end_to_end.two_stripes import house

NAME = "contactsync-cli"
_ROWS = "SELECT r::text FROM {table} r ORDER BY 1"
# Another cluster's transactions are other ones.
_INPUTS = "SELECT (day, number, now, config, effect, body::text)::text FROM sync.input ORDER BY 1"
_LOG = ("log.topic", "log.partition", "log.record")


async def lived(dsn: str, folder: Path) -> None:
    """Let contactsync live a little on the database: people are made, changed and deleted, some of it not yet done."""
    async with house(dsn, folder) as home:
        made = [home.left.dashboard.create(name=f"Ada {n}", email=f"ada{n}@example.com")["id"] for n in range(8)]
        await home.until(lambda: len(home.right.customers) == len(made))
        await home.rest()
        home.left.dashboard.update(made[0], name='Zoë "Q" \\ Quay\tTab', description="two\nlines \u2028 and 漢字")
        home.left.dashboard.delete(made[1])
        await home.rest()
        dropped = home.right.faults.drop(Where("POST", "/v1/customers/*", times=None))
        home.left.dashboard.update(made[2], phone="+12025550123")
        await home.until(lambda: dropped.hits > 0)


async def exported(dsn: str, path: Path, *, span: Span | None = None) -> Manifest:
    """Export the installation on the database, whose log is the embedded one."""
    async with Store.open(dsn, max_size=2, name=NAME) as store:
        return await export(store, None, (), path, span=span)


async def contents(dsn: str, *, credentials: bool = False) -> dict[str, list[Any]]:
    """Return every row of every table that an archive holds, as text, and where the sequences stand."""
    async with Store.open(dsn, max_size=1, name="test") as store, store.transaction(readonly=True) as database:
        names = [table.name for table in await tables.tables(database, credentials=credentials)]
        found: dict[str, list[Any]] = {
            name: [
                row[0] for row in await database.fetch(_INPUTS if name == "sync.input" else _ROWS.format(table=name))
            ]
            for name in (*names, *_LOG)
        }
        found["sequences"] = [msgspec.json.encode(await tables.sequences(database)).decode()]
        return found


def named(dsn: str) -> str:
    """The name of the database at an address."""
    return "test_" + dsn.rpartition("/test_")[2].partition("?")[0]


def at_once(work: Any) -> Any:
    """Run a coroutine to its end where no loop runs."""
    return asyncio.run(work)
