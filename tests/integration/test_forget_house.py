"""`contactsync forget` beside an installation at work: on Kafka, and while the apps go on telling of the person."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.connectors.stripe.sandbox import Where
from services.demo.kafka import Cluster
from services.ingest.cursor import scan_again
from services.ingest.wish import Wishes
from services.runtime.archive.reading import Archive
from services.runtime.log import EVENTS, Partition, commands_topic
from services.runtime.log.topics import RETENTION
from tests.conftest import Postgres
from tests.end_to_end.processes import until
from tests.end_to_end.processes_group import admin
from tests.end_to_end.processes_house import House, house
from tests.end_to_end.two_stripes import live
from tests.integration.forget_rig import TRACES, held, traces

GRACE = {"name": "Grace Quillfeather", "email": "grace@quill.example", "phone": "+12025550177"}
ON_HER_WAY = "Quillfeather, on her way"
KEPT = timedelta(days=41)
_SCANS = "SELECT scan_number FROM ingest.cursor WHERE account = 'shop' AND state = 'live'"


@asynccontextmanager
async def lived(folder: Path, dsn: str, log_url: str) -> AsyncIterator[tuple[House, dict[str, str]]]:
    """An installation at work, which has seen three people; their ids on the left by name."""
    async with house(folder, dsn, log_url) as home:
        people = [GRACE, {"name": "Ada", "email": "ada@example.com"}, {"name": "Bob", "email": "bob@example.com"}]
        ids = {each["name"].split()[0]: home.left.dashboard.create(**each)["id"] for each in people}
        home.processes.role("rest-0", "sync", "connectors", "--app", "stripe")
        await asyncio.gather(*(process.start() for process in home.processes))
        await home.ready(*home.processes)
        await home.scanned()
        home.left.dashboard.update(ids["Grace"], description="Quillfeather of old")
        await home.rest()
        assert home.alike()
        assert await traces(home.store) != []
        yield home, ids


def theirs(home: House) -> list[dict[str, Any]]:
    """Their customers in both accounts, as they are now."""
    return [each for shop in home.both for each in live(shop) if each["email"] == GRACE["email"]]


async def come_by_every_way(home: House, ids: dict[str, str]) -> None:
    """The app tells of the person by webhook, in its feed, and in a scan of everything; and of Ada, who is wanted."""
    home.left.dashboard.update(ids["Grace"], description="By webhook", name="Grace Q. Quillfeather")
    home.left.dashboard.create(**{**GRACE, "name": "Another Quillfeather"})
    await home.rest()

    home.left.webhooks.hold()
    home.left.dashboard.update(ids["Grace"], description="In the feed")
    home.left.dashboard.update(ids["Ada"], description="In the feed")
    assert home.left.webhooks.discard() == 2
    home.left.webhooks.release()
    await Wishes(home.store)("shop")
    await until(lambda: [each for each in live(home.right) if each["description"] == "In the feed"], 60, "Ada's edit")
    await home.rest()

    before = await home.store.fetchval(_SCANS)
    async with home.store.transaction() as database:
        assert await scan_again(database, "shop")

    async def scanned() -> bool:
        return bool((await home.store.fetchval(_SCANS) or 0) > before)

    await until(scanned, 60, "a scan of everything")
    await home.rest()


async def published(home: House, since: dict[Partition, int]) -> list[bytes]:
    """What the log's messages from there on hold of the person."""
    return [
        record.value
        for place, (_, end) in (await home.log.bounds(EVENTS)).items()
        async for batch in home.log.read(place, since[place], end)
        for record in batch
        if any(text.encode() in record.value for text in TRACES)
    ]


def unsaid(home: House) -> None:
    """Nothing of the person stands in a log line."""
    said = "".join(process.words() for process in home.processes)
    assert '"started"' in said
    assert not [text for text in TRACES if text in said]


