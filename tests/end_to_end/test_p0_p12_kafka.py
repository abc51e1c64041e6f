"""Rules of PROTOCOL.md that only separate processes on a real Kafka can break."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from services.connectors.stripe.sandbox.journal import Received
from services.demo.kafka import Cluster
from services.runtime.log import EVENTS, RECEIPTS, Partition
from services.sync.core.issue import RESEND
from services.sync.core.state import Link
from tests.conftest import Postgres
from tests.end_to_end.processes import until
from tests.end_to_end.processes_group import delete_topic, forget_records, owners
from tests.end_to_end.processes_house import SESSION, House, house
from tests.end_to_end.two_stripes import live

CONTACTS = 30
_DECIDED = "SELECT DISTINCT link, topic, partition FROM sync.journal WHERE topic IS NOT NULL AND link IS NOT NULL"
_UNSETTLED = "SELECT count(*) FROM sync.link WHERE unsettled > 0"
_PENDING = "SELECT id, state FROM sync.link WHERE unsettled > 0 FOR UPDATE"
_AGE = "UPDATE sync.link SET state = $2, unsettled_since = unsettled_since - interval '11 min' WHERE id = $1"


@asynccontextmanager
async def running(
    folder: Path, dsn: str, broker: Cluster, *, syncs: int = 1, seed: int = 0, session: int = SESSION
) -> AsyncIterator[House]:
    """Everything running, both accounts read, and at rest."""
    async with house(folder, dsn, f"kafka://{broker.bootstrap}", seed=seed, session=session) as home:
        for at in range(syncs):
            home.processes.role(f"sync-{at}", "sync")
        home.processes.role("connectors-0", "connectors", "--app", "stripe")
        await asyncio.gather(*(process.start() for process in home.processes))
        await home.ready(*home.processes)
        await home.scanned()
        await home.rest()
        yield home


async def stopped(home: House) -> None:
    """End all processes in good order."""
    assert set(await asyncio.gather(*(process.stop() for process in home.processes))) == {0}


async def started(home: House) -> None:
    await asyncio.gather(*(process.start() for process in home.processes))
    await home.ready(*home.processes)


def once_each(home: House) -> None:
    """Both sides have the same, and nobody is there twice."""
    assert home.alike()
    for each in home.both:
        emails = Counter(customer["email"] for customer in live(each))
        assert max(emails.values()) == 1


def creates(home: House) -> list[tuple[str, int]]:
    """The customers that were made for us, and how often each."""
    made = [each.params.get("email") for side in home.both for each in side.requests.writes("/v1/customers")]
    return sorted(Counter(str(email) for email in made).items())


async def test_p0_two_processes_decide_about_the_same_links_and_agree(
    database: str, tmp_path: Path, kafka_broker: Cluster
) -> None:
    async with running(tmp_path, database, kafka_broker, syncs=2, seed=CONTACTS) as home:
        dealt: dict[Partition, str] = {}

        async def shared() -> bool:
            dealt.update(await owners(kafka_broker.bootstrap))
            return Counter(dealt.values()) == {"sync-0": 4, "sync-1": 4}

        await until(shared, 30, "both processes of sync have partitions")
        rng = random.Random(12)
        for shop in home.both:
            shop.webhooks.copies, shop.webhooks.disorder = 2, 0.5
        for turn in range(120):
            shop = rng.choice(home.both)
            customer = rng.choice(list(shop.customers))
            field = rng.choice(("name", "phone", "description"))
            value = f"+120255501{turn % 100:02}" if field == "phone" else f"{field} {turn}"
            shop.dashboard.update(customer, **{field: value})
            await asyncio.sleep(0.04)
        await home.rest(90)
        once_each(home)
        assert [len(each.customers) for each in home.both] == [CONTACTS, CONTACTS]
        assert creates(home) == []
        assert await home.parked() == 0
        told: dict[str, set[tuple[str, str]]] = {}
        for row in await home.store.fetch(_DECIDED):
            owner = dealt[Partition(row["topic"], row["partition"])]
            told.setdefault(str(row["link"]), set()).add((row["topic"], owner))
        apart = [link for link, by in told.items() if {(EVENTS, "sync-0"), (RECEIPTS, "sync-1")} <= by]
        apart += [link for link, by in told.items() if {(EVENTS, "sync-1"), (RECEIPTS, "sync-0")} <= by]
        assert apart, "no link whose events and receipts different processes take in"


async def age(home: House) -> int:
    """Let every unsettled write have been sent longer ago than anybody waits for; return how many those are."""
    back = RESEND + 60_000_000
    async with home.store.transaction() as database:
        rows = await database.fetch(_PENDING)
        for row in rows:
            link = msgspec.json.decode(row["state"], type=Link)
            halves = {}
            for side in ("left", "right"):
                half = getattr(link, side)
                if half.pending is not None:
                    sent = msgspec.structs.replace(half.pending, sent=half.pending.sent - back)
                    halves[side] = msgspec.structs.replace(half, pending=sent)
            link = msgspec.structs.replace(link, **halves)
            await database.execute(_AGE, row["id"], msgspec.json.encode(link).decode())
    return len(rows)


async def test_p12_a_receipt_that_is_lost_is_given_again_and_nothing_is_written_twice(
    database: str, tmp_path: Path, kafka_broker: Cluster
) -> None:
    async with running(tmp_path, database, kafka_broker, seed=2) as home:
        sync = home.processes["sync-0"]
        home.left.dashboard.update(next(iter(home.left.customers)), name="Ada")
        await home.rest()
        before = await home.incoming(RECEIPTS)
        slow = [shop.faults.slow(1.0) for shop in home.both]
        slow[0].times = 0
        home.left.dashboard.update(next(iter(home.left.customers)), name="Eve")
        await until(lambda: slow[1].hits, 30, "the write is under way")
        await sync.stop()

        async def answered() -> bool:
            return await home.incoming(RECEIPTS) != before

        await until(answered, 30, "the receipt is in the log")
        lost = await home.incoming(RECEIPTS)
        await forget_records(kafka_broker.bootstrap, lost)
        await sync.start()
        # The loss itself doesn't go unnoticed: a person has to say that it is to go on.
        assert await sync.ended(60) != 0
        assert "were never read" in sync.words()
        told = await home.processes.command("log", "adopt")
        assert RECEIPTS in told
        await sync.start()
        await home.ready(sync)
        assert await age(home) == 1

        async def settled() -> bool:
            return bool(await home.store.fetchval(_UNSETTLED) == 0)

        await until(settled, 30, "the lost receipt was given again")
        await home.rest()
        once_each(home)
        written = [each.params.get("name") for each in home.right.requests.writes("/v1/customers*")]
        assert written == ["Ada", "Eve"]


async def test_p12_a_restored_database_writes_nothing_of_what_newer_commands_say(
    postgres: Postgres, tmp_path: Path, kafka_broker: Cluster
) -> None:
    dsn, copies = postgres.create(), []
    log_url = f"kafka://{kafka_broker.bootstrap}"
    try:
        async with running(tmp_path, dsn, kafka_broker, seed=3) as home:
            first, second, third = home.left.customers
            home.left.dashboard.update(first, name="Before the copy")
            await home.rest()
            await stopped(home)
            await home.look_away()
            copies.append(postgres.create(_name(dsn)))

            # What the copy doesn't know: two edits on each side of one person's link, and somebody new on either side.
            await home.look(dsn, log_url)
            await started(home)
            for number in range(2):
                home.left.dashboard.update(second, name=f"Newer {number}")
                await home.rest()
            home.left.dashboard.create(name="Nora", email="nora@example.com")
            home.right.dashboard.create(name="Omar", email="omar@example.com")
            await home.rest()
            home.left.dashboard.update(third, phone="+12025550150")
            await home.rest()
            assert creates(home) == [("nora@example.com", 1), ("omar@example.com", 1)]
            await stopped(home)
            home.left.dashboard.update(second, name="Newest")  # its webhook waits for somebody who takes it
            before = [len(each.requests.writes("/v1/customers*")) for each in home.both]

            await home.look_away()
            home.processes.use(copies[0])
            assert "incarnation 2" in await home.processes.command("migrate", "--restored")
            await home.look(copies[0], log_url)
            for process in home.processes:
                await process.start(CONTACTSYNC_STORE_URL=copies[0])
            await home.ready(*home.processes)
            await home.rest()
            written = [
                [each.params for each in shop.requests.writes("/v1/customers*")[count:]]
                for shop, count in zip(home.both, before, strict=True)
            ]
            once_each(home)
            assert creates(home) == [("nora@example.com", 1), ("omar@example.com", 1)]
            assert written == [[], [{"name": "Newest"}]]
            assert await home.parked() == 0
    finally:
        for each in (dsn, *copies):
            postgres.drop(each)


def writes(home: House) -> list[Received]:
    """The writes that either account has carried out, the left one's first."""
    return [each for shop in home.both for each in shop.requests.writes("/v1/customers*")]


def _name(dsn: str) -> str:
    """The database's name."""
    return dsn.partition("?")[0].rpartition("/")[2]


async def test_p12_a_topic_made_anew_stops_its_readers_until_a_person_adopts_it(
    database: str, tmp_path: Path, kafka_broker: Cluster
) -> None:
    async with running(tmp_path, database, kafka_broker, seed=2, session=45) as home:
        # A supervisor starts again long before a session of that length is over.
        sync, ingest = home.processes["sync-0"], home.processes["ingest-0"]
        await delete_topic(kafka_broker.bootstrap, EVENTS)
        first = next(iter(home.left.customers))
        home.left.dashboard.update(first, name="while there was none")
        assert await sync.ended(60) != 0
        await home.processes.command("migrate")
        await sync.start()
        assert await sync.ended(60) != 0
        assert "contactsync log adopt" in sync.words()
        assert EVENTS in await home.processes.command("log", "adopt")
        await sync.start()
        if not ingest.running:
            await ingest.start()
        await home.ready(sync, ingest)
        await until(home.alike, 60, "what was lost is found")
        home.left.dashboard.update(first, phone="+12025550150")
        await home.rest()
        once_each(home)
        assert creates(home) == []
