"""Config, pause, outages and quotas: what a worker sends, and what it answers instead."""

from datetime import timedelta

import pytest

from services.connectors.ledger import LeaseLostError
from services.contracts.app import Trouble
from services.contracts.events import ContactChanged
from services.contracts.receipts import AccountBack, Deferred, Written
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from tests.integration.paper import PaperApp
from tests.integration.paper_rig import ACCOUNT, LINK, aim, create, link, look, rig, update

AWAY = Trouble(key=503, detail="The app is away.")
LIMIT = Trouble(key=429, detail="Too many requests.", retry_after=30)


async def test_p11_a_command_of_an_older_config_is_deferred(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await at.took(create(aim(1, config=2)))
        await at.work(worker)
        assert await at.outcomes() == [(1, Deferred(reason="config"))]
        assert at.app.calls == []


async def test_p11_while_paused_only_looks_and_finds_go_out(store: Store) -> None:
    async with rig(store) as at:
        at.app.add(ACCOUNT, "c7", email="ada@example.com")
        worker = await at.worker()
        await store.execute("UPDATE registry.connection SET paused_at = now()")
        await at.took(create(aim(1)), look("c7", 1))
        await at.work(worker)
        assert await at.outcomes() == [(1, Deferred(reason="paused"))]
        assert [isinstance(event, ContactChanged) for event in await at.said(EVENTS)] == [True]
        assert {call[0] for call in at.app.calls} == {"look"}


async def test_p11_a_doubt_is_only_asked_about_while_paused(store: Store) -> None:
    app = PaperApp()
    app.fault("write", "lose")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await worker.writes.step()
        await store.execute("UPDATE registry.connection SET paused_at = now()")
        await at.pass_time(worker, 10)
        assert app.count("write") == 1
        assert await at.outcomes() == [(1, Deferred(reason="paused"))]


async def test_p11_a_removed_connection_defers_its_commands(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await store.execute("UPDATE registry.connection SET removed_at = now()")
        await at.took(create(aim(1)))
        await at.work(worker)
        assert await at.outcomes() == [(1, Deferred(reason="config"))]


async def test_p11_an_account_away_for_a_minute_answers_its_writes_and_says_when_it_is_back(store: Store) -> None:
    app = PaperApp()
    app.always[ACCOUNT] = Trouble(key="not_sent", detail="Nobody answers.")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)), create(aim(1, link=link(2)), email="bob@example.com"))
        await at.pass_time(worker, 30, step=1)
        assert await at.outcomes() == []
        await at.pass_time(worker, 90)
        assert await at.outcomes() == [(1, Deferred(reason="account"))]
        assert await at.outcomes(link(2)) == [(1, Deferred(reason="account"))]
        before = app.count("write")
        await at.took(create(aim(2)))
        await at.work(worker)
        assert (await at.outcomes())[-1] == (2, Deferred(reason="account"))
        assert app.count("write") == before
        del app.always[ACCOUNT]
        await at.pass_time(worker, 40)
        assert [report for report in await at.reports() if isinstance(report, AccountBack)] == [
            AccountBack(account=ACCOUNT)
        ]
        # In every partition of the topic.
        assert await at.count(RECEIPTS) == 3 + 2
        await at.took(create(aim(3)))
        await at.work(worker)
        assert isinstance((await at.outcomes())[-1][1], Written)


async def test_p11_no_write_is_put_off_for_an_account_that_was_said_to_be_back(store: Store) -> None:
    app = PaperApp()
    app.always[ACCOUNT] = Trouble(key="not_sent", detail="Nobody answers.")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 120)
        assert await at.outcomes() == [(1, Deferred(reason="account"))]
        # Where the lane of reads has just committed that it answers, and this one doesn't know yet.
        await store.execute("UPDATE connectors.account SET breaker_open_since = NULL WHERE account = $1", ACCOUNT)
        await at.took(create(aim(2)))
        await at.work(worker)
        assert len(await at.outcomes()) == 1
        del app.always[ACCOUNT]
        await at.pass_time(worker, 40)
        assert isinstance((await at.outcomes())[-1][1], Written)


