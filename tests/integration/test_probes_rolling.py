"""A rolling update: each process is ended and started again by its name, one after the other, while people work."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.end_to_end.processes import Process, until
from tests.end_to_end.processes_house import House, house
from tests.end_to_end.two_stripes import live

PEOPLE = 6
ROLLED = ("ingest-0", "sync-0", "connectors-0")


def edit(home: House, number: int) -> None:
    """Everybody's name on the left."""
    for at, id in enumerate(home.left.customers):
        home.left.dashboard.update(id, name=f"Edit {number}.{at}")


async def taken_up(home: House, process: Process, number: int) -> None:
    """Wait until a change made now is on the other side: the process does its part again."""
    await home.ready(process)
    edit(home, number)
    await until(
        lambda: all(each["name"].startswith(f"Edit {number}.") for each in live(home.right)),
        60,
        f"edit {number} arrives",
    )


async def test_a_rolling_update_loses_nothing_and_writes_nothing_twice(database: str, tmp_path: Path) -> None:
    async with house(tmp_path, database, "postgres:", seed=PEOPLE) as home:
        home.processes.role("sync-0", "sync")
        home.processes.role("connectors-0", "connectors", "--app", "stripe")
        await asyncio.gather(*(process.start() for process in home.processes))
        await home.ready(*home.processes)
        await home.scanned()
        await home.rest()
        for turn, name in enumerate(ROLLED):
            process = home.processes[name]
            edit(home, 2 * turn)  # under way while the process is asked to end
            assert await process.stop() == 0
            assert process.said("stopped"), "it ended by itself, in time"
            await process.start()
            await taken_up(home, process, 2 * turn + 1)
        await home.rest()
        assert home.alike()
        assert [len(each.customers) for each in home.both] == [PEOPLE, PEOPLE]
        writes = [(each.path, str(each.params["name"])) for each in home.right.requests.writes("/v1/customers/*")]
        assert len(writes) == len(set(writes))
        assert await home.parked() == 0
