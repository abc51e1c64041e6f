"""ingest's metrics move with what they are about, and come back; and so does what every role measures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.ingest.gauges import IngestGauges
from services.runtime import gauges
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from tests.end_to_end.two_stripes import house
from tests.integration.metrics_rig import moved, names, total, value
from tests.integration.poll_rig import opened

Eventually = Callable[..., Awaitable[None]]


async def test_an_account_that_is_not_read_grows_old(store: Store, eventually: Eventually) -> None:
    async with opened(store, eventually) as rig:
        metrics = Metrics()
        read = IngestGauges(store, metrics, {"directory": rig.app})
        async with rig.pollers():
            await rig.until("state = 'live'")
        await store.execute(
            "UPDATE ingest.cursor SET last_ok_at = now() - interval '1 hour', trouble_count = 3, trouble_since = now()"
        )
        await read()
        assert (value(metrics, "poll_age_seconds", account="dir") or 0) >= 3600
        assert value(metrics, "poll_failures", account="dir") == 3
        await store.execute("UPDATE registry.connection SET removed_at = now()")
        await read()
        assert not moved(metrics)


async def test_an_account_that_only_sends_webhooks_does_not_grow_old(store: Store, eventually: Eventually) -> None:
    async with opened(store, eventually) as rig:
        metrics = Metrics()
        async with rig.pollers():
            await rig.until("state = 'live'")
        await IngestGauges(store, metrics, {})()
        assert value(metrics, "poll_age_seconds", account="dir") is None
        await store.execute("UPDATE ingest.cursor SET state = 'scanning'")
        await IngestGauges(store, metrics, {})()
        assert value(metrics, "poll_age_seconds", account="dir") is not None


async def test_a_loop_that_is_held_up_shows(eventually: Eventually) -> None:
    metrics = Metrics()
    beating = asyncio.create_task(gauges.beat(metrics))

    async def late() -> bool:
        time.sleep(0.3)
        return (value(metrics, "loop_delay_seconds_sum") or 0) > 0.1

    await eventually(late)
    beating.cancel()


async def test_gauges_that_can_not_be_read_say_so_by_their_age_and_stop_nobody(eventually: Eventually) -> None:
    metrics = Metrics()
    fine = asyncio.Event()
    tries = 0

    async def broken() -> None:
        nonlocal tries
        tries += 1
        if not fine.is_set():
            raise RuntimeError

    async def good() -> None:
        return

    keeping = asyncio.create_task(gauges.keep(metrics, {"sync": broken, "ingest": good}, 0.01))

    async def tried() -> bool:
        return tries > 2

    await eventually(tried)
    assert value(metrics, "measured_at_seconds", role="sync") is None
    assert (value(metrics, "measured_at_seconds", role="ingest") or 0) > time.time() - 60
    fine.set()

    async def measured() -> bool:
        return value(metrics, "measured_at_seconds", role="sync") is not None

    await eventually(measured)
    keeping.cancel()


async def test_a_change_moves_what_measures_it_from_its_webhook_to_its_receipt(database: str, tmp_path: Path) -> None:
    async with house(database, tmp_path) as home:
        metrics = home.installation.metrics
        home.left.dashboard.create(name="Ada", email="ada@example.com")
        await home.rest()
        home.right.dashboard.update(next(iter(home.right.customers)), name="Ada King")
        await home.rest()
        await home.until(lambda: total(metrics, "end_to_end_seconds_count") >= 2)
        assert total(metrics, "deliveries_total", account="shop", outcome="received") >= 1
        for direction in ("left_to_right", "right_to_left"):
            assert total(metrics, "end_to_end_seconds_count", connection="shop-other", direction=direction) >= 1
        for role in ("ingest", "sync", "connectors"):
            assert (value(metrics, "measured_at_seconds", role=role) or 0) > 0
        assert moved(metrics) >= {
            "app_seconds",
            "batch_seconds",
            "commands",
            "deliveries",
            "end_to_end_seconds",
            "events_published",
            "loop_delay_seconds",
            "measured_at_seconds",
            "pace_per_second",
            "receipts",
            "requests",
            "webhook_seconds",
        }
        assert value(metrics, "throttled", account="shop") == 0


def test_every_metric_is_moved_by_a_test() -> None:
    """Whoever adds one names it where a test sees it move."""
    texts = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_metrics_*.py"))
    assert [name for name in sorted(names()) if f'"{name}' not in texts] == []
