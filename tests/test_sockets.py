"""Answers leave at once: connections that were kept open don't wait for acknowledgements."""

from __future__ import annotations

import asyncio
import socket
from random import Random

from starlette.types import Receive, Scope, Send

from services.connectors.served import serve
from services.connectors.stripe.sandbox import StripeSandbox
from services.ingest.server import Server


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_ingests_server_sends_the_pieces_of_an_answer_without_waiting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(_nothing, grace=1)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nhost: ingest.test\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            [connection] = server.server_state.connections
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            writer.close()
            await writer.wait_closed()
        finally:
            server.should_exit = True
            await task


async def test_a_sandbox_is_as_quick_to_answer_as_the_server_it_stands_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serve(StripeSandbox("sk_test_x", "whsec_x", rng=Random(1)), sock=listener):
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
