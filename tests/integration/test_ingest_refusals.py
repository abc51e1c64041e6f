"""Deliveries that aren't what they claim to be: each is refused with a sentence and changes nothing."""

import random
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.runtime.store import Store
from tests.integration.hooks_rig import LIMIT, SECRET, Rig, event, headers, opened, signature
from tests.integration.ingest_rig import records


@pytest.fixture
async def rig(store: Store) -> AsyncIterator[Rig]:
    async with opened(store) as rig:
        yield rig


GOOD = event()
BIG = event(padding="x" * LIMIT)
DEEP = b'{"id":"evt_1","type":"customer.updated","created":1,"data":{"object":' + b"[" * 1500 + b"]" * 1500 + b"}}"


def bad(
    status: int, code: str, body: bytes = GOOD, *, to: str = "/hooks/shop", method: str = "POST", **own: Any
) -> Any:
    """A row: what is changed about a good delivery. A header of None is left out; underscores are hyphens."""
    how = own.pop("how", {})
    return method, to, body, how, {key.replace("_", "-"): value for key, value in own.items()}, status, code


def renamed(body: bytes, **changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body) | changes)


BAD = {
    "no signature": bad(400, "signature", stripe_signature=None),
    "empty signature": bad(400, "signature", stripe_signature=""),
    "garbage signature": bad(400, "signature", stripe_signature="garbage"),
    "signature without time": bad(400, "signature", stripe_signature="v1=" + "0" * 64),
    "signature without scheme": bad(400, "signature", stripe_signature=f"t={int(time.time())}"),
    "signature in capitals": bad(400, "signature", stripe_signature=signature(GOOD).upper()),
    "signature of another body": bad(400, "signature", stripe_signature=signature(GOOD + b" ")),
    "signature with another secret": bad(400, "signature", how={"secret": "whsec_of_somebody_else"}),
    "signature of another scheme": bad(400, "signature", how={"scheme": "v0"}),
    "time that is no number": bad(400, "signature", stripe_signature="t=now,v1=" + "0" * 64),
    "time beyond any calendar": bad(400, "signature", stripe_signature="t=" + "9" * 40 + ",v1=" + "0" * 64),
    "signed an hour ago": bad(400, "timestamp", how={"at": time.time() - 3600}),
    "signed in an hour": bad(400, "timestamp", how={"at": time.time() + 3600}),
    "account without secrets": bad(400, "signature", to="/hooks/bare"),
    "empty body": bad(400, "json", b""),
    "no JSON": bad(400, "json", b"customer=cus_1"),
    "half a JSON": bad(400, "json", GOOD[: len(GOOD) // 2]),
    "another kind of JSON": bad(400, "json", b"[]"),
    "no UTF-8": bad(400, "encoding", GOOD.replace(b"ada", b"\xff\xfe")),
    "UTF-16": bad(400, "encoding", GOOD.decode().encode("utf-16")),
    "nested too deeply": bad(400, "json", DEEP),
    "event without object": bad(400, "json", renamed(GOOD, data=None)),
    "event without id": bad(400, "json", renamed(GOOD, id="")),
    "event dated never": bad(400, "json", renamed(GOOD, created=-1)),
    "id with control characters": bad(400, "json", renamed(GOOD, id="evt_1\x00\r\n")),
    "endless id": bad(400, "json", renamed(GOOD, id="e" * 2000)),
    "contact id with control characters": bad(
        400, "json", renamed(GOOD, data={"object": {"id": "cus_1\n", "object": "customer"}})
    ),
    "unknown account": bad(404, "account", to="/hooks/nobody"),
    "account with another case": bad(404, "account", to="/hooks/Shop"),
    "account that is SQL": bad(404, "account", to="/hooks/shop'--"),
    "account with a null": bad(404, "account", to="/hooks/shop%00"),
    "account of an app without webhooks": bad(404, "account", to="/hooks/feed"),
    "account of an app that isn't here": bad(404, "account", to="/hooks/strange"),
    "no account": bad(404, "path", to="/hooks/"),
    "a path below": bad(404, "path", to="/hooks/shop/more"),
    "a slash at the end": bad(404, "path", to="/hooks/shop/"),
    "GET": bad(405, "method", method="GET"),
    "PUT": bad(405, "method", method="PUT"),
    "DELETE": bad(405, "method", method="DELETE"),
    "too large": bad(413, "size", BIG),
    "a form": bad(415, "content_type", content_type="application/x-www-form-urlencoded"),
    "plain text": bad(415, "content_type", content_type="text/plain"),
    "no content type": bad(415, "content_type", content_type=None),
    "another charset": bad(415, "content_type", content_type="application/json; charset=latin-1"),
    "gzip": bad(415, "content_encoding", content_encoding="gzip"),
    "an encoding nobody knows": bad(415, "content_encoding", content_encoding="identity, zebra"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_delivery_is_refused_with_a_sentence_and_changes_nothing(rig: Rig, name: str) -> None:
    method, to, body, how, own, status, code = BAD[name]
    given = {key: value for key, value in (headers(body, **how) | own).items() if value is not None}
    answer = await rig.http.request(method, to, content=body, headers=given)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code)
    assert set(told) == {"error", "code"}
    assert "ada@example.org" not in told["error"]
    assert SECRET not in told["error"]
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)
    assert await records(rig.store) == []


def _altered(rng: random.Random, text: bytes) -> bytes:
    """The text with one byte changed, missing or doubled."""
    at = rng.randrange(len(text))
    other = bytes([rng.choice([byte for byte in range(0x21, 0x7F) if byte != text[at]])])
    return text[:at] + rng.choice([other, b"", other + text[at : at + 1]]) + text[at + 1 :]


async def test_of_a_thousand_altered_deliveries_none_is_taken(rig: Rig) -> None:
    rng = random.Random(7)
    signed = headers(GOOD)
    mark = signed["stripe-signature"].encode()
    for _ in range(1000):
        if rng.random() < 0.5:
            answer = await rig.http.post("/hooks/shop", content=_altered(rng, GOOD), headers=signed)
        else:
            # The last digits stay: text after a whole signature is somebody's extension, and ignored.
            bad_mark = _altered(rng, mark[:-1]) + mark[-1:]
            given = signed | {"stripe-signature": bad_mark.decode()}
            answer = await rig.http.post("/hooks/shop", content=GOOD, headers=given)
        assert answer.status_code == 400, answer.request.headers
    assert await records(rig.store) == []
