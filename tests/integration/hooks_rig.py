"""What webhooks' tests stand on: an ingest over the real log, with Stripe's own reader, and signed deliveries."""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import msgspec
from starlette.types import Message

from services.connectors.google_contacts.contacts import GoogleContacts
from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.stripe.app import Stripe
from services.ingest.app import application
from services.ingest.body import Bodies, Room
from services.ingest.hooks import Hooks
from services.ingest.publish import Publisher
from services.ingest.registry import Accounts
from services.ingest.wish import Wishes
from services.runtime.health import Health, schema_check
from services.runtime.log import Log
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from tests.integration.directory import Directory
from tests.integration.ingest_rig import accessed, accounts, open_log, register

SECRET, OLD_SECRET = "whsec_of_these_tests", "whsec_from_before"
LIMIT = 4096


def event(number: int = 1, kind: str = "customer.updated", **more: Any) -> bytes:
    customer = {"id": f"cus_{number}", "object": "customer", "email": "ada@example.org", "metadata": {}}
    body = {
        "id": f"evt_{number}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "data": {"object": customer},
    }
    return msgspec.json.encode(body | more)


def signature(body: bytes, *, secret: str = SECRET, at: float | None = None, scheme: str = "v1") -> str:
    moment = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},{scheme}={signed}"


def headers(body: bytes, **how: Any) -> dict[str, str]:
    return {"content-type": "application/json; charset=utf-8", "stripe-signature": signature(body, **how)}


class Rig:
    """One ingest, its store and its log."""

    def __init__(
        self,
        store: Store,
        log: Log,
        *,
        room: int = 1 << 20,
        limit: int = 64,
        seconds: float = 5,
        wish_seconds: float = 5,
        known: Accounts | None = None,
    ) -> None:
        self.store = store
        self.log = log
        self.metrics = Metrics()
        self.directory = Directory()
        self.google = GoogleSandbox()
        self.provider = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.google.app))
        hooks = Hooks(
            {
                "stripe": Stripe(),
                "google_contacts": GoogleContacts(),
                "directory": self.directory,
                "feedonly": _FeedOnly(),
            },
            known or accounts(store),
            Publisher(log, limit=limit, timeout=5),
            Bodies(limit=LIMIT, seconds=seconds, room=Room(room)),
            self.metrics,
            access=accessed(self.provider),
            wish=Wishes(store, seconds=wish_seconds),
        )
        self.probes = Health(self.metrics, {"log": log.ready, "schema": schema_check(store)})
        self.app = application(hooks, self.probes)
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=True)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://ingest.test")

    async def deliver(self, body: bytes, account: str = "shop", **how: Any) -> httpx2.Response:
        return await self.http.post(f"/hooks/{account}", content=body, headers=headers(body, **how))


class _FeedOnly(Directory):
    """An app without webhooks."""

    def __init__(self) -> None:
        super().__init__()
        self._manifest = msgspec.structs.replace(self._manifest, abilities=frozenset())


async def stocked(store: Store) -> None:
    """Register accounts of every kind."""
    secrets = {"webhook_secrets": [OLD_SECRET, SECRET], "api_key": ["rk_test_1"]}
    await register(store, "shop", "stripe", credentials=secrets)
    await register(store, "bare", "stripe")
    await register(store, "feed", "feedonly")
    await register(store, "strange", "nobody_knows")
    await register(store, "people", "directory")


@contextlib.asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Rig]:
    """An ingest with accounts, its log in the same database."""
    await stocked(store)
    async with open_log(store) as log:
        rig = Rig(store, log)
        async with rig.http, rig.provider:
            yield rig


async def call(
    rig: Rig,
    chunks: list[bytes],
    given: Mapping[str, str],
    *,
    endless: bytes = b"",
    leave: bool = False,
    silent: bool = False,
) -> tuple[int, dict[str, Any], int]:
    """Speak ASGI directly: status, body and how many pieces were taken of what was offered."""
    sent: list[Message] = []
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        if taken <= len(chunks):
            more = bool(endless) or leave or silent or taken < len(chunks)
            return {"type": "http.request", "body": chunks[taken - 1], "more_body": more}
        if leave:
            return {"type": "http.disconnect"}
        if endless:
            return {"type": "http.request", "body": endless, "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/hooks/shop",
        "raw_path": b"/hooks/shop",
        "query_string": b"",
        "root_path": "",
        "headers": [(key.encode(), value.encode("latin-1")) for key, value in given.items()],
        "server": ("ingest.test", 80),
        "client": ("127.0.0.1", 1),
    }
    await rig.app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], msgspec.json.decode(body), taken
