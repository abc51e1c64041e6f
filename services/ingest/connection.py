"""One connection of the HTTP server: what a sender may cost before it has shown who it is.

uvicorn bounds none of this by itself: heads of any size, heads and bodies at any pace, any number of connections.
"""

import asyncio
from typing import Any

import msgspec
import structlog
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PROBES = frozenset({"/livez", "/readyz", "/metrics"})
"""Answered also when deliveries aren't: else the load would have the process killed."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What the connections of a server may take. Bytes, seconds, numbers."""

    connections: int = 500
    """At once. Beyond them, the one that has kept us waiting longest makes room; if none waits, 503."""
    requests: int = 200
    """Being answered at once; the next is told to come later."""
    head: int = 32 * 1024
    """Of the request line and headers together; above what nginx lets through by default (8 KiB, four at most)."""
    headers: int = 100
    overhead: int = 256 * 1024
    """Bytes of a body that aren't content: chunks' sizes and trailers."""
    head_seconds: float = 10.0
    """From a request's first byte, or the connection's beginning, to the end of its headers."""
    body_patience: float = 2.0
    """How long a body may take while another request has no room for it; whole deliveries arrive in milliseconds."""
    request_seconds: float = 60.0
    """From there to the end of the body and of the answer; a body and the log have shorter limits of their own."""


class Gate:
    """All connections of a server; those that keep it waiting in the order in which they began to, and since when."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.all: set[BoundedConnection] = set()
        self.refused: set[BoundedConnection] = set()
        self.waiting: dict[BoundedConnection, float] = {}
        self.requests = 0
        self._told = False

    def enter(self, connection: "BoundedConnection") -> bool:
        """Let a new connection in, for which another one may have to go; False if there is no room."""
        full = len(self.all) >= self.bounds.connections
        if full and self.waiting:
            next(iter(self.waiting)).drop()
        if full and not self._told:  # once, until there is room again: such floods last
            structlog.get_logger().warning("connections_full", count=len(self.all))
        self._told = full
        if len(self.all) < self.bounds.connections:
            self.all.add(connection)
            return True
        if len(self.refused) < self.bounds.connections:
            self.refused.add(connection)
        else:
            connection.drop()
        return False

    def busy(self, now: float) -> bool:
        """Whether another request is one too many, also after the slowest sender of a body was sent away for it."""
        if self.requests >= self.bounds.requests:
            slow = (each for each in self.waiting if each.reading_body)
            slowest = next(slow, None)
            if slowest is not None and now - self.waiting[slowest] > self.bounds.body_patience:
                slowest.drop()
        return self.requests >= self.bounds.requests

    def leave(self, connection: "BoundedConnection") -> None:
        """Forget a connection that has ended."""
        self.all.discard(connection)
        self.refused.discard(connection)
        self.waiting.pop(connection, None)


class Config(uvicorn.Config):
    """uvicorn's, with the gate that its connections go through."""

    def __init__(self, app: ASGIApp, *, bounds: Bounds, **options: Any) -> None:
        super().__init__(app, http=BoundedConnection, **options)
        self.gate = Gate(bounds)


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's connection under the bounds of its `Config`."""

    def __init__(self, config: Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._gate = config.gate
        self._bounds = config.gate.bounds
        self._served = self.app
        self._let_in = False
        self._reading_head = True
        self.reading_body = False
        self._answering = False
        self._head = 0
        self._overhead = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or make no beginning."""
        super().connection_made(transport)
        self._let_in = self._gate.enter(self)
        if self._let_in:
            self._wait_for_head()
        elif not transport.is_closing():
            self._set_timer(self._bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give everything back."""
        self._set_timer(None)
        self.pipeline.clear()
        self._answered()
        self._gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, within bounds."""
        if self.transport.is_closing():
            return
        if not self._let_in:  # only now: a connection closed before it is read is reset, and the answer lost
            self._refuse(b"503 Service Unavailable", b"retry-after: 5\r\n")
            return
        if self._reading_head:
            self._head += len(data)
        elif self.reading_body:
            self._overhead += len(data)
        if self._timer is None:  # the first bytes of another request on this connection
            self._wait_for_head()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._reading_head and self._head > self._bounds.head:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self.reading_body and self._overhead > self._bounds.overhead:
            self._refuse(b"400 Bad Request")

    def on_message_begin(self) -> None:
        """Note the beginning of a request."""
        super().on_message_begin()
        self._reading_head = True

    def on_headers_complete(self) -> None:
        """Have the request answered, by a refusal if it is out of bounds."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        excessive = size > self._bounds.head or len(self.headers) > self._bounds.headers
        probe = self.url.partition(b"?")[0].decode("latin-1") in PROBES
        busy = not probe and self._gate.busy(self.loop.time())
        self._reading_head, self._head, self.reading_body, self._overhead = False, 0, True, 0
        if not self._answering:
            self._answering = True
            self._gate.requests += 1
        self._gate.waiting.pop(self, None)
        self._gate.waiting[self] = self.loop.time()
        self._set_timer(self._bounds.request_seconds)
        self.app = _excessive if excessive else _busy if busy else self._served
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has arrived."""
        self.reading_body = False
        self._reading_head, self._head = True, 0
        self._gate.waiting.pop(self, None)
        super().on_message_complete()
        self._rest()

    def on_response_complete(self) -> None:
        """Note that it is answered."""
        self._answered()
        super().on_response_complete()
        self._rest()

    def drop(self) -> None:
        """End it at once, to make room."""
        self._gate.leave(self)
        self.pipeline.clear()
        self._answered()
        self.transport.abort()

    def _rest(self) -> None:
        """Between two requests, uvicorn's own time for a connection that isn't used counts."""
        if not self.reading_body and self.cycle.response_complete and not self.pipeline:
            self._set_timer(None)
            self._gate.waiting[self] = self.loop.time()

    def _answered(self) -> None:
        if self._answering and not self.pipeline:
            self._answering = False
            self._gate.requests -= 1

    def _wait_for_head(self) -> None:
        self._gate.waiting.setdefault(self, self.loop.time())
        self._set_timer(self._bounds.head_seconds)

    def _set_timer(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._reading_head and self._let_in and not self._answering:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.abort()

    def _refuse(self, status: bytes, more: bytes = b"") -> None:
        self._gate.leave(self)
        if getattr(self.cycle, "response_started", False) and not self._reading_head:
            self.transport.abort()
            return
        self.transport.write(b"HTTP/1.1 " + status + b"\r\n" + more + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()


_CLOSE = {"connection": "close"}


async def _excessive(scope: Scope, receive: Receive, send: Send) -> None:
    answer = {"error": "The headers are too large or too many. Send the delivery to the right address.", "code": "head"}
    await JSONResponse(answer, 431, _CLOSE)(scope, receive, send)


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    answer = {"error": "Too many deliveries are under way. Send this one again in a while.", "code": "busy"}
    await JSONResponse(answer, 503, {"retry-after": "5", **_CLOSE})(scope, receive, send)
