"""ingest behind its real server: requests that are broken on the wire."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn

from services.runtime.store import Store
from tests.integration.hooks_rig import LIMIT, Rig, event, headers, opened
from tests.integration.ingest_rig import records


class Server(uvicorn.Server):
    """uvicorn without its hold on the process's signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Served:
    """A rig and the port that it listens on."""

    def __init__(self, rig: Rig, port: int) -> None:
        self.rig = rig
        self.port = port

    async def say(self, *pieces: bytes, leave: bool = False) -> bytes:
        """Send bytes, return what comes back until the server closes; `leave` closes first."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                if leave:
                    return b""
                async with asyncio.timeout(10):
                    return await reader.read()
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
async def served(store: Store) -> AsyncIterator[Served]:
    listening = socket.create_server(("127.0.0.1", 0))
    async with opened(store) as rig:
        config = uvicorn.Config(rig.app, log_config=None, lifespan="off", timeout_keep_alive=1)
        server = Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield Served(rig, listening.getsockname()[1])
        finally:
            server.should_exit = True
            await task


def head(given: dict[str, str], *, method: str = "POST", path: str = "/hooks/shop") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: ingest.test", "connection: close"]
    return "\r\n".join([*lines, *(f"{key}: {value}" for key, value in given.items()), "", ""]).encode()


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def test_a_chunked_delivery_is_taken(served: Served) -> None:
    body = event()
    answer = await served.say(head(headers(body) | {"transfer-encoding": "chunked"}), chunked(body, 50))
    assert answer.startswith(b"HTTP/1.1 200")
    assert len(await records(served.rig.store)) == 1


async def test_a_chunked_body_without_end_is_cut_off(served: Served) -> None:
    piece = b"400\r\n" + b"x" * 0x400 + b"\r\n"
    answer = await served.say(head(headers(b"") | {"transfer-encoding": "chunked"}), *[piece] * (LIMIT // 0x400 + 50))
    assert answer.startswith(b"HTTP/1.1 413") or answer == b""  # a reset may overtake the answer


BROKEN = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "two lengths": head(headers(b"{}") | {"content-length": "2\r\ncontent-length: 3"}) + b"{}",
    "a length in words": head(headers(b"{}") | {"content-length": "two"}) + b"{}",
    "a length below nothing": head(headers(b"{}") | {"content-length": "-1"}) + b"{}",
    "a chunk that is none": head(headers(b"{}") | {"transfer-encoding": "chunked"}) + b"zz\r\n{}\r\n",
    "a header without a name": head(headers(b"{}") | {"": "x"}) + b"{}",
    "a path of raw bytes": head(headers(b"{}") | {"content-length": "2"}, path="/hooks/%ff%00") + b"{}",
    "no such method": head(headers(b"{}") | {"content-length": "2"}, method="BREW") + b"{}",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_broken_on_the_wire_never_counts_as_our_fault(
    served: Served, name: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = await served.say(BROKEN[name])
    assert answer.startswith(b"HTTP/1.1 4")
    assert await records(served.rig.store) == []
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err + caplog.text


async def test_senders_who_leave_mid_body_are_forgotten(
    served: Served, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = event()
    given = headers(body) | {"content-length": str(len(body))}
    await asyncio.gather(*(served.say(head(given), body[:n], leave=True) for n in range(0, len(body), 20)))
    whole = await served.say(head(given), body)
    assert whole.startswith(b"HTTP/1.1 200")
    assert len(await records(served.rig.store)) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err + caplog.text
