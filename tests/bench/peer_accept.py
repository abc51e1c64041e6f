"""The peer of B2, run by the peers' own Python: Starlette and FastStream, with the same check of the signature.

`python peer_accept.py PORT BOOTSTRAP TOPIC SECRET` answers a delivery once the broker has acknowledged it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from faststream.kafka import KafkaBroker  # type: ignore[import-not-found,unused-ignore]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_PORT, _BOOTSTRAP, _TOPIC, _SECRET = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4].encode()
_TOLERANCE = 300
_broker = KafkaBroker(_BOOTSTRAP, logger=None, acks="all", enable_idempotence=True)


def _genuine(body: bytes, header: str) -> bool:
    items = [item.partition("=")[::2] for item in header.split(",")]
    at = dict(items).get("t", "")
    expected = hmac.digest(_SECRET, at.encode() + b"." + body, hashlib.sha256).hex()
    fits = any(scheme == "v1" and hmac.compare_digest(expected, value) for scheme, value in items)
    return fits and abs(time.time() - int(at)) <= _TOLERANCE


async def _take(request: Request) -> Response:
    body = await request.body()
    if not _genuine(body, request.headers.get("stripe-signature", "")):
        return JSONResponse({"error": "the signature doesn't fit"}, status_code=400)
    event = json.loads(body)
    await _broker.publish(event, _TOPIC, key=event["data"]["object"]["id"].encode())
    return JSONResponse({"received": 1})


@contextlib.asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[None]:
    await _broker.start()
    yield
    await _broker.stop()


if __name__ == "__main__":
    app = Starlette(routes=[Route("/hooks/{account}", _take, methods=["POST"])], lifespan=_lifespan)
    uvicorn.run(app, host="127.0.0.1", port=_PORT, log_config=None, access_log=False)
