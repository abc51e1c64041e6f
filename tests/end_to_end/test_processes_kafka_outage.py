"""Brokers that go away: what can't be kept isn't acknowledged, and what was acknowledged is there afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from services.demo.kafka import Cluster, broker_cluster
from tests.end_to_end.processes import until
from tests.end_to_end.processes_house import House, house
from tests.end_to_end.two_stripes import SECRETS, live

PEOPLE = 10
PATIENCE = {"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"}
"""A broker that was killed may come back only when it is given up as dead."""


@asynccontextmanager
async def running(folder: Path, dsn: str, cluster: Cluster) -> AsyncIterator[House]:
    async with house(folder, dsn, f"kafka://{cluster.bootstrap}", seed=PEOPLE) as home:
        home.processes.role("sync-0", "sync")
        home.processes.role("connectors-0", "connectors", "--app", "stripe")
        await asyncio.gather(*(process.start() for process in home.processes))
        await home.ready(*home.processes)
        await home.scanned()
        await home.rest()
        yield home


async def deliver(home: House) -> httpx2.Response:
    """Post a webhook that was delivered before once more, signed now."""
    body = b'{"id": "evt_again", "object": "event"}'
    for each in reversed(home.left.webhooks.deliveries):
        if each.state == "delivered":
            body = httpx2.Request("POST", "http://x", json=each.recorded.rendered()).content
            break
    now = int(time.time())
    signature = hmac.new(SECRETS[0].encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.post(f"http://127.0.0.1:{home.ports[0]}/hooks/shop", content=body, headers=headers)


async def refused(home: House) -> None:
    """Deliveries are put off: 503, and when to come again."""

    async def so() -> bool:
        answer = await deliver(home)
        return answer.status_code == 503 and int(answer.headers["retry-after"]) > 0

    await until(so, 40, "ingest answers 503 with Retry-After")


def rename_all(home: House, word: str) -> None:
    for number, id in enumerate(home.left.customers):
        home.left.dashboard.update(id, name=f"{word} {number}")


def named(home: House, word: str) -> bool:
    return all(customer["name"].startswith(word) for customer in live(home.right))


async def restarted(home: House) -> None:
    """Start again what has ended, as a supervisor does."""
    for process in home.processes:
        if not process.running:
            await process.start()


async def test_a_broker_that_is_killed_and_comes_back_has_all_that_was_acknowledged(
    kafka_here: None, database: str, tmp_path: Path
) -> None:
    async with (
        broker_cluster(tmp_path / "kafka", settings=PATIENCE) as cluster,
        running(tmp_path, database, cluster) as home,
    ):
        (broker,) = cluster.nodes
        home.left.dashboard.update(next(iter(home.left.customers)), name="Before 0")
        await home.rest()
        rename_all(home, "During")
        await until(lambda: any(d.state == "delivered" for d in home.left.webhooks.deliveries[-PEOPLE:]))
        await broker.kill()
        await refused(home)
        home.left.dashboard.create(name="During all that", email="late@example.com")
        await broker.start()
        await until(lambda: named(home, "During"), 60, "all edits have arrived")
        await home.rest()
        assert home.alike()
        assert len(home.right.customers) == PEOPLE + 1
        assert await home.parked() == 0
        assert [process.name for process in home.processes if not process.running] == []


async def test_a_cluster_goes_on_with_one_broker_gone_and_refuses_with_two(
    database: str, tmp_path: Path, kafka_cluster: Cluster
) -> None:
    async with running(tmp_path, database, kafka_cluster) as home:
        one, two, _ = kafka_cluster.nodes
        await one.kill()
        rename_all(home, "One gone")
        await until(lambda: named(home, "One gone"), 60, "edits arrive with one broker gone")
        await home.rest()
        await two.kill()
        await refused(home)
        rename_all(home, "Two gone")
        await asyncio.gather(one.start(wait=False), two.start(wait=False))
        assert await kafka_cluster.ready()
        await until(lambda: named(home, "Two gone"), 90, "edits arrive when the brokers are back")
        await home.rest()
        assert home.alike()
        assert await home.parked() == 0
        assert [process.name for process in home.processes if not process.running] == []