async def test_p11_a_short_outage_keeps_its_writes_and_is_not_announced(store: Store) -> None:
    app = PaperApp()
    app.always[ACCOUNT] = Trouble(key="not_sent", detail="Nobody answers.")
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 20, step=1)
        del app.always[ACCOUNT]
        await at.pass_time(worker, 35)
        reports = await at.reports()
        assert [isinstance(outcome, Written) for _, outcome in await at.outcomes()] == [True]
        assert len(reports) == 1


async def test_p11_revoked_credentials_defer_at_once_until_they_are_changed(store: Store) -> None:
    app = PaperApp()
    app.fault("write", Trouble(key=401, detail="The key was revoked."))
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 10)
        assert await at.outcomes() == [(1, Deferred(reason="account"))]
        await store.execute(
            "INSERT INTO registry.credential (account, field, sealed, key_id) VALUES ($1, 'key', 'k', '1')", ACCOUNT
        )
        await at.pass_time(worker, 10)
        assert AccountBack(account=ACCOUNT) in await at.reports()
        await at.took(create(aim(2)))
        await at.work(worker)
        assert isinstance((await at.outcomes())[-1][1], Written)


async def test_a_used_up_quota_pauses_the_account_for_as_long_as_the_app_asks(store: Store) -> None:
    app = PaperApp()
    app.fault("write", LIMIT)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)), create(aim(1, link=link(2)), email="bob@example.com"))
        await at.work(worker)
        assert app.count("write") == 1
        await at.pass_time(worker, 25)
        assert app.count("write") == 1
        await at.pass_time(worker, 10)
        assert await at.state(LINK) == await at.state(link(2)) == "settled 1"
        assert len(app.cards) == 2


async def test_a_refused_connection_is_tried_again_with_growing_pauses(store: Store) -> None:
    app = PaperApp()
    app.fault("write", *[Trouble(key="not_sent", detail="Nobody answers.")] * 3)
    async with rig(store, app) as at:
        worker = await at.worker()
        await at.took(create(aim(1)))
        await at.pass_time(worker, 15, step=0.5)
        assert app.count("write") == 4
        assert len(app.cards) == 1


async def test_p9_an_account_is_worked_off_by_one_process_at_a_time(store: Store) -> None:
    async with rig(store) as at:
        first = await at.worker(holder="one")
        await store.execute("UPDATE connectors.lease SET until = now() - $1::interval", timedelta(seconds=1))
        second = await at.worker(holder="two")
        await at.took(update(aim(1), "c9", was="a", now="b"))
        lost = False
        try:
            await first.writes.step()
        except Exception as error:  # noqa: BLE001 - named below
            lost = type(error).__name__ == "LeaseLostError"
        assert lost
        await at.work(second)
        assert at.app.count("write") == 1


async def test_p9_the_next_process_of_a_name_takes_the_account_from_one_that_still_lives(store: Store) -> None:
    async with rig(store) as at:
        zombie = await at.worker(holder="connectors-0")
        successor = await at.worker(holder="connectors-0")
        await at.took(update(aim(1), "c9", was="a", now="b"))
        for step in (zombie.writes.step, zombie.reads.step):
            with pytest.raises(LeaseLostError):
                await step()
        await at.work(successor)
        assert at.app.count("write") == 1


async def test_a_changed_setting_reaches_a_running_worker(store: Store) -> None:
    async with rig(store) as at:
        worker = await at.worker()
        await store.execute("""UPDATE registry.account SET settings = '{"url": "https://new.example"}'""")
        await at.pass_time(worker, 60)
        access = worker.reads._desk.access
        assert access is not None
        assert access.settings == {"url": "https://new.example"}
