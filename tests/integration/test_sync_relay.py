"""The relay: what is decided reaches the log, also what became visible out of its numbers' order, and after crashes."""

from __future__ import annotations

import asyncio

import msgspec

from services.contracts.envelope import Envelope, from_headers
from services.runtime.log import commands_topic
from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Store
from services.sync.relay import CHUNK, Relay
from services.sync.save import encode_headers
from tests.integration.sync_messages import changed, message, shop
from tests.integration.sync_rig import Rig, rig

TOPIC = commands_topic("book_app")
PUT = """
INSERT INTO sync.outbox (topic, key, headers, value, at) SELECT $1, 'k', $2, convert_to(n::text, 'UTF8'), now()
  FROM generate_series($3::int, $4::int) n
"""


def put(first: int, last: int) -> tuple[str, str, int, int]:
    posted = message(changed("shop", "cus", shop("Ada", "ada@example.com")))
    return TOPIC, encode_headers(posted.headers), first, last


async def published(made: Rig) -> list[int]:
    rows = await made.store.fetch('SELECT value FROM log.record WHERE topic = $1 ORDER BY partition, "offset"', TOPIC)
    return [int(row["value"]) for row in rows]


async def test_rows_that_commit_late_under_earlier_numbers_are_not_skipped(store: Store) -> None:
    async with rig(store) as made:
        relay = Relay(store, made.log)
        async with made.holding(PUT, *put(1, 3)):
            await store.execute(PUT, *put(4, 6))
            assert await relay.move() == 3
            assert await published(made) == [4, 5, 6]
        assert await relay.move() == 3
        assert sorted(await published(made)) == [1, 2, 3, 4, 5, 6]
        assert await relay.move() == 0


async def test_two_relays_share_the_work_and_send_nothing_twice(store: Store) -> None:
    async with rig(store) as made:
        await store.execute(PUT, *put(1, 3 * CHUNK))
        async with PostgresLog.open(store) as log:
            relays = [Relay(store, made.log), Relay(store, log)]
            while sum(await asyncio.gather(*(relay.move() for relay in relays))):
                continue
        assert sorted(await published(made)) == list(range(1, 3 * CHUNK + 1))


async def test_a_relay_that_dies_between_sending_and_deleting_sends_again(store: Store) -> None:
    async with rig(store) as made:
        await store.execute(PUT, *put(1, 2))
        async with made.holding("LOCK TABLE log.record IN SHARE MODE") as holder:
            moving = asyncio.create_task(Relay(store, made.log).move())
            await made.waiting_for(holder)
            moving.cancel()
            await asyncio.wait({moving})
        assert (await made.counts())["outbox"] == 2
        assert await Relay(store, made.log).move() == 2
        # At least once: the log may have taken the first sending, too.
        assert set(await published(made)) == {1, 2}


async def test_a_command_s_id_is_the_same_however_often_it_is_sent(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        rows = await store.fetch("SELECT * FROM sync.outbox")
        await Relay(store, made.log).move()
        await store.execute(
            "INSERT INTO sync.outbox (topic, key, headers, value, at) VALUES ($1, $2, $3, $4, now())",
            *(rows[0][name] for name in ("topic", "key", "headers", "value")),
        )
        await Relay(store, made.log).move()
        told = await store.fetch("SELECT headers, value FROM log.record WHERE topic = $1", TOPIC)
        ids = set()
        for row in told:
            pairs = msgspec.msgpack.decode(row["headers"], type=tuple[tuple[str, bytes], ...])
            envelope = from_headers(pairs, row["value"])
            assert isinstance(envelope, Envelope)
            ids.add(envelope.id)
        assert (len(told), len(ids)) == (2, 1)
