"""What a stranger may cost the HTTP server: heads and bodies of any size and pace, any number of connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest.connection import Bounds, Config, Gate
from services.ingest.server import Server
from services.runtime.store import Store
from tests.integration.hooks_rig import Rig, event, headers, stocked
from tests.integration.ingest_rig import open_log, records

SECONDS = 20
HEAD = b"POST /hooks/shop HTTP/1.1\r\nhost: ingest.test\r\n"
Eventually: TypeAlias = Callable[..., Awaitable[None]]


class Served:
    """An application behind the real server."""

    def __init__(self, port: int, gate: Gate) -> None:
        self.port = port
        self.gate = gate
        self.open: list[asyncio.StreamWriter] = []

    async def connect(self, *pieces: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that says these pieces and stays."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open.append(writer)
        for piece in pieces:
            writer.write(piece)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return reader, writer

    async def say(self, *pieces: bytes) -> bytes:
        """Say it, return the answer."""
        reader, writer = await self.connect(*pieces)
        try:
            return await heard(reader)
        finally:
            writer.close()


async def heard(reader: asyncio.StreamReader) -> bytes:
    """All until the server closes."""
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(SECONDS):
            while piece := await reader.read(65536):
                answer += piece
    return answer


@contextlib.asynccontextmanager
async def served(app: ASGIApp, bounds: Bounds) -> AsyncIterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = Server(app, grace=5, bounds=bounds)
    assert isinstance(server.config, Config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    made = Served(listener.getsockname()[1], server.config.gate)
    try:
        yield made
        for writer in made.open:
            writer.close()
        async with asyncio.timeout(SECONDS):
            while made.gate.all or made.gate.refused:  # noqa: ASYNC110 - in the server
                await asyncio.sleep(0.01)
        assert (made.gate.requests, made.gate.waiting) == (0, {})
    finally:
        for writer in made.open:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Rig]:
    """An ingest whose bodies may take longer than any of these tests."""
    await stocked(store)
    async with open_log(store) as log:
        rig = Rig(store, log, seconds=60)
        async with rig.http, rig.provider:
            yield rig


def delivery(number: int = 1, *, close: bool = True) -> tuple[bytes, bytes]:
    body = event(number)
    given = headers(body) | {"content-length": str(len(body)), "connection": "close" if close else "keep-alive"}
    return HEAD + "".join(f"{key}: {value}\r\n" for key, value in given.items()).encode() + b"\r\n", body


async def test_a_thousand_slow_senders_keep_nobody_out(store: Store, eventually: Eventually) -> None:
    bounds = Bounds(head_seconds=3, request_seconds=5, body_patience=0.1)
    async with opened(store) as rig, served(rig.app, bounds) as server:
        silent = [server.connect() for _ in range(200)]
        slow = [server.connect(HEAD, b"x-slow: a") for _ in range(500)]
        head, body = delivery()
        bodies = [server.connect(head, body[:20]) for _ in range(300)]
        made = await asyncio.gather(*silent, *slow, *bodies)
        assert len(server.gate.all) <= bounds.connections
        assert server.gate.requests <= bounds.requests

        async def taken() -> bool:
            assert len(server.gate.all) <= bounds.connections
            assert (await server.say(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).startswith(
                b"HTTP/1.1 200"
            )
            answer = await server.say(*delivery())
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
            return answer.startswith(b"HTTP/1.1 200")

        await eventually(taken, SECONDS)
        assert len(await records(store)) == 1
        # What is left of them is sent away, every one, and most are told why.
        answers = await asyncio.gather(*(heard(reader) for reader, _ in made))
        assert {answer[:12] for answer in answers} <= {b"", b"HTTP/1.1 408", b"HTTP/1.1 503"}
        assert sum(answer.startswith(b"HTTP/1.1 408") for answer in answers) > 100
        assert (await server.say(*delivery(2))).startswith(b"HTTP/1.1 200")


EXCESSIVE = {
    "a header that is too long": HEAD + b"x: " + b"y" * 40_000 + b"\r\n\r\n",
    "a header without end": HEAD + b"x: " + b"y" * 400_000,
    "a name without end": HEAD + b"y" * 400_000,
    "too many headers": HEAD + b"x: y\r\n" * 101 + b"\r\n",
    "headers without end": HEAD + b"x: y\r\n" * 100_000,
    "an address that is too long": b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    "an address without end": b"GET /" + b"y" * 400_000,
}
CHUNKED = HEAD + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
WASTEFUL = {
    "a chunk's extension without end": CHUNKED + b"1;" + b"x" * 2_000_000,
    "a trailer without end": CHUNKED + b"1\r\n{\r\n0\r\nx: " + b"y" * 2_000_000,
    "trailers without end": CHUNKED + b"1\r\n{\r\n0\r\n" + b"x: y\r\n" * 400_000,
}


async def test_what_is_too_large_is_refused_before_it_is_all_there(store: Store) -> None:
    async with opened(store) as rig, served(rig.app, Bounds()) as server:
        for name, raw in EXCESSIVE.items():
            answer = await server.say(raw)
            assert answer.startswith(b"HTTP/1.1 431") or answer == b"", name  # a reset may overtake the answer
        for name, raw in WASTEFUL.items():
            answer = await server.say(raw)
            assert answer.startswith(b"HTTP/1.1 400") or answer == b"", name
        for name in ("a header that is too long", "too many headers"):
            assert (await server.say(EXCESSIVE[name])).startswith(b"HTTP/1.1 431"), name
        assert await records(store) == []
        assert (await server.say(*delivery())).startswith(b"HTTP/1.1 200")


async def test_one_request_too_many_is_told_to_come_later(store: Store) -> None:
    async with opened(store) as rig, served(rig.app, Bounds(requests=1, body_patience=60)) as server:
        head, body = delivery(close=True)
        reader, writer = await server.connect(head)
        while not server.gate.requests:  # noqa: ASYNC110 - in the server
            await asyncio.sleep(0)
        refused = await server.say(*delivery(2))
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5\r\n" in refused
        for probe in (b"/livez", b"/readyz", b"/metrics?x=1"):
            told = await server.say(b"GET " + probe + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert told.startswith(b"HTTP/1.1 200"), probe
        writer.write(body)
        assert (await heard(reader)).startswith(b"HTTP/1.1 200")
        assert (await server.say(*delivery(2))).startswith(b"HTTP/1.1 200")
        assert len(await records(store)) == 2


async def test_one_connection_too_many_is_told_to_come_later() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with served(app, Bounds(connections=1)) as server:
        reader, _ = await server.connect(request)
        await begun.wait()
        silent, _ = await server.connect()
        refused = await server.say(request)
        assert refused.startswith(b"HTTP/1.1 503") or refused == b""  # the silent one has the only place to be told at
        server.open[-2].close()
        assert await heard(silent) == b""
        while server.gate.refused:  # noqa: ASYNC110 - in the server
            await asyncio.sleep(0.01)
        assert b"retry-after: 5\r\n" in await server.say(request)
        go.set()
        assert (await heard(reader)).startswith(b"HTTP/1.1 204")
        assert (await server.say(request)).startswith(b"HTTP/1.1 204")


async def test_deliveries_one_after_the_other_on_one_connection_are_taken(store: Store) -> None:
    async with opened(store) as rig, served(rig.app, Bounds(requests=2)) as server:
        pieces = [piece for n in range(20) for piece in delivery(n, close=n == 19)]
        answer = await server.say(b"".join(pieces))
        assert answer.count(b"HTTP/1.1 200") == 20
        slowly = b"".join(piece for n in range(20, 23) for piece in delivery(n, close=n == 22))
        reader, writer = await server.connect()
        for start in range(0, len(slowly), 7):
            writer.write(slowly[start : start + 7])
            await asyncio.sleep(0)
        assert (await heard(reader)).count(b"HTTP/1.1 200") == 3
        assert len(await records(store)) == 23


async def test_who_sends_on_after_a_refusal_or_never_reads_is_sent_away(store: Store) -> None:
    async with opened(store) as rig, served(rig.app, Bounds(request_seconds=1.5)) as server:
        head = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
        reader, writer = await server.connect(head)
        answer = asyncio.create_task(heard(reader))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(SECONDS):
                while not answer.done():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.02)
        assert (await answer).startswith(b"HTTP/1.1 404")
        _, deaf = await server.connect()
        deaf.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(SECONDS):
                while server.gate.all:
                    deaf.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 200)
                    await asyncio.sleep(0.01)
        deaf.transport.abort()


async def test_what_is_no_http_writes_no_log_line(
    store: Store, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(store) as rig, served(rig.app, Bounds()) as server:
        for raw in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            assert (await server.say(raw)).startswith(b"HTTP/1.1 400")
        upgrade = b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        reader, writer = await server.connect(upgrade)
        assert (await reader.read(12)) == b"HTTP/1.1 200"
        for _ in range(50):
            if writer.is_closing():  # asyncio warns of who goes on writing, and that would be this test
                break
            writer.write(b"\x81" * 200)
            await asyncio.sleep(0)
        else:
            writer.write_eof()
        await heard(reader)
    printed = capsys.readouterr()
    assert [record.name for record in caplog.records] == []
    assert printed.out + printed.err == ""
