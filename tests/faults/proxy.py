"""A TCP proxy between two programs: it passes bytes on, late, never, one way only, or cuts the connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

Mode = Literal["pass", "delay", "reset", "half_open", "swallow"]
"""`delay`: every piece comes later. `reset`: connections are cut, and each new one at once. `half_open`: connections
stay, and nothing is passed on either way, then or later. `swallow`: requests arrive, answers don't."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PIECE = 65536
_LINGER_NONE = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on a port of this machine and connects each caller with what `upstream` opens.

    `mode` may be changed at any time; `delay` is in seconds. A connection from which bytes were withheld is cut when
    the mode changes: its two ends no longer agree on what was said. `watch` is given every piece that callers send.
    """

    def __init__(
        self, upstream: Callable[[], Awaitable[Streams]], watch: Callable[[bytes], None] | None = None
    ) -> None:
        self._upstream = upstream
        self._watch = watch or _unseen
        self._mode: Mode = "pass"
        self.delay = 0.0
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self.connections = 0
        """How many were taken in all."""
        self.cut = 0
        """How many were reset."""

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def mode(self) -> Mode:
        """What it does with what comes."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        for connection in list(self._open):
            if mode == "reset" or connection.withheld:
                self.cut += 1
                connection.cut()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        """Listen, until the end of the block."""
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            for connection in list(self._open):
                connection.cut()
            await asyncio.gather(*(connection.over.wait() for connection in list(self._open)))

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._mode == "reset":
            self.cut += 1
            _reset(writer)
            return
        try:
            there = await self._upstream()
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, (reader, writer), there)
        self._open.add(connection)
        try:
            await connection.run(self._watch)
        finally:
            self._open.discard(connection)
            connection.over.set()


class _Connection:
    """One caller and whom it speaks with."""

    def __init__(self, proxy: Proxy, here: Streams, there: Streams) -> None:
        self.withheld = False
        self.over = asyncio.Event()
        self._proxy = proxy
        self._here = here
        self._there = there
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """End it at once, for both ends."""
        self._cut.set()

    async def run(self, watch: Callable[[bytes], None]) -> None:
        """Pass on until one end hangs up."""
        tasks = {
            asyncio.create_task(self._pump(self._here[0], self._there[1], watch, requests=True)),
            asyncio.create_task(self._pump(self._there[0], self._here[1], _unseen, requests=False)),
            asyncio.create_task(self._cut.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for _, writer in (self._here, self._there):
                _reset(writer) if self._cut.is_set() else writer.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        watch: Callable[[bytes], None],
        *,
        requests: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                mode = self._proxy.mode
                if mode == "half_open" or (mode == "swallow" and not requests):
                    self.withheld = True
                if self.withheld:
                    continue
                if mode == "delay":
                    await asyncio.sleep(self._proxy.delay)
                watch(piece)
                writer.write(piece)
                await writer.drain()
            # What was said last is still to be heard by the other end.
            with contextlib.suppress(OSError, NotImplementedError):
                writer.write_eof()


def _unseen(_: bytes) -> None:
    """Nobody looks."""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST: the other end learns that something is wrong."""
    held = writer.get_extra_info("socket")
    if held is not None and held.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()
