"""An installation moves from the embedded log to Kafka in the midst of its work, through an archive (G5)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from services.connectors.stripe.sandbox import Where
from services.demo.kafka import Cluster
from services.runtime.log import EVENTS, Message, commands_topic
from services.runtime.log.open import open_log
from services.runtime.store import Store
from tests.conftest import Postgres
from tests.end_to_end.processes import until
from tests.end_to_end.processes_group import forget_records
from tests.end_to_end.processes_house import House, house
from tests.end_to_end.two_stripes import live

UPDATE = Where("POST", "/v1/customers/*")
CREATE = Where("POST", "/v1/customers")
_EXPIRE = "SELECT log.expire($1, number, now(), 2) FROM log.partition WHERE topic = $1"
COMMANDS = commands_topic("stripe")


def once_each(home: House) -> None:
    """Both sides have the same, and nobody is there twice."""
    assert home.alike()
    for each in home.both:
        assert max(Counter(customer["email"] for customer in live(each)).values()) == 1


async def start(home: House) -> None:
    await asyncio.gather(*(process.start() for process in home.processes))
    await home.ready(*home.processes)


async def cut_short(home: House, customers: list[str]) -> None:
    """Stop it with a write and a create on their way, and events that nobody has read."""
    sync, connectors, ingest = (home.processes[name] for name in ("sync-0", "connectors-0", "ingest-0"))
    slow = [home.right.faults.slow(10.0, where) for where in (UPDATE, CREATE)]
    home.left.dashboard.update(customers[0], name="Under way")
    home.left.dashboard.create(name="New", email="new@example.com")
    await until(lambda: all(fault.hits for fault in slow), 30, "two writes are under way")
    await sync.kill()
    before = await home.incoming(EVENTS)
    home.left.dashboard.update(customers[1], name="Unread", phone="+12025550177")
    home.left.dashboard.create(name="Unread too", email="unread@example.com")
    home.right.dashboard.update(list(home.right.customers)[2], description="typed on the right")

    async def taken() -> bool:
        return sum((await home.incoming(EVENTS)).values()) >= sum(before.values()) + 3

    await until(taken, 30, "the events are in the log")
    await connectors.kill()
    home.right.faults.clear()
    assert await ingest.stop() == 0
    # Its webhook waits for somebody who takes it.
    home.left.dashboard.update(customers[3], name="While it was away")


async def topics_that_were_used(home: House, dsn: str, broker: Cluster) -> None:
    """Make the topics, with a message in some of them that was deleted since: they don't begin at 0."""
    await home.processes.command("migrate")
    async with Store.open(dsn, max_size=1) as store, open_log(f"kafka://{broker.bootstrap}", store) as log:
        await log.publish_everywhere(EVENTS, Message(key=b"", headers=(), value=b"gone"))
        await forget_records(broker.bootstrap, {place: end for place, (_, end) in (await log.bounds(EVENTS)).items()})


async def test_g5_an_installation_cut_short_moves_to_kafka_without_losing_or_repeating_anything(
    postgres: Postgres, tmp_path: Path, kafka_broker: Cluster
) -> None:
    old, new = postgres.create(), postgres.create()
    log_url = f"kafka://{kafka_broker.bootstrap}"
    archive = tmp_path / "archive"
    async with house(tmp_path, old, "postgres:", seed=5) as home:
        home.processes.role("sync-0", "sync")
        home.processes.role("connectors-0", "connectors", "--app", "stripe")
        await start(home)
        await home.scanned()
        await home.rest()
        customers = list(home.left.customers)
        home.left.dashboard.update(customers[4], name="Before")
        await home.rest()
        await home.store.execute(_EXPIRE, COMMANDS)
        written = [len(each.requests.writes("/v1/customers*")) for each in home.both]
        assert written == [0, 1]
        await cut_short(home, customers)
        await home.look_away()
        told = await home.processes.command("export", str(archive), "--with-credentials")
        assert "goes on exactly here" in told

        home.processes.use(new)
        home.processes._settings["CONTACTSYNC_LOG_URL"] = log_url
        await topics_that_were_used(home, new, kafka_broker)
        told = await home.processes.command("import", str(archive))
        assert "Imported: everything" in told
        assert "restored" not in told
        for process in home.processes:
            await process.start(CONTACTSYNC_STORE_URL=new, CONTACTSYNC_LOG_URL=log_url)
        await home.look(new, log_url)
        await home.ready(*home.processes)
        await home.rest(120)
        once_each(home)
        assert await home.parked() == 0
        names = {customer["email"]: customer["name"] for customer in live(home.right)}
        assert names["new@example.com"] == "New"
        assert names["unread@example.com"] == "Unread too"
        # Every place in the journal is where the message is now.
        assert "differences=0" in await home.processes.command("replay", "--audit")
        # Three edits and two new people flowed to the right, and one edit to the left: one write each, none twice.
        assert [len(each.requests.writes("/v1/customers*")) for each in home.both] == [1, 1 + 5]
    for dsn in (old, new):
        postgres.drop(dsn)
