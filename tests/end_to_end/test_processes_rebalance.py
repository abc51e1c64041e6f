"""Processes of sync that come and go under load: nothing is lost, nothing happens twice, and how long it stalls."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from aiokafka.errors import GroupCoordinatorNotAvailableError

from services.demo.kafka import Cluster
from services.runtime.log.topics import PARTITIONS
from tests.end_to_end.processes import Process, until
from tests.end_to_end.processes_group import owners
from tests.end_to_end.processes_house import SESSION, House, house
from tests.end_to_end.two_stripes import live

CUSTOMERS = 50
PAUSE = 0.07
"""Seconds between two edits."""
EDITS = 30
"""How many are made between two changes of who is there."""


class Load:
    """A steady stream of edits on the left, each with a number of its own."""

    def __init__(self, home: House) -> None:
        self._home = home
        self._stop = asyncio.Event()
        self.edits: list[tuple[float, str, int]] = []
        """When, whose (the e-mail address), which."""

    async def run(self) -> None:
        shop = self._home.left
        customers = list(shop.customers)
        for number in itertools.count():
            id = customers[number * 7 % len(customers)]
            shop.dashboard.update(id, name=f"Edit {number}")
            self.edits.append((shop.clock(), shop.customers[id]["email"], number))
            try:
                async with asyncio.timeout(PAUSE):
                    await self._stop.wait()
                return
            except TimeoutError:
                continue

    def end(self) -> None:
        self._stop.set()

    async def more(self, count: int) -> None:
        """Wait for so many more edits."""
        goal = len(self.edits) + count
        await until(lambda: len(self.edits) >= goal, 60, f"{count} more edits")

    def longest(self, since: int, until: int | None = None) -> float:
        """Seconds from an edit to the first write that carries it or a later one of the same customer, at most.

        Of the edits with the numbers from `since` on, before `until`.
        """
        shop = self._home.right
        written: dict[str, list[tuple[float, int]]] = {}
        for each in shop.requests.writes("/v1/customers/*"):
            email = shop.customers[each.path.rpartition("/")[2]]["email"]
            written.setdefault(email, []).append((each.at, int(str(each.params["name"]).rpartition(" ")[2])))
        return max(
            min(at for at, carried in written[email] if carried >= number) - when
            for when, email, number in self.edits[since:until]
        )


async def dealt(bootstrap: str, count: int) -> None:
    """Wait until so many processes have all partitions between them."""

    async def so() -> bool:
        try:
            found = await owners(bootstrap)
        except GroupCoordinatorNotAvailableError:  # a broker with much to do has none for a moment
            return False
        return len(found) == 2 * PARTITIONS and len(set(found.values())) == count

    await until(so, 180, f"partitions are dealt to {count} processes")


async def there_and_back(home: House, bootstrap: str, load: Load, guests: Sequence[Process]) -> None:
    """Others come, work for a while, and are ended."""
    for process in guests:
        await process.start()
    await dealt(bootstrap, 1 + len(guests))
    await load.more(EDITS)
    assert await asyncio.gather(*(process.stop() for process in guests)) == [0] * len(guests)
    await dealt(bootstrap, 1)
    await load.more(EDITS)


async def test_from_one_process_to_three_and_back_under_load(
    database: str, tmp_path: Path, kafka_broker: Cluster
) -> None:
    bootstrap = kafka_broker.bootstrap
    async with house(tmp_path, database, f"kafka://{bootstrap}", seed=CUSTOMERS) as home:
        home.processes.role("sync-0", "sync")
        home.processes.role("connectors-0", "connectors", "--app", "stripe")
        first = list(home.processes)
        passing = [home.processes.role(f"sync-{at}", "sync", static=False) for at in (1, 2)]
        lasting = [home.processes.role(f"sync-{at}", "sync") for at in (3, 4)]
        await asyncio.gather(*(process.start() for process in first))
        await home.ready(*first)
        await home.scanned()
        await home.rest()
        load = Load(home)
        loading = asyncio.create_task(load.run())
        try:
            await load.more(EDITS)
            await there_and_back(home, bootstrap, load, passing)
            half = len(load.edits)
            await there_and_back(home, bootstrap, load, lasting)
        finally:
            load.end()
            await loading
        await home.rest(300)
        assert home.alike()
        assert [len(each.customers) for each in home.both] == [CUSTOMERS, CUSTOMERS]
        last = {email: f"Edit {number}" for _, email, number in load.edits}
        assert {customer["email"]: customer["name"] for customer in live(home.right)} | last == {
            customer["email"]: customer["name"] for customer in live(home.right)
        }
        writes = Counter(
            (each.path, str(each.params["name"])) for each in home.right.requests.writes("/v1/customers/*")
        )
        assert [write for write, times in writes.items() if times > 1] == []
        assert not home.left.requests.writes("/v1/customers*")
        assert await home.parked() == 0
        # Who leaves under a lasting name is waited for as long as a session.
        print(  # noqa: T201 - figures that somebody wants to know
            f"rebalance 1 → 3 → 1, {len(load.edits)} edits: longest stall {load.longest(0, half):.1f} s with names for "
            f"a run, {load.longest(half):.1f} s with lasting names and a session of {SESSION} s"
        )
