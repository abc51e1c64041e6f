"""A rolling update on Kafka, as a cluster does it: two of every role, replaced one by one while people work."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx2
import pytest

from services.demo.kafka import Cluster
from tests.end_to_end.processes import Process, until
from tests.end_to_end.processes_house import House, house
from tests.end_to_end.test_processes_rebalance import Load
from tests.end_to_end.two_stripes import comparable, live

PEOPLE = 150
"""So many that nobody is edited as often as the brake on a link's writes lets nobody be."""
EDITS = 15
"""How many are made after each replacement, before the next."""
SESSION = 45
"""Seconds, as deployed: who comes back under its name within them gets its own partitions back."""
KEPT = httpx2.Limits(keepalive_expiry=2.0)
"""Shorter than a process keeps idle connections (5 s): else one is closed while a request is on its way through it."""
ASKED_EVERY = 0.1
"""Seconds between two questions whether a process is ready."""


class Balancer(httpx2.AsyncBaseTransport):
    """Leads each request to the next process that is ready, and asks nobody else when that one fails."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ready: set[int] = set()
        self.served: Counter[int] = Counter()
        self._ports = ports
        self._leaving: set[int] = set()
        self._under_way: Counter[int] = Counter()
        self._turns = itertools.count()
        self._inner = httpx2.AsyncHTTPTransport(limits=KEPT)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on; with nobody ready it fails as a closed port does."""
        able = [port for port in self._ports if port in self.ready - self._leaving]
        if not able:
            raise httpx2.ConnectError("nobody is ready", request=request)
        port = able[next(self._turns) % len(able)]
        request.url = request.url.copy_with(port=port)
        self._under_way[port] += 1
        try:
            answer = await self._inner.handle_async_request(request)
            await answer.aread()
        finally:
            self._under_way[port] -= 1
        self.served[port] += 1
        return answer

    async def withdraw(self, port: int) -> None:
        """Lead nothing more there, as a cluster does before it tells a pod to end; its preStop waits as this does."""
        self._leaving.add(port)
        await until(lambda: not self._under_way[port], 30, "requests under way are answered")

    async def take_back(self, port: int) -> None:
        """Lead requests there again as soon as it says that it is ready."""
        self.ready.discard(port)
        self._leaving.discard(port)
        await until(lambda: port in self.ready, 60, "the process is ready again")

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask every process whether it is ready, again and again, while the block lasts."""
        async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
            tasks = [asyncio.create_task(self._ask(client, port)) for port in self._ports]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await self._inner.aclose()

    async def _ask(self, client: httpx2.AsyncClient, port: int) -> None:
        while True:
            try:
                fine = (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
            except httpx2.TransportError:
                fine = False
            (self.ready.add if fine else self.ready.discard)(port)
            await asyncio.sleep(ASKED_EVERY)


def revoked(home: House, process: Process) -> dict[str, int]:
    """How often the other processes had to give partitions back."""
    return {each.name: len(each.said("partitions_revoked")) for each in home.processes if each is not process}


async def replaced(home: House, process: Process, balancer: Balancer) -> None:
    """End a process in good order and start it again under its name; traffic is led away before, and back after."""
    ports = {f"ingest-{at}": port for at, port in enumerate(home.ports)}
    port = ports.get(process.name)
    disturbed = revoked(home, process)
    if port is not None:
        await balancer.withdraw(port)
    assert await process.stop() == 0
    assert process.said("stopped"), "it ended by itself, in time"
    await process.start()
    await home.ready(process)
    if port is not None:
        before = balancer.served[port]
        await balancer.take_back(port)
        await until(lambda: balancer.served[port] > before, 30, f"{process.name} is led requests again")
    assert revoked(home, process) == disturbed, "no other member of its group notices"


@pytest.mark.skipif(
    "CONTACTSYNC_TEST_FAULTS" not in os.environ,
    reason="a rolling restart takes a minute of a machine of its own: CONTACTSYNC_TEST_FAULTS=1",
)
async def test_every_first_attempt_is_taken_while_all_roles_are_replaced(
    database: str, tmp_path: Path, kafka_broker: Cluster
) -> None:
    log_url = f"kafka://{kafka_broker.bootstrap}"
    async with house(tmp_path, database, log_url, ingests=2, seed=PEOPLE, session=SESSION) as home:
        balancer = Balancer(home.ports)
        for shop in home.both:
            for endpoint in shop.webhooks.endpoints.wanting("customer.updated"):
                endpoint.transport = balancer
        for at in (0, 1):
            home.processes.role(f"sync-{at}", "sync")
            home.processes.role(f"connectors-{at}", "connectors", "--app", "stripe")
        everybody = list(home.processes)
        async with balancer.asking():
            await asyncio.gather(*(process.start() for process in everybody))
            await home.ready(*everybody)
            await until(lambda: balancer.ready == set(home.ports), 30, "both processes of ingest are ready")
            await home.scanned()
            await home.rest()
            load = Load(home)
            loading = asyncio.create_task(load.run())
            spans: dict[str, tuple[int, int]] = {}
            try:
                await load.more(EDITS)
                await home.processes.command("migrate")
                for process in everybody:
                    begun = len(load.edits)
                    await replaced(home, process, balancer)
                    await load.more(EDITS)
                    spans[process.name] = (begun, len(load.edits))
            finally:
                load.end()
                await loading
            await home.rest(300)
        for shop in home.both:
            assert shop.webhooks.deliveries
            first = Counter((each.attempts[0].status, each.attempts[0].error) for each in shop.webhooks.deliveries)
            assert first.keys() == {(200, None)}, "the first attempts' answers"
        nothing_lost_or_doubled(home, load)
        assert await home.parked() == 0
        stalls = ", ".join(f"{name} {load.longest(*span):.1f} s" for name, span in spans.items())
        print(  # noqa: T201 - figures that somebody wants to know
            f"rolling update, {len(load.edits)} edits, {sum(balancer.served.values())} webhooks taken at the first "
            f"attempt: longest stall {load.longest(0):.1f} s ({stalls}; session {SESSION} s)"
        )


def nothing_lost_or_doubled(home: House, load: Load) -> None:
    """Each person's last edit is on both sides, nobody was made, and no write was made twice."""
    left, right = ({each["email"]: comparable(each) for each in live(shop)} for shop in home.both)
    unlike = {email: (each, right.get(email)) for email, each in left.items() if each != right.get(email)}
    assert unlike == {}, f"edits of theirs: {[edit for edit in load.edits if edit[1] in unlike]}"
    assert [len(each.customers) for each in home.both] == [PEOPLE, PEOPLE]
    last = {email: f"Edit {number}" for _, email, number in load.edits}
    names = {customer["email"]: customer["name"] for customer in live(home.right)}
    assert {email: names[email] for email in last} == last
    writes = Counter((each.path, str(each.params["name"])) for each in home.right.requests.writes("/v1/customers/*"))
    assert [write for write, times in writes.items() if times > 1] == []
    assert not home.left.requests.writes("/v1/customers*")
