"""Who sends deliveries in the bench: a process of its own with nothing between it and its sockets.

`python -m tests.bench.posting PORT PATH` reads lines of JSON from its input, a `Round` each, and answers each
with a line, a `Posted`. Every delivery is signed, and about another contact.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from tests.bench.deliveries import HEADER, SIZES, event, signed
from tests.bench.hops import due

_SIZE = SIZES[1]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """How to send. Without `stretches` each connection sends its next delivery as soon as its last is answered."""

    connections: int
    count: int = 0
    """Of all connections together."""
    stretches: tuple[tuple[float, float], ...] = ()
    """Rates and for how many seconds each, whatever becomes of what was sent before: an open loop."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a round."""

    seconds: float
    answers: dict[int, int]
    """How many deliveries were answered with which status."""
    retry_after: int
    """How many answers said when to come again."""
    waits: list[float]
    """Sorted: seconds from when a delivery was due (in a closed loop: sent) to its answer."""


class Connection(asyncio.Protocol):
    """One kept connection, which has one delivery under way at most."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[tuple[int, bool]] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or self._answer is None:
            return
        head = head.lower()
        _, _, length = head.partition(b"\r\ncontent-length:")
        if len(body) >= int(length.partition(b"\r\n")[0]):
            self._buffer = b""
            if b"\r\nconnection: close" in head:
                self.close()
            self._answer.set_result((int(head[9:12]), b"\r\nretry-after:" in head))
            self._answer = None

    def connection_lost(self, exc: Exception | None) -> None:
        """An answer that doesn't come is a fault of the measurement."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed a connection"))

    @property
    def kept(self) -> bool:
        """Whether another delivery can be sent: the server ends a connection where it has no room."""
        return not self._transport.is_closing()

    def close(self) -> None:
        """Leave."""
        self._transport.close()

    def post(self, request: bytes) -> asyncio.Future[tuple[int, bool]]:
        """Send a delivery; what comes back is the status, and whether it says when to come again."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer


Post: TypeAlias = Callable[[Connection, bytes, float], Awaitable[None]]


class Sender:
    """Sends rounds of deliveries over connections that it keeps."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nuser-agent: Stripe/1.0\r\naccept: */*\r\n"
            "content-type: application/json; charset=utf-8\r\n"
        )
        self._number = 0
        self._free: deque[Connection] = deque()

    async def run(self, wanted: Round) -> Posted:
        """Send one round, all of it made and signed before the first is sent."""
        loop = asyncio.get_running_loop()
        count = wanted.count or sum(round(rate * seconds) for rate, seconds in wanted.stretches)
        requests = [self._request() for _ in range(count)]
        # A round's own, and only now: a server closes connections that aren't used for a while.
        for _ in range(wanted.connections):
            self._free.append(await self._connected())
        answers: Counter[int] = Counter()
        waits: list[float] = []
        again = 0
        began = loop.time()

        async def post(connection: Connection, request: bytes, moment: float) -> None:
            nonlocal again
            status, said = await connection.post(request)
            waits.append(loop.time() - moment)
            answers[status] += 1
            again += said

        async def closed(connection: Connection) -> None:
            while requests:
                await post(connection, requests.pop(), loop.time())

        if wanted.count:
            await asyncio.gather(*map(closed, self._free))
        else:
            await self._open(wanted, requests, post)
        seconds = loop.time() - began
        while self._free:
            self._free.popleft().close()
        return Posted(seconds=seconds, answers=dict(answers), retry_after=again, waits=sorted(waits))

    async def _open(self, wanted: Round, requests: list[bytes], post: Post) -> None:
        room = asyncio.Semaphore(len(self._free))

        async def one(request: bytes, moment: float) -> None:
            async with room:
                connection = self._free.popleft()
                await post(connection, request, moment)
                self._free.append(connection if connection.kept else await self._connected())

        async with asyncio.TaskGroup() as group:
            for rate, seconds in wanted.stretches:
                async for moment in due(rate, seconds):
                    group.create_task(one(requests.pop(), moment))

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, "127.0.0.1", self._port))[1]

    def _request(self) -> bytes:
        now = int(time.time())
        body = event(self._number, _SIZE, created=now)
        self._number += 1
        head = f"{self._head}{HEADER}: {signed(body, at=now)}\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body


async def _main(port: int, path: str) -> None:
    sender = Sender(port, path)
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        posted = await sender.run(msgspec.json.decode(line, type=Round))
        sys.stdout.buffer.write(msgspec.json.encode(posted) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))
