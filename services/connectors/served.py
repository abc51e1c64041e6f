"""A sandbox over real HTTP, on a port of this machine: what those of all apps share."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.runtime.sockets import undelayed

ABORT = "contactsync.abort"
"""The ASGI extension by which a sandbox cuts the connection that it is asked on."""


class Served(Protocol):
    """A sandbox."""

    @property
    def app(self) -> ASGIApp:
        """What answers requests."""
        ...


class _Abortable(HttpToolsProtocol):
    """uvicorn's protocol, lending the connection's abort to the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"abort": self.transport.abort}}


class _Server(uvicorn.Server):
    """A server inside somebody else's program: signals aren't its business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        undelayed(sockets or ())
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve(
    sandbox: Served, host: str = "127.0.0.1", port: int = 0, sock: socket.socket | None = None
) -> AsyncIterator[str]:
    """Serve a sandbox; gives the base URL (no slash at its end), for the account's `api_base`.

    Port 0 takes a free one. A socket that is bound already is used as it is, and closed at the end.
    """
    if sock is None:
        sock = socket.create_server((host, port))
    config = uvicorn.Config(
        sandbox.app,
        http=_Abortable,
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,  # the sandbox dates its answers by its own clock
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        await server.ready.wait()
        bound = sock.getsockname()
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        server.should_exit = True
        await task
        sock.close()
