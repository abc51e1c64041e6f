"""An archive's messages in a real Kafka: published once, counted from wherever the topics begin, and read back (G5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from services.runtime.archive.error import ArchiveError
from services.runtime.archive.loading import load
from services.runtime.archive.moving import publish
from services.runtime.archive.reading import Archive
from services.runtime.archive.writing import export
from services.runtime.log import Message, Partition
from services.runtime.log.open import ManagedLog, open_log
from services.runtime.store import Store
from tests.conftest import Postgres
from tests.end_to_end.processes_group import delete_topic
from tests.integration.archive_rig import NAME, exported
from tests.kafka import Kafka

# The session's Kafka is everybody's.
EVENTS, RECEIPTS = (f"archive-{uuid4()}.{name}" for name in ("events", "receipts"))
TOPICS = {EVENTS: 2, RECEIPTS: 1}
FIRST = Partition(EVENTS, 1)
COUNT = 1_203
_BEGUN = "UPDATE log.partition SET first_offset = 40, next_offset = 40 WHERE topic = $1"
_JOURNALLED = """
INSERT INTO sync.journal (day, number, input, cause, topic, partition, position, at, outcome, reason)
VALUES (current_date, nextval('sync.journal_number'), 'contact.changed', 'x', $1, $2, 41, now(), 'none', '')
"""
_TAKEN_IN = """
INSERT INTO sync.input (day, number, xid, now, config, effect, body)
VALUES (current_date, nextval('sync.input_number'), pg_current_xact_id(), 1, '', '', $1)
"""
_PROGRESS = """
INSERT INTO sync.progress (grp, topic, partition, epoch, next_offset, log_id)
SELECT 'sync', $1, 1, 3, 42, id::text FROM log.topic WHERE name = $1
"""


def body(position: int) -> bytes:
    item = {"type": "message", "topic": EVENTS, "partition": 1, "position": position, "id": "x"}
    return msgspec.json.encode({"items": [item, {"type": "due", "link": "l"}], "incarnation": 1})


@pytest.fixture
async def archive(database: str, tmp_path: Path) -> Path:
    """An archive whose log begins at offset 40."""
    async with Store.open(database, max_size=2, name=NAME) as store:
        async with open_log("postgres:", store) as log:
            await log.create_topics(TOPICS)
            await store.execute(_BEGUN, EVENTS)
            each = [Message(key=b"a\0%d" % n, headers=(("ce_id", b"%d" % n),), value=b"{%d}" % n) for n in range(COUNT)]
            await log.append(FIRST, each)
            await log.publish(RECEIPTS, [Message(key=b"\xff", headers=(("h", b"\xfe"),), value=b"\x00")])
        await store.execute(_JOURNALLED, *FIRST)
        await store.execute(_TAKEN_IN, body(41))
        await store.execute(_PROGRESS, EVENTS)
    await exported(database, tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
async def cluster(kafka: Kafka, postgres: Postgres) -> AsyncIterator[tuple[Store, ManagedLog]]:
    """An empty store beside Kafka, whose topics are this test's."""
    dsn = postgres.create()
    async with (
        Store.open(dsn, max_size=2, name=NAME) as store,
        open_log(f"kafka://{kafka.bootstrap}", store) as log,
    ):
        await log.create_topics(TOPICS)
        yield store, log
    for topic in TOPICS:
        await delete_topic(kafka.bootstrap, topic)
    postgres.drop(dsn)


async def read(log: ManagedLog, place: Partition) -> list[tuple[int, Message]]:
    begin, end = (await log.bounds(place.topic))[place]
    return [
        (record.offset, Message(key=record.key, headers=record.headers, value=record.value))
        async for batch in log.read(place, begin, end)
        for record in batch
    ]


async def test_g5_messages_move_to_kafka_once_and_every_place_moves_with_them(
    archive: Path, cluster: tuple[Store, ManagedLog], tmp_path: Path
) -> None:
    store, log = cluster
    opened = Archive(archive)
    whole = [(r.offset - 40, Message(key=r.key, headers=r.headers, value=r.value)) for r in opened.records(FIRST)]
    assert len(whole) == COUNT
    # An import that was cut short has published some.
    await log.append(FIRST, [message for _, message in whole[:700]])
    moved = await publish(opened, opened.manifest.newest, log)
    assert await read(log, FIRST) == whole
    assert await publish(opened, opened.manifest.newest, log) == moved
    assert moved.shifts[FIRST] == -40
    await load(store, opened, moved=moved)
    assert await store.fetchval("SELECT position FROM sync.journal") == 1
    progress = await store.fetchrow("SELECT next_offset, epoch, log_id FROM sync.progress")
    assert progress is not None
    assert tuple(progress) == (2, 3, await log.topic_id(EVENTS))
    assert msgspec.json.decode(await store.fetchval("SELECT body FROM sync.input")) == msgspec.json.decode(body(1))
    assert await store.fetchval("SELECT count(*) FROM log.record") == 0

    # And from Kafka, the other way too: the archive says the same, as Kafka counts.
    back = tmp_path / "back.zst"
    manifest = await export(store, log, tuple(TOPICS), back)
    assert manifest.log == "kafka"
    assert [(r.offset, r.value) for r in Archive(back).records(FIRST)] == [(at, m.value) for at, m in whole]
    assert [
        r.key for place in manifest.newest.bounds() if place.topic == RECEIPTS for r in Archive(back).records(place)
    ]


async def test_g5_a_kafka_archive_goes_into_the_embedded_log(
    archive: Path, cluster: tuple[Store, ManagedLog], empty_database: str, tmp_path: Path
) -> None:
    store, log = cluster
    opened = Archive(archive)
    await load(store, opened, moved=await publish(opened, opened.manifest.newest, log))
    await export(store, log, tuple(TOPICS), tmp_path / "kafka")
    async with Store.open(empty_database, max_size=2, name=NAME) as new:
        await load(new, Archive(tmp_path / "kafka"))
        async with open_log("postgres:", new) as embedded:
            assert await read(embedded, FIRST) == await read(log, FIRST)
            log_id = await embedded.topic_id(EVENTS)
        assert await new.fetchval("SELECT log_id FROM sync.progress") == log_id


async def test_g5_topics_with_other_messages_are_refused(archive: Path, cluster: tuple[Store, ManagedLog]) -> None:
    _, log = cluster
    await log.append(FIRST, [Message(key=b"", headers=(), value=b"somebody else's")])
    with pytest.raises(ArchiveError, match="has other messages"):
        await publish(Archive(archive), Archive(archive).manifest.newest, log)
    assert len(await read(log, FIRST)) == 1
