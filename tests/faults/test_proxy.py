"""The proxy's modes, over real connections to a server that answers what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.end_to_end.processes import until
from tests.faults.proxy import Proxy, Streams

SOON = 0.3
"""Seconds in which what is passed on has come."""


class Echo:
    """Answers each line with itself, in capitals."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line.upper())
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, Echo, list[bytes]]]:
    echo, seen = Echo(), list[bytes]()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def upstream() -> Streams:
        return await asyncio.open_connection("127.0.0.1", port)

    async with server, Proxy(upstream, seen.append).listening() as proxy:
        yield proxy, echo, seen


async def said(streams: Streams, line: bytes) -> bytes:
    """Say a line; return the answer, or nothing if there is none soon."""
    reader, writer = streams
    writer.write(line)
    try:
        async with asyncio.timeout(SOON):
            return await reader.readline()
    except TimeoutError:
        return b""


@contextlib.asynccontextmanager
async def callers(proxy: Proxy) -> AsyncIterator[Callable[[], Awaitable[Streams]]]:
    """Gives a function that connects; what it opened is closed in the end."""
    opened: list[asyncio.StreamWriter] = []

    async def connected() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        opened.append(writer)
        return reader, writer

    try:
        yield connected
    finally:
        for writer in opened:
            writer.transport.abort()


async def test_it_passes_on_late_and_never_as_its_mode_says() -> None:
    async with proxied() as (proxy, echo, seen), callers(proxy) as connected:
        streams = await connected()
        assert await said(streams, b"a\n") == b"A\n"
        assert seen == [b"a\n"]
        proxy.delay, proxy.mode = 0.05, "delay"
        begun = asyncio.get_running_loop().time()
        assert await said(streams, b"b\n") == b"B\n"
        assert asyncio.get_running_loop().time() - begun >= 2 * proxy.delay
        proxy.mode = "half_open"
        assert await said(streams, b"c\n") == b""
        assert echo.heard == [b"a\n", b"b\n"]
        proxy.mode = "pass"
        # What was withheld isn't said later: the connection is of no use any more.
        with pytest.raises(ConnectionResetError):
            await streams[0].read()
        assert echo.heard == [b"a\n", b"b\n"]
        assert await said(await connected(), b"e\n") == b"E\n"


async def test_it_swallows_answers_to_requests_that_arrive() -> None:
    async with proxied() as (proxy, echo, _), callers(proxy) as connected:
        streams = await connected()
        proxy.mode = "swallow"
        assert await said(streams, b"a\n") == b""
        await until(lambda: echo.heard == [b"a\n"], what="the request arrives")


async def test_it_resets_those_that_are_there_and_those_that_come() -> None:
    async with proxied() as (proxy, _, _), callers(proxy) as connected:
        reader, _writer = streams = await connected()
        assert await said(streams, b"a\n") == b"A\n"
        proxy.mode = "reset"
        with pytest.raises(ConnectionResetError):
            await reader.read()
        other, _ = await connected()
        with pytest.raises(ConnectionResetError):
            await other.read()
        proxy.mode = "pass"
        assert await said(await connected(), b"b\n") == b"B\n"
        assert (proxy.connections, proxy.cut) == (3, 2)


async def test_it_refuses_while_there_is_nobody_behind_it() -> None:
    async def nobody() -> Streams:
        raise ConnectionRefusedError

    async with Proxy(nobody).listening() as proxy, callers(proxy) as connected:
        reader, _ = await connected()
        with pytest.raises(ConnectionResetError):
            await reader.read()
