"""Where the browser comes back to: a port of this machine, for one answer (RFC 8252 section 7.3)."""

from __future__ import annotations

import asyncio
import contextlib
import html
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from services.runtime.authorize.proof import Answer, Code, Denied, Foreign, Proof, answer

_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'",
}


class PortError(Exception):
    """The port can't be listened at. The text is a sentence for a person."""


class Landing:
    """A page of this machine that waits for the answer to one login; what isn't that answer is told and ignored."""

    def __init__(self, port: int, made: Proof, ignored: Callable[[Foreign], None]) -> None:
        self.address = f"http://127.0.0.1:{port}/"
        """By number: what `localhost` leads to is anybody's guess (RFC 8252 section 8.3)."""
        self._made = made
        self._ignored = ignored
        self._answer: asyncio.Future[Code | Denied] = asyncio.get_running_loop().create_future()

    async def answer(self, seconds: float) -> Code | Denied:
        """Wait for it. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._answer)

    async def page(self, request: Request) -> HTMLResponse:
        """What the browser shows."""
        found: Answer = answer(request.url.query, self._made)
        match found:
            case Foreign(reason):
                self._ignored(found)
                return _page(400, f"This isn't the answer that contactsync waits for: {reason}.")
            case Denied(reason):
                text = f"Nothing was stored: {reason}."
            case Code():
                text = "contactsync has the answer. Go back to the terminal; this page can be closed."
        if not self._answer.done():
            self._answer.set_result(found)
        return _page(200, text)


def _page(status: int, text: str) -> HTMLResponse:
    return HTMLResponse(f"<!doctype html><title>contactsync</title><p>{html.escape(text)}</p>", status, _HEADERS)


class _Server(uvicorn.Server):
    """A server inside a command: signals are the command's business."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def landing(
    made: Proof, ignored: Callable[[Foreign], None], port: int = 0, path: str = "/"
) -> AsyncIterator[Landing]:
    """Wait at a port of this machine; 0 takes a free one. Raises `PortError` if the port is taken."""
    try:
        bound = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PortError(f"Port {port} of this machine can't be used: {error.strerror}. Choose another.") from None
    with bound as listener:
        made_here = Landing(listener.getsockname()[1], made, ignored)
        config = uvicorn.Config(
            Starlette(routes=[Route(path, made_here.page)]),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await server.ready.wait()
            yield made_here
        finally:
            server.should_exit = True
            await task
