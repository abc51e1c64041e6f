"""Bad deliveries to both apps with webhooks, over the wire: the right status each, and nothing changes."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import uvicorn

from services.connectors.google_contacts.sandbox import Fail
from services.runtime.store import Store
from tests.connectors.google_rig import PUSH_SECRET
from tests.integration.bad_deliveries import MAIL, TABLES, TOKEN, UNANSWERED, Case, channel, push, stripe
from tests.integration.hooks_rig import SECRET, Rig, stocked
from tests.integration.ingest_rig import open_log, records, register


class _Server(uvicorn.Server):
    """uvicorn without its hold on the process's signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """An ingest with accounts of both apps, behind its real server."""

    def __init__(self, rig: Rig, port: int) -> None:
        self.rig = rig
        self._port = port

    async def say(self, case: Case) -> tuple[int, str | None]:
        """Send it; return the answer's status, and its code if the answer is ours."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        answer = b""
        try:
            with contextlib.suppress(ConnectionError):
                writer.write(case.raw)
                await writer.drain()
                if case.end:
                    writer.write_eof()
                async with asyncio.timeout(10):
                    answer = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        if not answer:
            return UNANSWERED, None
        head, _, body = answer.partition(b"\r\n\r\n")
        assert SECRET.encode() not in answer
        assert TOKEN.encode() not in answer
        assert MAIL.encode() not in answer
        ours = b"application/json" in head.lower()
        return int(head.split()[1]), msgspec.json.decode(body).get("code") if ours else None


@pytest.fixture
async def served(store: Store) -> AsyncIterator[Served]:
    await stocked(store)
    base = {"certificates_url": "http://google.test/certs"}
    other = PUSH_SECRET.replace("/hooks/office", "/hooks/another")
    for name, secrets in {
        "office": [TOKEN, PUSH_SECRET],
        "elsewhere": ["another-channel-token", other],
        "channels": [TOKEN],
        "unheard": [],
    }.items():
        await register(store, name, "google_contacts", settings=base, credentials={"webhook_secrets": secrets})
    listening = socket.create_server(("127.0.0.1", 0))
    async with open_log(store) as log:
        rig = Rig(store, log, seconds=0.5, wish_seconds=0.5)
        server = _Server(uvicorn.Config(rig.app, log_config=None, lifespan="off", ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        async with rig.http, rig.provider:
            try:
                yield Served(rig, listening.getsockname()[1])
            finally:
                server.should_exit = True
                await task


def test_there_are_enough_of_them() -> None:
    assert sum(len(cases()) for cases in TABLES.values()) >= 60


@pytest.mark.parametrize("table", TABLES)
async def test_every_bad_delivery_gets_its_status_and_changes_nothing(
    served: Served, table: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = TABLES[table]()
    await served.rig.store.execute(
        "INSERT INTO ingest.cursor VALUES ('office', 'live', 1, 1, now(), now(), 1, 0, NULL, 'c', 'infinity')"
    )
    before = await served.rig.store.fetch("SELECT * FROM ingest.cursor")
    answers = await asyncio.gather(*(served.say(case) for case in cases.values()))
    assert dict(zip(cases, answers, strict=True)) == {name: (each.status, each.code) for name, each in cases.items()}
    assert await records(served.rig.store) == []
    assert await served.rig.store.fetch("SELECT * FROM ingest.cursor") == before
    assert len(served.rig.google.requests) <= 1  # certificates, once for all who claim to be Google
    printed = capsys.readouterr()
    told = caplog.text + printed.out + printed.err
    assert "Traceback" not in told
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert "delivery_failed" not in told
    assert MAIL not in told


async def test_what_the_tables_alter_is_taken_as_it_was(served: Served) -> None:
    for good in (stripe(200, None), channel(200, ""), push(200, "")):
        assert await served.say(good) == (200, None)
    assert len(await records(served.rig.store)) == 1
    figures = served.rig.metrics.exposition()
    assert b'contactsync_deliveries_total{account="office",outcome="woken"} 2.0' in figures


async def test_a_push_whose_keys_cant_be_had_is_put_off_not_refused(served: Served) -> None:
    served.rig.google.faults.add(Fail(500, b""), "GET", "/certs")
    assert await served.say(push(503, "keys")) == (503, "keys")
    assert await served.say(channel(200, "")) == (200, None)


async def test_a_wish_that_cant_be_noted_is_put_off(served: Served) -> None:
    assert await served.say(channel(200, "")) == (200, None)  # everything is warm
    async with served.rig.store.transaction() as connection:
        await connection.execute("LOCK TABLE ingest.cursor IN ACCESS EXCLUSIVE MODE")
        assert await served.say(channel(503, "store")) == (503, "store")
    assert await served.say(channel(200, "")) == (200, None)
