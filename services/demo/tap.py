"""A listener in front of a server: passes every request on, and notes when it came and what was answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.demo.child import listening
from services.ingest.server import Server

WRITES = frozenset({"POST", "PUT", "DELETE", "PATCH", "MOVE", "PROPPATCH"})
_KEPT = 10_000
_OWN = {"host", "content-length", "connection", "keep-alive", "transfer-encoding", "te", "upgrade"}
"""Headers between two neighbours (RFC 9110 section 7.6.1): each hop has its own."""


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and its answer. Moments are on `time.perf_counter`, but `at`, which is unix time."""

    place: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    at: float
    arrived: float
    status: int = 0
    """0 while there is no answer."""
    answered: float = 0.0
    answer: bytes = field(default=b"", repr=False)

    @property
    def is_write(self) -> bool:
        """Whether the request changes something on the server."""
        return self.method in WRITES

    def says(self, words: str) -> bool:
        """Whether the words stand in the request."""
        return words.encode() in self.body or words in self.path

    def tells(self, words: str) -> bool:
        """Whether the words stand in the answer."""
        return words.encode() in self.answer


class Tap:
    """An ASGI application that forwards to `upstream` and keeps the exchanges, oldest first."""

    def __init__(self, place: str, upstream: str, heard: Callable[[Exchange], None]) -> None:
        self.place = place
        self._upstream = upstream
        self._heard = heard
        self.url = ""
        self.exchanges: list[Exchange] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        at, arrived = time.time(), time.perf_counter()
        request = Request(scope, receive)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        exchange = Exchange(
            place=self.place,
            method=request.method,
            path=path,
            headers=dict(request.headers),
            body=await request.body(),
            at=at,
            arrived=arrived,
        )
        if len(self.exchanges) > 2 * _KEPT:  # a demo may stay up for days
            del self.exchanges[:_KEPT]
        self.exchanges.append(exchange)
        response = await self._passed_on(exchange, scope)
        exchange.answered, exchange.answer, exchange.status = (
            time.perf_counter(),
            bytes(response.body),
            response.status_code,
        )
        self._heard(exchange)
        await response(scope, receive, send)

    async def _passed_on(self, exchange: Exchange, scope: Scope) -> Response:
        raw = scope.get("raw_path") or exchange.path.partition("?")[0].encode()
        query = scope.get("query_string", b"")
        target = self._upstream + raw.decode("ascii") + (f"?{query.decode('ascii')}" if query else "")
        kept = [(name, value) for name, value in scope["headers"] if name.decode("latin-1") not in _OWN]
        try:
            answer = await self._http.request(exchange.method, target, content=exchange.body or None, headers=kept)
        except httpx2.TransportError:
            return Response("The server behind this one doesn't answer.", status_code=503)
        response = Response(answer.content, status_code=answer.status_code)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.headers.raw
            if name.decode("latin-1").lower() not in _OWN | {"content-encoding", "date", "server"}
        ]
        response.raw_headers.append((b"content-length", str(len(answer.content)).encode()))
        if "date" in answer.headers:
            response.raw_headers.append((b"date", answer.headers["date"].encode("latin-1")))
        return response

    @contextlib.asynccontextmanager
    async def open(self, preferred: int = 0) -> AsyncIterator[Tap]:
        """Listen on the port `preferred` of this machine if it is free, else on another one; `url` says where."""
        listener = listening(preferred)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = Server(self, grace=1, date_header=False)  # the date is the upstream's own
        async with httpx2.AsyncClient(
            timeout=60, trust_env=False, headers={"accept-encoding": "identity"}
        ) as self._http:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield self
            finally:
                server.should_exit = server.force_exit = True
                await asyncio.wait({serving}, timeout=5)
                serving.cancel()
                listener.close()
