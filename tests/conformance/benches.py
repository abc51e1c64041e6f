"""The sandboxes of our own apps as benches of the conformance suite."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import httpx2

from services.connectors.bench import Bench
from services.connectors.carddav.app import CardDav
from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.stripe.app import APP as STRIPE
from services.connectors.stripe.sandbox import StripeSandbox
from services.contracts.app import Delivery, Seen
from services.runtime.app import Access, App
from services.runtime.clock import Clock, ManualClock, SystemClock
from tests.connectors.google_rig import google_bench
from tests.connectors.quickbooks_rig import quickbooks_bench

Open: TypeAlias = Callable[[Path], contextlib.AbstractAsyncContextManager[Bench]]
SECRET = "whsec_sandbox"


class StripeBench:
    """Stripe's sandbox on a clock of its own."""

    nobody = "cus_nobody0000000"
    lost_cursor: str | None = '{"since":1,"after":""}'

    def __init__(self) -> None:
        self.app: App = STRIPE
        self.manual = ManualClock()
        self.clock: Clock = self.manual
        self.box = StripeSandbox(clock=self._now, rng=random.Random(7))
        self.settings: Mapping[str, str] = {"api_base": "http://stripe.test"}
        self.credentials: Mapping[str, tuple[str, ...]] = {
            "api_key": (self.box.api_key,),
            "webhook_secrets": (SECRET,),
        }
        self.transport: httpx2.AsyncBaseTransport = httpx2.ASGITransport(app=self.box.app)
        self.http = httpx2.AsyncClient(transport=self.transport)

    def _now(self) -> float:
        return self.manual.time.timestamp()

    async def enrich(self, contact_id: str) -> None:
        self.box.dashboard.update(contact_id, metadata={"loyalty": "gold"})

    async def is_enriched(self, contact_id: str) -> bool:
        access = Access(
            account="conformance",
            settings=self.settings,
            credentials=self.credentials,
            http=self.http,
            clock=self.clock,
        )
        seen = await self.app.look(access, contact_id)
        return isinstance(seen, Seen) and json.loads(bytes(seen.object))["metadata"]["loyalty"] == "gold"

    async def edit(self, contact_id: str, path: str, value: str) -> None:
        self.box.dashboard.update(contact_id, **{path: value})

    async def remove(self, contact_id: str) -> None:
        self.box.dashboard.delete(contact_id)

    async def settled(self) -> None:
        self.manual.advance(120)

    def deliveries(self) -> Sequence[tuple[Delivery, Sequence[str], float]]:
        now = int(self.manual.time.timestamp())
        customer = {"id": "cus_1", "object": "customer", "email": "ada@example.com", "metadata": {}, "created": now}
        kinds = ("customer.created", "customer.updated", "customer.deleted")
        return [self._delivery(f"evt_{n}", kind, customer, now) for n, kind in enumerate(kinds)]

    def _delivery(
        self, ident: str, kind: str, customer: Mapping[str, object], now: int
    ) -> tuple[Delivery, Sequence[str], float]:
        event = {
            "id": ident,
            "object": "event",
            "api_version": self.box.api_version,
            "created": now,
            "type": kind,
            "livemode": False,
            "request": {"id": None, "idempotency_key": None},
            "data": {"object": customer},
        }
        body = json.dumps(event).encode()
        digest = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        headers = (("stripe-signature", f"t={now},v1={digest}"), ("content-type", "application/json"))
        delivery = Delivery(account="conformance", headers=headers, body=body, received=now * 1_000_000)
        return delivery, (SECRET,), float(now)


class CarddavBench:
    """Radicale, with one address book."""

    nobody = "/ada/contacts/nobody.vcf"

    def __init__(self, box: CarddavSandbox) -> None:
        self.app: App = CardDav()
        self.clock: Clock = SystemClock()
        self.box = box
        token = "http://radicale.org/ns/sync/" + "0" * 64
        self.lost_cursor: str | None = json.dumps({"book": "/ada/contacts/", "token": token})
        self.settings: Mapping[str, str] = box.settings
        self.credentials: Mapping[str, tuple[str, ...]] = box.credentials
        self.transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport()

    async def enrich(self, contact_id: str) -> None:
        await self._edit(contact_id, lambda card: card.replace("END:VCARD", "X-LOYALTY;LEVEL=1:gold\r\nEND:VCARD"))

    async def is_enriched(self, contact_id: str) -> bool:
        return "X-LOYALTY;LEVEL=1:gold" in (await self.box.get(_name(contact_id)) or "")

    async def edit(self, contact_id: str, path: str, value: str) -> None:
        assert path == "note"

        def changed(card: str) -> str:
            lines = [line for line in card.splitlines() if not line.startswith("NOTE")]
            return "\r\n".join([*lines[:-1], f"NOTE:{value}", lines[-1], ""])

        await self._edit(contact_id, changed)

    async def remove(self, contact_id: str) -> None:
        await self.box.delete(_name(contact_id))

    async def settled(self) -> None:
        """Radicale shows at once what it has."""

    def deliveries(self) -> Sequence[tuple[Delivery, Sequence[str], float]]:
        return ()

    async def _edit(self, contact_id: str, change: Callable[[str], str]) -> None:
        card = await self.box.get(_name(contact_id))
        assert card is not None
        await self.box.put(_name(contact_id), change(card))


def _name(contact_id: str) -> str:
    return contact_id.rpartition("/")[2]


@contextlib.asynccontextmanager
async def stripe_bench(folder: Path) -> AsyncIterator[Bench]:
    bench = StripeBench()
    async with bench.box:
        yield bench


@contextlib.asynccontextmanager
async def carddav_bench(folder: Path) -> AsyncIterator[Bench]:
    async with CarddavSandbox(folder) as box:
        bench = CarddavBench(box)
        try:
            yield bench
        finally:
            await bench.transport.aclose()


BENCHES: Mapping[str, Open] = {
    "stripe": stripe_bench,
    "carddav": carddav_bench,
    "google_contacts": google_bench,
    "quickbooks": quickbooks_bench,
}
