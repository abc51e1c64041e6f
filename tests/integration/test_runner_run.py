"""The whole role: commands published to the log, receipts read from it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from services.connectors import ledger
from services.connectors.runner import Runner
from services.contracts.commands import Command
from services.contracts.receipts import Receipt, Written
from services.runtime.clock import SystemClock
from services.runtime.log import Message
from services.runtime.store import Store
from tests.integration.paper_rig import TOPIC, Rig, aim, create, link, look, rig, unsealed

Eventually = Callable[..., Awaitable[None]]


def runner(at: Rig, holder: str = "one", renew_seconds: float = 10) -> Runner:
    return Runner(
        {"paper": at.app},
        at.store,
        at.log,
        SystemClock(),
        unseal=unsealed,
        http=at.http,
        holder=holder,
        metrics=at.metrics,
        renew_seconds=renew_seconds,
    )


@contextlib.asynccontextmanager
async def running(role: Runner) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(role.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def publish(at: Rig, *commands: Command) -> None:
    records = [at.record(command) for command in commands]
    accounts = [command.aim.account if hasattr(command, "aim") else command.account for command in commands]
    messages = [
        Message(key=account.encode(), headers=record.headers, value=record.value)
        for account, record in zip(accounts, records, strict=True)
    ]
    await at.log.publish(TOPIC, messages)


async def written(at: Rig) -> set[str]:
    return {
        report.aim.link
        for report in await at.reports()
        if isinstance(report, Receipt) and isinstance(report.outcome, Written)
    }


async def test_a_published_command_is_written_and_its_receipt_published(store: Store, eventually: Eventually) -> None:
    async with rig(store) as at, running(runner(at)):
        await publish(at, create(aim(1)))

        async def done() -> bool:
            return await written(at) == {link(1)}

        await eventually(done)

        async def confirmed() -> bool:
            return bool(await store.fetchval("SELECT count(*) = 0 FROM connectors.report"))

        await eventually(confirmed)


async def test_p16_a_stuck_account_delays_no_other(store: Store, eventually: Eventually) -> None:
    async with rig(store) as at:
        await at.account("other")
        gate = at.app.gates["left-paper"] = asyncio.Event()
        async with running(runner(at)):
            stuck = [create(aim(1, link=link(number)), email=f"{number}@example.com") for number in range(1, 6)]
            await publish(at, *stuck, look("c1", 1))

            async def waits() -> bool:
                return at.app.count("write") == 1 and at.app.count("look") == 1

            await eventually(waits)
            await publish(at, create(aim(1, link=link(9), account="other")))

            async def done() -> bool:
                return await written(at) == {link(9)}

            await eventually(done)
            gate.set()

            async def rest() -> bool:
                return len(await written(at)) == 6

            await eventually(rest)


async def test_p16_two_processes_share_the_accounts_and_write_once(store: Store, eventually: Eventually) -> None:
    async with rig(store) as at:
        await at.account("other")
        async with running(runner(at, "one")), running(runner(at, "two")):
            await publish(
                at,
                *(create(aim(1, link=link(n)), email=f"{n}@example.com") for n in range(1, 6)),
                *(create(aim(1, link=link(n), account="other"), email=f"{n}@example.com") for n in range(6, 11)),
            )

            async def done() -> bool:
                return len(await written(at)) == 10

            await eventually(done)
        assert at.app.count("write") == 10
        assert await store.fetchval("SELECT count(*) FROM connectors.lease") == 0


async def test_a_lease_whose_answer_comes_when_the_process_ends_is_given_back(
    store: Store, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(store) as at:

        async def held() -> bool:
            return bool(await store.fetchval("SELECT count(*) FROM connectors.lease") == 1)

        granted = ledger.lease

        async def slowly(*arguments: Any, **options: Any) -> int | None:
            token = await granted(*arguments, **options)
            await asyncio.sleep(0.5)  # on its way back
            return token

        monkeypatch.setattr(ledger, "lease", slowly)
        async with running(runner(at)):
            await eventually(held)
        assert await store.fetchval("SELECT count(*) FROM connectors.lease") == 0


async def test_a_lease_given_back_is_taken_over_at_once(store: Store, eventually: Eventually) -> None:
    async with rig(store) as at:
        await at.account("other")
        holders = "SELECT coalesce(array_agg(holder ORDER BY holder), '{}') FROM connectors.lease"
        two = runner(at, "two", renew_seconds=3600)
        async with contextlib.AsyncExitStack() as ending:
            async with running(runner(at, "one")):

                async def held() -> bool:
                    return bool(await store.fetchval(holders) == ["one", "one"])

                await eventually(held)
                await ending.enter_async_context(running(two))

                async def knows() -> bool:
                    return two._elsewhere == {"left-paper", "other"}

                await eventually(knows)

            async def taken() -> bool:
                return bool(await store.fetchval(holders) == ["two", "two"])

            await eventually(taken)
            await publish(at, create(aim(1)))

            async def done() -> bool:
                return await written(at) == {link(1)}

            await eventually(done)


async def test_a_runner_started_again_goes_on_where_the_last_one_stopped(store: Store, eventually: Eventually) -> None:
    async with rig(store) as at:
        async with running(runner(at)):
            await publish(at, create(aim(1)))

            async def first() -> bool:
                return len(await written(at)) == 1

            await eventually(first)
        await publish(at, create(aim(1, link=link(2)), email="bob@example.com"))
        async with running(runner(at)):

            async def second() -> bool:
                return len(await written(at)) == 2

            await eventually(second)
        assert at.app.count("write") == 2


async def test_an_unknown_app_is_refused_by_name(store: Store) -> None:
    async with rig(store) as at:
        with pytest.raises(ValueError, match="no app papier; there are paper"):
            await runner(at).run(asyncio.Event(), only=["papier"])
