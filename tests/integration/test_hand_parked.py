"""Messages set aside, in the hands of a person: shown, put back, dropped."""

from __future__ import annotations

import msgspec
import pytest

from services.connectors import parked as of_connectors
from services.connectors.publish import flush
from services.contracts.envelope import Headers
from services.runtime.log import EVENTS, PARKED
from services.runtime.log import Message as Posted
from services.runtime.store import Store
from services.sync.hand import parked as of_sync
from services.sync.relay import Relay
from tests.integration.paper_rig import ACCOUNT, TOPIC, aim, create
from tests.integration.paper_rig import rig as paper_rig
from tests.integration.sync_messages import changed, message, raw, shop
from tests.integration.sync_rig import Rig, rig

UNKNOWN = raw("contact.vanished", b'{"account":"shop"}', ("odd", b"a\x00b"))


async def records(store: Store, topic: str) -> list[tuple[bytes, Headers, bytes]]:
    """What stands in a topic: key, headers, body."""
    rows = await store.fetch("SELECT key, headers, value FROM log.record WHERE topic = $1 ORDER BY at", topic)
    return [
        (row["key"], msgspec.msgpack.decode(row["headers"], type=tuple[tuple[str, bytes], ...]), row["value"])
        for row in rows
    ]


async def aside(made: Rig) -> list[int]:
    async with made.store.transaction(readonly=True) as database:
        return [row["id"] for row in await of_sync.listed(database)]


async def test_a_released_event_stands_in_its_topic_again_as_it_came(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(UNKNOWN)
        (id,) = await aside(made)
        async with store.transaction() as database:
            row = await of_sync.release(database, id)
            assert row is not None
            await of_sync.note(database, row, f"sync-{id}", released=True)
            assert await of_sync.release(database, id) is None
        await Relay(store, made.log).move()
        assert await records(store, EVENTS) == [(UNKNOWN.key, UNKNOWN.headers, UNKNOWN.value)]
        assert len(await records(store, PARKED)) == 1
        assert not await aside(made)
        (told,) = [row for row in await made.journal() if row["input"] == "person"]
        assert (told["outcome"], told["cause"], told["topic"], told["position"]) == (
            "released",
            f"sync-{id}",
            EVENTS,
            0,
        )


async def test_a_released_event_that_is_still_poison_is_set_aside_again(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(UNKNOWN)
        (first,) = await aside(made)
        async with store.transaction() as database:
            assert await of_sync.release(database, first) is not None
        await events.take(UNKNOWN)
        (second,) = await aside(made)
        assert second > first


async def test_a_released_event_that_can_be_read_now_is_taken_in(store: Store) -> None:
    """As after an update that knows the message's type: it was never noted as seen."""
    async with rig(store) as made:
        events = await made.own()
        readable = message(changed("shop", "cus", shop("Ada", "ada@example.com")))
        async with made.holding("SELECT 1") as database:
            await database.execute(
                "INSERT INTO sync.parked (topic, partition, position, reason, headers, value, key, at)"
                " VALUES ($1, 0, 7, 'a contact.changed of a later version', $2, $3, $4, now())",
                EVENTS,
                msgspec.json.encode([(name, value.decode()) for name, value in readable.headers]).decode(),
                readable.value,
                readable.key,
            )
        (id,) = await aside(made)
        async with store.transaction() as database:
            await of_sync.release(database, id)
        await Relay(store, made.log).move()
        ((key, rows, value),) = await records(store, EVENTS)
        await events.take(Posted(key=key, headers=rows, value=value))
        assert (await made.link()).left.contact_id == "cus"


async def test_a_dropped_event_is_gone_for_good_and_journalled(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(UNKNOWN, UNKNOWN)
        first, second = await aside(made)
        async with store.transaction() as database:
            row = await of_sync.drop(database, first)
            assert row is not None
            await of_sync.note(database, row, f"sync-{first}", released=False)
            assert await of_sync.drop(database, first) is None
        assert await aside(made) == [second]
        await Relay(store, made.log).move()
        assert not await records(store, EVENTS)
        assert "dropped" in {row["outcome"] for row in await made.journal() if row["input"] == "person"}


async def test_a_message_from_before_keys_were_kept_is_released_all_the_same(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        await events.take(UNKNOWN)
        await store.execute("UPDATE sync.parked SET key = NULL")
        (id,) = await aside(made)
        async with store.transaction() as database:
            await of_sync.release(database, id)
        await Relay(store, made.log).move()
        assert [key for key, _, _ in await records(store, EVENTS)] == [b""]


@pytest.mark.parametrize("known", [True, False], ids=["of an account", "of nobody"])
async def test_a_command_that_cannot_be_read_is_kept_and_released_into_its_topic(store: Store, known: bool) -> None:
    async with paper_rig(store) as at:
        record = at.record(b"{", "command.create")
        if not known:
            record = msgspec.structs.replace(record, key=b"nobody")
        async with store.transaction() as tx:
            await at.intake.take(tx, [record, at.record(create(aim(1)))])
            (row,) = await of_connectors.listed(tx)
        assert (row["topic"], row["partition"], row["position"], row["size"]) == (TOPIC, 0, record.offset, 1)
        assert row["reason"].startswith("not a contactsync message")
        async with store.transaction() as tx:
            kept = await of_connectors.kept(tx, row["id"])
            assert kept is not None
            assert (bytes(kept["value"]), of_connectors.headers_of(kept)) == (record.value, record.headers)
            assert await of_connectors.release(tx, row["id"]) is not None
            assert await of_connectors.release(tx, row["id"]) is None
            assert await of_connectors.drop(tx, row["id"]) is None
        account = ACCOUNT if known else "nobody"
        await flush(store, at.log, account)
        assert await records(store, TOPIC) == [(record.key, record.headers, record.value)]
        assert len(await records(store, PARKED)) == 1
