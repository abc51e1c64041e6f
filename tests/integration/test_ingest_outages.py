"""What ingest answers while the log or the registry is away, and what its probes say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest

from services.ingest.registry import Accounts, Registered, RegistryUnavailableError, loader, opener
from services.runtime.health import Health, schema_check
from services.runtime.metrics import Metrics
from services.runtime.secrets import Vault
from services.runtime.store import Store
from tests.integration.hooks_rig import Rig, event, opened, stocked
from tests.integration.ingest_rig import VAULT, open_log, records, register

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    async with opened(store) as rig:
        yield rig


class Outage:
    """Takes one database away and gives it back."""

    def __init__(self, postgres: Any, dsn: str) -> None:
        self._admin = postgres.dsn("postgres")
        self._name = urlsplit(dsn).path.removeprefix("/")

    async def __aenter__(self) -> None:
        await self._run("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        await self._run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'")

    async def __aexit__(self, *_: object) -> None:
        await self._run("ALTER DATABASE {} ALLOW_CONNECTIONS true")

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self._admin)
        try:
            await connection.execute(statement.format(self._name))
        finally:
            await connection.close()


async def test_while_the_log_is_away_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(
    store: Store, postgres: Any, eventually: Eventually
) -> None:
    dsn = postgres.create()
    try:
        async with Store.open(dsn) as elsewhere, open_log(elsewhere) as log:
            await stocked(store)
            rig = Rig(store, log)
            acknowledged: set[str] = set()

            async def deliver(number: int) -> int:
                answer = await rig.deliver(event(number))
                if answer.status_code == 200:
                    acknowledged.add(f"stripe:evt_{number}")
                else:
                    assert (answer.status_code, answer.json()["code"]) == (503, "log")
                    assert int(answer.headers["retry-after"]) > 0
                return answer.status_code

            assert set(await asyncio.gather(*map(deliver, range(20)))) == {200}
            under_way = [asyncio.create_task(deliver(number)) for number in range(20, 60)]
            async with Outage(postgres, dsn):
                await asyncio.gather(*under_way)
                assert set(await asyncio.gather(*map(deliver, range(60, 70)))) == {503}
                assert (await rig.http.get("/readyz")).json()["missing"] == ["log"]
                assert (await rig.http.get("/livez")).status_code == 200

            async def back() -> bool:
                return await deliver(70) == 200

            await eventually(back, seconds=20.0)
            assert set(await asyncio.gather(*map(deliver, range(60, 70)))) == {200}
            assert acknowledged <= {found.envelope.id for found in await records(elsewhere)}
            await rig.http.aclose()
    finally:
        postgres.drop(dsn)


async def test_while_the_registry_is_away_known_accounts_are_served(store: Store, postgres: Any) -> None:
    dsn = postgres.create()
    try:
        async with Store.open(dsn) as registry, open_log(store) as log:
            await stocked(registry)
            known = Accounts(loader(registry, opener(VAULT)), fresh=0, pause=0)
            rig = Rig(store, log, known=known)
            assert (await rig.deliver(event(1))).status_code == 200
            async with Outage(postgres, dsn):
                assert (await rig.deliver(event(2))).status_code == 200
                answer = await rig.deliver(event(3), account="nobody")
                assert (answer.status_code, answer.json()["code"]) == (503, "registry")
                assert "retry-after" in answer.headers
                fresh = Rig(store, log, known=Accounts(loader(registry, opener(VAULT))))
                assert (await fresh.deliver(event(4))).status_code == 503
            assert (await rig.deliver(event(3), account="nobody")).status_code == 404
            await rig.http.aclose()
            await fresh.http.aclose()
    finally:
        postgres.drop(dsn)


async def test_a_burst_for_made_up_accounts_reads_the_registry_once(rig: Rig) -> None:
    load = loader(rig.store, opener(VAULT))
    reads = 0

    async def counted() -> Mapping[str, Registered]:
        nonlocal reads
        reads += 1
        return await load()

    now = 100.0
    view = Accounts(counted, monotonic=lambda: now)
    busy = Rig(rig.store, rig.log, known=view)
    answers = await asyncio.gather(*(busy.deliver(event(), account=f"made-up-{n}") for n in range(200)))
    assert {answer.status_code for answer in answers} == {404}
    assert reads == 1
    assert (await busy.deliver(event())).status_code == 200
    assert reads == 1
    await register(rig.store, "made-up-1", "stripe")
    now += 0.3
    assert (await busy.deliver(event(), account="made-up-1")).status_code == 400  # it's there, without a secret
    assert reads == 2
    await busy.http.aclose()


async def test_an_account_that_was_removed_is_unknown_within_seconds(rig: Rig) -> None:
    now = 100.0
    view = Accounts(loader(rig.store, opener(VAULT)), monotonic=lambda: now)
    assert await view.find("shop") is not None
    await rig.store.execute("UPDATE registry.account SET removed_at = now() WHERE name = 'shop'")
    assert await view.find("shop") is not None
    now += 2.0
    assert await view.find("shop") is None


async def test_an_account_sealed_under_another_key_waits_and_the_others_go_on(rig: Rig) -> None:
    wrong = Accounts(loader(rig.store, opener(Vault(b"another key that sealed nothing!"))))
    sealed = Rig(rig.store, rig.log, known=wrong)
    answer = await sealed.deliver(event())
    assert (answer.status_code, answer.json()["code"]) == (503, "sealed")
    assert (await sealed.deliver(event(), account="bare")).status_code == 400
    await sealed.http.aclose()


async def test_credentials_stay_out_of_what_is_printed(rig: Rig) -> None:
    found = await Accounts(loader(rig.store, opener(VAULT))).find("shop")
    assert found is not None
    assert found.credentials["api_key"] == ("rk_test_1",)
    assert "rk_test_1" not in f"{found!r} {found}"


async def test_a_registry_that_does_not_answer_is_given_up_on(rig: Rig) -> None:
    async def never() -> Mapping[str, Registered]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(RegistryUnavailableError):
        await Accounts(never, timeout=0.01).find("shop")


async def test_the_probes_tell_alive_from_ready(rig: Rig) -> None:
    assert (await rig.http.get("/livez")).json() == {"live": True}
    answer = await rig.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "missing": []})
    rig.probes.draining = True
    answer = await rig.http.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "missing": ["draining"]})
    assert (await rig.http.get("/livez")).status_code == 200
    assert (await rig.deliver(event())).status_code == 200  # what still comes is taken


async def test_a_database_without_our_schema_is_not_ready(rig: Rig, empty_database: str) -> None:
    async with Store.open(empty_database) as empty:
        probes = Health(Metrics(), {"log": rig.log.ready, "schema": schema_check(empty)})
        assert (await probes.ready(_request())).status_code == 503


async def test_metrics_name_accounts_and_outcomes_only(rig: Rig) -> None:
    await rig.deliver(event())
    await rig.deliver(event(), secret="whsec_wrong")
    await rig.deliver(event(), account="made-up")
    answer = await rig.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for account, outcome in (("shop", "received"), ("shop", "signature"), ("", "account")):
        assert f'contactsync_deliveries_total{{account="{account}",outcome="{outcome}"}} 1.0' in answer.text
    assert 'contactsync_events_published_total{type="ContactChanged"} 1.0' in answer.text
    assert "made-up" not in answer.text
    assert "cus_" not in answer.text


def _request() -> Any:
    return httpx2.Request("GET", "http://ingest.test/readyz")
