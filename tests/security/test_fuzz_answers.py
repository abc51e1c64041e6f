"""Hostile targets: whatever an app's server answers, a connector's outcome is one of those that it declares."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from services.connectors import discover
from services.connectors.bench import Lab, sample
from services.connectors.google_contacts.permissions import WAY
from services.contracts.app import CursorLost, Gone, Page, Seen, Trouble
from services.contracts.commands import Tag, Untag, Write
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Attempt, Prepares, Undecided
from services.runtime.authorize.exchange import Client, Failed, Tokens, refresh
from services.runtime.http import TooLarge, client, fetch
from tests.conformance.benches import BENCHES
from tests.security.fuzz import broken_json, damaged, rounds

ROUNDS = 150
_STATUS = (200, 200, 200, 200, 201, 204, 206, 207, 301, 304, 400, 401, 403, 404, 409, 410, 412, 429, 500, 503, 599)
_HEADERS = {
    "retry-after": ("-1", "1e9", "9" * 50, "Wed, 21 Oct 2099 07:28:00 GMT", "\xe9", ""),
    "etag": ("W/x", '"' * 3, "x" * 5000, "\xe9", ""),
    "location": ("//evil.example/", "http://169.254.169.254/", "/x" * 3000, "http://[", "\xe9"),
    "date": ("yesterday", "Wed, 99 Oct 2015 99:28:00 GMT", ""),
    "content-type": ("text/html", "application/json; charset=utf-7", ""),
    "request-id": ("x" * 4000, "\xe9"),
}


class Hostile(httpx2.AsyncBaseTransport):
    """Passes requests on and spoils some of the answers."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.draw = random.Random(0)
        self.spoils = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        draw = self.draw
        if not self.spoils or draw.random() < 0.3:
            return await self._inner.handle_async_request(request)
        response = await self._inner.handle_async_request(request)
        raw = await response.aread()
        await response.aclose()
        if draw.random() < 0.05:
            raise draw.choice((httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ReadTimeout))(
                "gone", request=request
            )
        json = "json" in response.headers.get("content-type", "json")
        body = broken_json(raw, draw) if json else damaged(raw, draw)
        headers = [(k, v) for k, v in response.headers.multi_items() if k not in {"content-length", "content-encoding"}]
        for name, values in _HEADERS.items():
            if draw.random() < 0.1:
                headers = [(k, v) for k, v in headers if k != name] + [(name, draw.choice(values))]
        status = response.status_code if draw.random() < 0.7 else draw.choice(_STATUS)
        # Other bytes than ASCII are what a server may send; httpx2 reads them as Latin-1.
        rows = [(k.encode("latin-1"), v.encode("latin-1", "replace")) for k, v in headers]
        return httpx2.Response(status, headers=rows, content=body, request=request)


@contextlib.asynccontextmanager
async def hostile(app: str, folder: Path) -> AsyncIterator[tuple[Lab, Hostile]]:
    async with BENCHES[app](folder) as bench:
        lab = Lab(bench)
        await lab.http.aclose()
        transport = Hostile(bench.transport)
        lab.http = client(transport=transport)
        try:
            yield lab, transport
        finally:
            await lab.http.aclose()


Operation = tuple[Callable[[], Awaitable[object]], tuple[type[Any], ...]]


async def operations(lab: Lab) -> list[Operation]:
    """Everything an app does, each with the outcomes that it declares, on contacts that are there."""
    ident = await lab.created()
    seen = await lab.seen(ident)
    _, cursor = await lab.scanned()
    addresses = [value for value in seen.contact.fields.get(lab.email, ()) if isinstance(value, str)]
    date = lab.bench.clock.now().date().isoformat()
    guard, whole = seen.contact.guard, seen.object
    fields = sample(lab.manifest, 77)
    commands: list[Write] = [
        lab.create(),
        lab.update(seen, {path: fields[path] for path in list(fields)[:3]}),
        Tag(aim=lab.aim(), contact_id=ident, tag="PieSync Trash", date=date, guard=guard, object=whole),
        Untag(aim=lab.aim(), contact_id=ident, tag="PieSync Trash", guard=guard, object=whole),
    ]
    first = round(lab.bench.clock.now().timestamp() * 1_000_000)
    app, numbers = lab.app, iter(range(10**9))

    def writing(command: Write) -> Operation:
        async def write() -> object:
            return await app.write(lab.access(), command, Attempt(key=f"key-{next(numbers)}", n=0))

        return write, (Written, Unchanged, Refused, Stale, Trouble)

    def settling(command: Write) -> Operation:
        async def settle() -> object:
            attempt = Attempt(key=f"lost-{next(numbers) % 5}", n=1, first=first)
            return await app.settle(lab.access(), command, attempt)

        return settle, (Written, Stale, Absence, Undecided, Trouble)

    found: list[Operation] = [
        (lambda: app.scan(lab.access(), None), (Page, CursorLost, Trouble)),
        (lambda: app.poll(lab.access(), cursor), (Page, CursorLost, Trouble)),
        (lambda: app.look(lab.access(), ident), (Seen, Gone, Trouble)),
        *((lambda each=each: app.find(lab.access(), each), (tuple, Trouble)) for each in addresses[:1]),
        *(writing(command) for command in commands),
        *(settling(command) for command in commands),
    ]
    if isinstance(app, Prepares):
        delivery = lab.bench.deliveries()[-1][0]
        found.append((lambda: app.prepare(lab.access(), delivery), (type(None), Trouble)))
    return found


@pytest.mark.parametrize("app", discover())
async def test_a_hostile_servers_answers_come_to_declared_outcomes(app: str, tmp_path: Path) -> None:
    async with hostile(app, tmp_path) as (lab, transport):
        known = await operations(lab)
        for seed in rounds(ROUNDS):
            draw = transport.draw = random.Random(seed)
            operation, declared = draw.choice(known)
            transport.spoils = True
            try:
                outcome = await operation()
                assert isinstance(outcome, declared), outcome
                msgspec.json.encode(outcome)  # it is sent on, as JSON
            except Exception as error:
                error.add_note(f"seed {seed}")
                raise
            finally:
                transport.spoils = False


async def test_a_hostile_token_endpoint_gives_tokens_or_a_reason() -> None:
    good = b'{"access_token":"ya29.x","expires_in":3599,"refresh_token":"1//y","scope":"a b","token_type":"Bearer"}'
    draw = random.Random(0)

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(draw.choice(_STATUS), content=broken_json(good, draw))

    async with client(transport=httpx2.MockTransport(answer)) as http:
        for seed in rounds(300):
            draw = random.Random(seed)
            found = await refresh(http, WAY, {}, Client(id="id", secret="canary"), "token-canary")
            assert isinstance(found, Tokens | Failed), seed
            assert "canary" not in repr(found), seed


async def test_answers_without_end_take_bounded_memory() -> None:
    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"[" * 65536

    endless = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Endless()))
    async with client(transport=endless) as http:
        with pytest.raises(TooLarge):
            await fetch(http, http.build_request("GET", "http://app.example/"))
