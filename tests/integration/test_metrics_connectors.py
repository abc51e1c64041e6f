"""The connectors' metrics move with what they are about, and come back."""

from __future__ import annotations

from services.connectors.gauges import ConnectorGauges, tell_pace
from services.contracts.app import Trouble
from services.runtime.log import Message
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from tests.integration.metrics_rig import moved, total, value
from tests.integration.paper import PaperApp
from tests.integration.paper_rig import ACCOUNT, TOPIC, aim, create, link, look, rig

LIMIT = Trouble(key=429, detail="Too many requests.", retry_after=30)


def states(metrics: Metrics) -> list[float | None]:
    return [value(metrics, name, account=ACCOUNT) for name in ("throttled", "revoked", "breaker_open")]


async def test_a_write_in_doubt_is_shown_until_it_is_settled(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "lose")
    async with rig(store, app) as at:
        gauges = ConnectorGauges(store, at.log, at.metrics, ["paper"])
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        # A clock of its own runs in this test; the gauges go by the database's.
        await store.execute("UPDATE connectors.ledger SET unknown_since = now() - interval '5 min', created_at = now()")
        await gauges()
        assert value(at.metrics, "unsettled", account=ACCOUNT) == 1
        assert value(at.metrics, "unknown_outcomes", account=ACCOUNT) == 1
        assert (value(at.metrics, "unknown_age_seconds", account=ACCOUNT) or 0) >= 300
        assert (value(at.metrics, "unsettled_age_seconds", account=ACCOUNT) or 0) > 0
        await at.pass_time(worker, 20)
        await gauges()
        assert not moved(at.metrics) & {"unsettled", "unsettled_age_seconds", "unknown_outcomes", "unknown_age_seconds"}
        assert total(at.metrics, "receipts_total", app="paper") == 1


async def test_an_account_that_can_not_be_asked_is_shown(store: Store) -> None:
    async with rig(store) as at:
        gauges = ConnectorGauges(store, at.log, at.metrics, ["paper"])
        await gauges()
        assert [value(at.metrics, name, account=ACCOUNT) for name in ("throttled", "revoked", "breaker_open")] == [
            0,
            0,
            0,
        ]
        worker = await at.worker()
        at.app.fault("write", LIMIT)
        await at.took(create(aim(1)))
        await worker.writes.step()
        await store.execute("UPDATE connectors.account SET paused_until = now() + interval '1 min'")
        await gauges()
        assert [value(at.metrics, name, account=ACCOUNT) for name in ("throttled", "revoked", "breaker_open")] == [
            1,
            0,
            0,
        ]
        await store.execute("UPDATE connectors.account SET paused_until = NULL, revoked_at = now()")
        await gauges()
        assert [value(at.metrics, name, account=ACCOUNT) for name in ("throttled", "revoked", "breaker_open")] == [
            0,
            1,
            1,
        ]
        await store.execute("UPDATE registry.account SET removed_at = now()")
        await gauges()
        assert not moved(at.metrics) & {"throttled", "revoked", "breaker_open"}


async def test_an_account_s_use_of_its_quota_is_counted(store: Store) -> None:
    async with rig(store) as at:
        tell_pace(at.metrics, {"paper": at.app.manifest})
        worker = await at.worker()
        at.app.add(ACCOUNT, "c1", email="ada@example.com")
        await at.took(create(aim(1)), look("c1", 1))
        await at.work(worker)
        labels = {"app": "paper", "account": ACCOUNT}
        assert value(at.metrics, "requests_total", quota="write", **labels) == 1
        assert value(at.metrics, "requests_total", quota="read", **labels) == 1
        assert value(at.metrics, "pace_per_second", app="paper", quota="write") == at.app.manifest.pace.write
        assert value(at.metrics, "app_seconds_count", app="paper", kind="write") == 1


async def test_commands_that_wait_or_can_not_be_read_are_shown(store: Store) -> None:
    async with rig(store) as at:
        metrics = at.metrics
        gauges = ConnectorGauges(store, at.log, metrics, ["paper"])
        async with store.transaction() as tx:
            await at.intake.take(tx, [at.record(b"{}", "nonsense")])
        record = at.record(create(aim(1, link=link(2))))
        await at.log.publish(TOPIC, [Message(key=record.key, headers=record.headers, value=record.value)])
        await gauges()
        assert value(metrics, "parked_total", topic=TOPIC, reason="unreadable") == 1
        assert value(metrics, "set_aside", topic=TOPIC) == 1
        assert value(metrics, "reports") == 1
        assert total(metrics, "lag", topic=TOPIC) == 1
        await gauges()
        assert total(metrics, "lag_seconds", topic=TOPIC) > 0
        await store.execute("DELETE FROM connectors.parked")
        await store.execute("DELETE FROM connectors.report")
        await gauges()
        assert not moved(metrics) & {"set_aside", "reports"}


async def test_another_app_s_accounts_are_another_process_s(store: Store) -> None:
    async with rig(store) as at:
        metrics = Metrics()
        await ConnectorGauges(store, at.log, metrics, [])()
        assert value(metrics, "throttled", account=ACCOUNT) is None
