"""sync's metrics move with what they are about, and come back."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from services.contracts.commands import Create
from services.contracts.contact import PersonName
from services.runtime.gauges import Backlog, Rows
from services.runtime.log import EVENTS, RECEIPTS, Partition, commands_topic
from services.runtime.log import Message as Posted
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from services.sync.latency import Latency
from services.sync.relay import Relay
from services.sync.service import Sync
from tests.integration.metrics_rig import moved, total, value
from tests.integration.sync_messages import DAY, changed, message, of, shop, written
from tests.integration.sync_rig import MANIFESTS, active, rig

PLACE = Partition(EVENTS, 0)


def test_a_backlog_is_as_old_as_its_oldest_message_that_was_seen() -> None:
    backlog = Backlog()
    assert backlog.look(0, {PLACE: 5}, {PLACE: 5}) == {PLACE: 0}
    assert backlog.look(10, {PLACE: 7}, {PLACE: 5}) == {PLACE: 0}
    assert backlog.look(20, {PLACE: 9}, {PLACE: 5}) == {PLACE: 10}
    assert backlog.look(30, {PLACE: 9}, {PLACE: 6}) == {PLACE: 20}
    assert backlog.look(40, {PLACE: 9}, {PLACE: 7}) == {PLACE: 20}
    assert backlog.look(50, {PLACE: 9}, {PLACE: 9}) == {PLACE: 0}


def test_a_backlog_of_weeks_stays_small_and_as_old() -> None:
    backlog = Backlog()
    for at in range(20_000):
        waiting = backlog.look(at, {PLACE: at + 1}, {PLACE: 0})
    assert waiting == {PLACE: 19_999}
    assert len(backlog._marks[PLACE]) <= 4096
    assert 0 < backlog.look(20_000, {PLACE: 20_000}, {PLACE: 19_000})[PLACE] <= 2_000


def test_rows_that_are_gone_are_not_shown() -> None:
    metrics = Metrics()
    rows = Rows(metrics.held)
    rows.set({("a",): 1, ("b",): 2})
    rows.set({("b",): 3})
    assert value(metrics, "held", connection="a") is None
    assert value(metrics, "held", connection="b") == 3


async def test_what_waits_is_shown_until_it_is_done(store: Store) -> None:
    async with rig(store) as made:
        metrics = Metrics()
        sync = Sync(store, made.log, MANIFESTS, metrics)
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        office = link.right.contact_id or ""
        await events.take(
            changed("office", office, {"n": (PersonName(given="Ada"),), "email": ("king@example.com",)}, at=100),
            changed("shop", "eve", shop("Eve", "eve@example.com"), at=101),
            Posted(key=b"k", headers=(("ce_type", b"nonsense"),), value=b"{}"),
        )
        await store.execute("INSERT INTO sync.stuck (kind, id, error, at) VALUES ('reconsider', 'x', 'Error', now())")
        await store.execute("UPDATE sync.outbox SET at = at - interval '90 seconds'")
        await store.execute("UPDATE sync.link SET wait_reason = 'account', wait_on = 'office' WHERE left_id = 'eve'")
        await made.log.publish(EVENTS, [message(changed("shop", "mo", shop("Mo", "mo@example.com")))])
        await sync.measure()
        assert value(metrics, "held", connection="pair") == 1
        assert value(metrics, "links_waiting", connection="pair", reason="account") == 1
        assert value(metrics, "set_aside", topic=EVENTS) == 1
        assert value(metrics, "stuck") == 1
        assert (value(metrics, "outbox_age_seconds") or 0) >= 90
        assert value(metrics, "outbox_rows") == await store.fetchval("SELECT count(*) FROM sync.outbox") > 0
        assert total(metrics, "lag", topic=EVENTS) == 1
        assert total(metrics, "lag_seconds", topic=EVENTS) == 0
        await sync.measure()
        assert total(metrics, "lag_seconds", topic=EVENTS) > 0
        assert await sync.relay.move() > 0
        assert value(metrics, "commands_total", app="book_app", kind="create") == 1
        for statement in ("DELETE FROM sync.parked", "DELETE FROM sync.stuck", "DELETE FROM sync.link"):
            await store.execute(statement)
        await sync.measure()
        assert not moved(metrics) & {"held", "links_waiting", "set_aside", "stuck", "outbox_age_seconds", "outbox_rows"}


async def test_a_batch_is_timed(store: Store) -> None:
    async with rig(store) as made:
        metrics = Metrics()
        events = await made.own(worker=Sync(store, made.log, MANIFESTS, metrics).worker)
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        assert value(metrics, "batch_seconds_count") == 1


async def test_a_relay_without_metrics_relays(store: Store) -> None:
    async with rig(store) as made:
        await (await made.own()).take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        assert await Relay(store, made.log).move() == 1
        assert await store.fetchval("SELECT count(*) FROM log.record WHERE topic = $1", commands_topic("book_app")) == 1


async def test_a_change_is_measured_from_its_event_to_its_receipt(store: Store) -> None:
    """An edit while a write is under way is measured from that edit, not from the one before."""
    async with rig(store) as made:
        metrics = Metrics()
        latency = Latency(store, metrics)
        events, receipts = await made.own(), await made.own(RECEIPTS)

        async def came(*posted: Posted, second: float) -> None:
            records = [replace(each, time=DAY + timedelta(seconds=second)) for each in events.records(*posted)]
            latency.heard(records)
            await events.take(*posted)

        async def answered(posted: Posted, second: float) -> None:
            records = [replace(each, time=DAY + timedelta(seconds=second)) for each in receipts.records(posted)]
            await receipts.take(posted)
            latency.taken(records)

        await came(message(changed("shop", "cus", shop("Ada", "ada@example.com"), at=0)), second=0)
        create = of(await made.drain(), Create)[0]
        await came(message(changed("shop", "cus", shop("Ada King", "ada@example.com"), at=5)), second=5)
        await answered(message(written(create, at=10)), second=2)
        await latency.measure()
        labels = {"connection": "pair", "direction": "left_to_right"}
        assert value(metrics, "end_to_end_seconds_sum", **labels) == 2
        update = (await made.drain())[0]
        await answered(message(written(update, at=12, fields=shop("Ada King", "ada@example.com"))), second=8)  # type: ignore[arg-type]
        await latency.measure()
        assert value(metrics, "end_to_end_seconds_count", **labels) == 2
        assert value(metrics, "end_to_end_seconds_sum", **labels) == 2 + 3


async def test_what_another_process_took_in_is_not_measured_here(store: Store) -> None:
    async with rig(store) as made:
        metrics = Metrics()
        latency = Latency(store, metrics, most=1)
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        receipt = message(written(of(await made.drain(), Create)[0], at=10))
        records = receipts.records(receipt)
        await receipts.take(receipt)
        latency.taken(records)
        await latency.measure()
        assert total(metrics, "end_to_end_seconds_count") == 0