async def unchanged(home: House, ids: dict[str, str]) -> None:
    """They aren't taken in again, whichever way they come, and their contacts in the apps are let alone."""
    since = await home.incoming()
    right = [each for each in live(home.right) if each["email"] == GRACE["email"]]
    await come_by_every_way(home, ids)
    assert await traces(home.store) == []
    assert await published(home, since) == []
    assert [each for each in live(home.right) if each["email"] == GRACE["email"]] == right
    assert len(theirs(home)) == 3
    assert await home.parked() == 0
    unsaid(home)


async def test_g7_scans_feeds_and_webhooks_do_not_bring_a_forgotten_person_back(
    postgres: Postgres, tmp_path: Path
) -> None:
    dsn = postgres.create()
    async with lived(tmp_path, dsn, "postgres:") as (home, ids):
        write = home.right.faults.slow(4.0, Where("POST", "/v1/customers/*"))
        home.left.dashboard.update(ids["Grace"], description=ON_HER_WAY)
        await until(lambda: write.hits, 30, "a write is under way")
        told = await home.processes.command("forget", GRACE["email"], "--yes")
        assert re.search(r"2 contacts, \d links, 1 addresses", told)
        assert "in Kafka" not in told
        home.right.faults.clear()
        # What was on its way arrives: nobody can call it back, and nothing is left that would tell of it.
        await until(lambda: any(each["description"] == ON_HER_WAY for each in live(home.right)), 60, "the write")
        await home.rest()
        await unchanged(home, ids)
        assert "differences=0" in await home.processes.command("replay", "--audit")
    postgres.drop(dsn)


async def keep_longer(bootstrap: str, topic: str, kept: timedelta) -> None:
    """Set a topic's own retention, as an operator does."""
    milliseconds = str(kept // timedelta(milliseconds=1))
    async with admin(bootstrap) as client:
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": milliseconds})]
        )


async def test_g7_kafka_keeps_a_forgotten_person_until_the_date_told_and_history_passes_over_them(
    postgres: Postgres, tmp_path: Path, kafka_broker: Cluster
) -> None:
    dsn = postgres.create()
    async with lived(tmp_path, dsn, f"kafka://{kafka_broker.bootstrap}") as (home, ids):
        await keep_longer(kafka_broker.bootstrap, commands_topic("stripe"), KEPT)
        begun = datetime.now(UTC)
        told = await home.processes.command("forget", GRACE["email"], "--yes")
        date = re.search(r"in Kafka expires on (\d{4}-\d\d-\d\d \d\d:\d\d) UTC", told)
        assert date is not None, told
        last = datetime.strptime(date[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        assert KEPT > RETENTION
        assert begun + KEPT - timedelta(minutes=1) <= last <= datetime.now(UTC) + KEPT
        assert await traces(home.store) == []
        # Kafka still has what was said about them before.
        beginning = dict.fromkeys(await home.incoming(), 0)
        assert len(await published(home, beginning)) >= 2

        audit = await home.processes.command("replay", "--audit")
        assert "differences=0 writes=0" in audit
        file = str(tmp_path / "connections.yaml")
        preview = await home.processes.command("replay", "--preview", file, "--json")
        assert not [text for text in TRACES if text in preview]
        answer = msgspec.json.decode(preview[preview.index("\n{") :])
        assert (answer["outlooks"], answer["differences"]) == ([], 0)
        await home.processes.command("export", str(tmp_path / "archive"))
        assert not held(tmp_path / "archive")
        assert sum(1 for place in beginning for _ in Archive(tmp_path / "archive").records(place)) > 2

        await unchanged(home, ids)
        entry = (await home.processes.command("forget", "--list")).split()[0]
        await home.processes.command("forget", "--lift", entry)
        assert await traces(home.store) == []
        home.left.dashboard.update(ids["Grace"], description="Wanted again")
        await home.rest()
        assert await traces(home.store) != []
        # What was said before they were forgotten stays passed over, and what is said now counts.
        audit = await home.processes.command("replay", "--audit")
        assert "differences=0 writes=0" in audit
    postgres.drop(dsn)
