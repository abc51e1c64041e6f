"""The HTTP client follows nothing, waits for a bounded time and reads answers of a bounded size."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.runtime.clock import ManualClock, SystemClock
from services.runtime.http import TooLarge, client, fetch


class Endless(httpx2.AsyncByteStream):
    def __init__(self) -> None:
        self.pieces = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.pieces += 1
            yield b"x" * 1024

    async def aclose(self) -> None:
        self.closed = True


async def test_redirects_are_answers_and_not_followed() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(302, headers={"location": "http://elsewhere.example/"})

    async with client(base_url="http://app.example", transport=httpx2.MockTransport(answer)) as http:
        response = await http.get("/x", headers={"authorization": "Bearer canary"})
    assert response.status_code == 302
    assert asked == ["http://app.example/x"]


async def test_every_wait_is_bounded_and_we_say_who_we_are() -> None:
    async with client(connect=1, read=2) as http:
        assert http.timeout == httpx2.Timeout(connect=1, read=2, write=2, pool=2)
        assert http.headers["user-agent"].startswith("contactsync/")


async def test_an_answer_is_read_whole_and_decompressed() -> None:
    packed = gzip.compress(b'{"name": "Ada"}')
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, headers={"content-encoding": "gzip", "date": "today"}, content=packed)
    )
    async with client(transport=transport) as http:
        response = await fetch(http, http.build_request("GET", "http://app.example/"))
    assert response.json() == {"name": "Ada"}
    assert response.headers["date"] == "today"


async def test_an_endless_answer_is_given_up() -> None:
    stream = Endless()
    async with client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, stream=stream))) as http:
        with pytest.raises(TooLarge, match="more than 4096 bytes"):
            await fetch(http, http.build_request("GET", "http://app.example/"), most=4096)
    assert stream.closed
    assert stream.pieces == 5


async def test_a_compressed_bomb_is_measured_unpacked() -> None:
    bomb = gzip.compress(b"0" * 1_000_000)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, content=bomb))
    async with client(transport=transport) as http:
        with pytest.raises(TooLarge):
            await fetch(http, http.build_request("GET", "http://app.example/"), most=10_000)


def test_the_clocks_agree_on_what_time_is() -> None:
    real, manual = SystemClock(), ManualClock()
    assert real.now().utcoffset() == manual.now().utcoffset()
    assert real.monotonic() <= real.monotonic()
    before, started = manual.now(), manual.monotonic()
    manual.advance(90)
    assert (manual.now() - before).total_seconds() == manual.monotonic() - started == 90
    with pytest.raises(ValueError, match="doesn't go back"):
        manual.advance(-1)


async def test_a_header_that_is_not_ascii_spoils_no_answer() -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=[(b"x-place", b"Li\xe8ge")], content=b"ok"))
    async with client(transport=transport) as http:
        response = await fetch(http, http.build_request("GET", "http://app.example/"))
    assert response.headers["x-place"] == "Liège"
