"""What every role's process answers its orchestrator, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import structlog

from services.runtime.health import Health, HealthPortError, application, listening
from services.runtime.log import EVENTS
from services.runtime.log.consume import Batch, StuckError, consume
from services.runtime.metrics import Metrics
from services.runtime.parting import until_the_end
from services.runtime.settings import Settings, SettingsError, load
from services.runtime.store import Store
from services.sync.worker import GROUP, PROGRESS
from tests.end_to_end.processes import Process, Processes, until
from tests.end_to_end.processes_house import _free_ports
from tests.integration.sync_messages import changed, message, shop
from tests.integration.sync_rig import rig

ROLES = ("ingest", "sync", "connectors")
STUCK = """
import asyncio, time
from services.runtime import telemetry
from services.runtime.parting import Parting

async def main():
    stop = Parting(0.2)
    stop.set()
    time.sleep(60)

telemetry.configure("json")
asyncio.run(main())
"""


async def asked(health: Health, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=application(health))
    async with httpx2.AsyncClient(transport=transport, base_url="http://health.test") as client:
        return await client.get(path)


async def get(port: int, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


async def ready(process: Process, port: int) -> None:
    async def so() -> bool:
        assert process.running, process.words()
        with contextlib.suppress(httpx2.TransportError):
            return (await get(port, "/readyz")).status_code == 200
        return False

    await until(so, 60, f"{process.name} is ready")


async def test_each_role_answers_its_orchestrator_and_ends_when_it_is_asked_to(database: str, tmp_path: Path) -> None:
    async with Processes(tmp_path, database, "postgres:") as processes:
        ports = dict(zip(ROLES, _free_ports(3), strict=True))
        for role, port in ports.items():
            processes.role(role, role, CONTACTSYNC_HEALTH_LISTEN=f"127.0.0.1:{port}", CONTACTSYNC_LISTEN="127.0.0.1:0")
        await asyncio.gather(*(process.start() for process in processes))
        await asyncio.gather(*(ready(processes[role], port) for role, port in ports.items()))
        for role, port in ports.items():
            assert (await get(port, "/livez")).json() == {"live": True}
            figures = await get(port, "/metrics")
            assert figures.headers["content-type"].startswith("text/plain")
            assert f'contactsync_measured_at_seconds{{role="{role}"}}' in figures.text
            assert (await get(port, "/hooks/shop")).status_code == 404
        assert await asyncio.gather(*(process.stop() for process in processes)) == [0, 0, 0]
        assert all(process.said("stopped") for process in processes)


async def test_a_role_that_can_not_go_on_ends_its_process_and_says_why(store: Store, tmp_path: Path) -> None:
    """A second process under its name displaces it."""
    async with Processes(tmp_path, store.dsn, "postgres:") as processes:
        first = processes.role("sync", "sync")
        second = processes.role("again", "sync", static=False, CONTACTSYNC_MEMBER="sync")

        async def joined() -> bool:
            return bool(await store.fetchval("SELECT count(*) FROM log.assignment WHERE owner = 'sync'"))

        await first.start()
        await until(joined, 60)
        await second.start()
        assert await first.ended(60) == 1
        (line,) = first.said("role_failed")
        assert (line["role"], line["error"], line["level"]) == ("sync", "FencedError", "error")
        assert "Another process has joined" in first.words()
        assert await second.stop() == 0


def test_a_process_that_does_not_end_is_ended() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, timeout=50, check=False)
    assert done.returncode == 1
    line = json.loads(done.stderr.decode().splitlines()[-1])
    assert (line["event"], line["seconds"]) == ("end_cut_short", 0.2)


async def test_before_it_ends_a_process_is_not_ready_and_finishes_what_it_has_begun() -> None:
    health, stop = Health(Metrics(), {}), asyncio.Event()
    finished: list[str] = []
    seen: list[int] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append((await asked(health, "/readyz")).status_code)
            finished.append("batch")

    async def ending() -> None:
        await stop.wait()
        seen.append((await asked(health, "/livez")).status_code)
        finished.append("write")

    tasks = {asyncio.create_task(endless())}, {asyncio.create_task(ending())}
    waiting = asyncio.create_task(until_the_end(*tasks, stop, health))
    await asyncio.sleep(0)
    assert (await asked(health, "/readyz")).status_code == 200
    stop.set()
    await waiting
    assert sorted(finished) == ["batch", "write"]
    assert sorted(seen) == [200, 503]


async def test_one_task_s_failure_ends_all_and_is_raised() -> None:
    async def failing() -> None:
        raise ExceptionGroup("several", [ValueError("x")])

    others = {asyncio.create_task(asyncio.Event().wait())}
    health, stop = Health(Metrics(), {}), asyncio.Event()
    with pytest.raises(ExceptionGroup):
        await until_the_end(others, {asyncio.create_task(failing(), name="sync")}, stop, health)
    assert stop.is_set()
    assert health.draining
    assert all(task.cancelled() for task in others)


async def test_a_partition_that_does_not_get_on_ends_the_process(store: Store) -> None:
    """Row 24: messages wait, nothing happens, and everything else looks well."""
    async with rig(store) as made:

        async def handle(batch: Batch) -> None:
            await asyncio.Event().wait()

        await made.log.publish(EVENTS, [message(changed("shop", "cus", shop("Ada", "ada@example.com")))])
        working = consume(
            made.log,
            store,
            PROGRESS,
            group=GROUP,
            topics=(EVENTS,),
            member="sync-0",
            handle=handle,
            stuck_after=0.5,
            drain_seconds=0.1,
            report_seconds=0.1,
        )
        health, stop = Health(Metrics(), {}), asyncio.Event()
        with structlog.testing.capture_logs() as said, pytest.raises(StuckError, match="though 1 wait"):
            await until_the_end({asyncio.create_task(working, name="sync")}, set(), stop, health)
        assert [line for line in said if line["event"] == "role_failed"] == [
            {"event": "role_failed", "role": "sync", "error": "StuckError", "log_level": "error"}
        ]


async def test_a_task_that_fails_at_its_end_is_told_of() -> None:
    health, stop = Health(Metrics(), {}), asyncio.Event()

    async def ending() -> None:
        while not health.draining:  # noqa: ASYNC110 - a flag, which nobody announces
            await asyncio.sleep(0)
        raise ValueError

    stop.set()
    with structlog.testing.capture_logs() as said:
        await until_the_end(set(), {asyncio.create_task(ending(), name="pollers")}, stop, health)
    assert [(line["event"], line["role"], line["error"]) for line in said] == [("role_failed", "pollers", "ValueError")]


async def test_readiness_names_what_is_missing() -> None:
    async def fine() -> bool:
        return True

    async def away() -> bool:
        raise ConnectionRefusedError

    answer = await asked(Health(Metrics(), {"log": fine, "store": away}), "/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "missing": ["store"]})


def test_an_address_that_is_taken_is_told_in_a_sentence() -> None:
    with listening("127.0.0.1:0") as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HealthPortError, match=f"Can't listen on 127.0.0.1:{port} for health checks"):
            listening(f"127.0.0.1:{port}")
    listening("[::1]:0").close()


def test_the_address_is_checked_with_the_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_HEALTH_LISTEN", "9000")
    with pytest.raises(SettingsError, match=r"CONTACTSYNC_HEALTH_LISTEN: must be host:port"):
        load()
    assert Settings.model_fields["health_listen"].default is None
