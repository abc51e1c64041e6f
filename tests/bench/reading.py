"""B1: one Stripe event verified, parsed and normalized, beside the bare HMAC with a typed decode, and Stripe's own."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

import msgspec
import stripe

from services.connectors.stripe.app import APP
from services.contracts.app import Delivery
from tests.bench.deliveries import HEADER, SECRET, SIZES, event, signed
from tests.bench.place import Bench, BrokenError
from tests.bench.rounds import peak, repeated, rounds
from tests.bench.row import Measured, Row, Target

CAUSE = (
    "measured one by one at 1.2 KB: the HMAC takes 2.5 µs and the limit's decode 1.2. Ours beside the HMAC: the "
    "header's parts and every secret tried against every signature 2.9, the event's frame and its customer decoded "
    "one after the other 2.0 (the frame says first whether it is a customer at all, and its object travels on as it "
    "came), the contact by field paths, which is what normalizing is, 2.2, and what stood before the change 0.5."
)


class _Address(msgspec.Struct, frozen=True):
    city: str | None
    country: str | None
    line1: str | None
    line2: str | None
    postal_code: str | None
    state: str | None


class _Customer(msgspec.Struct, frozen=True):
    id: str
    object: str
    name: str | None
    email: str | None
    phone: str | None
    description: str | None
    address: _Address | None
    metadata: dict[str, str]


class _Request(msgspec.Struct, frozen=True):
    idempotency_key: str | None


class _Data(msgspec.Struct, frozen=True):
    object: _Customer
    previous_attributes: dict[str, str]


class _Event(msgspec.Struct, frozen=True):
    id: str
    type: str
    created: int
    data: _Data
    request: _Request


_DECODER = msgspec.json.Decoder(_Event)


def ours(delivery: Delivery, now: float) -> Callable[[], object]:
    """What ingest does with a delivery before it publishes."""

    def work() -> object:
        rejected = APP.verify(delivery, (SECRET,), now)
        readings = APP.read(delivery)
        if rejected or not isinstance(readings, tuple) or len(readings) != 1:
            raise BrokenError("the delivery wasn't read")
        return readings

    return work


def limit(body: bytes, header: str) -> Callable[[], object]:
    """The HMAC that the signature is, and the fields that we read in structs, with nothing else looked at."""
    time_of, _, fits = header[2:].partition(",v1=")
    prefix, secret, expected = time_of.encode() + b".", SECRET.encode(), bytes.fromhex(fits)

    def work() -> object:
        if not hmac.compare_digest(hmac.digest(secret, prefix + body, hashlib.sha256), expected):
            raise BrokenError("the signature doesn't fit")
        return _DECODER.decode(body)

    return work


def peer(body: bytes, header: str) -> Callable[[], object]:
    """Stripe's own library."""
    return lambda: stripe.Webhook.construct_event(body, header, SECRET, api_key="sk_test_bench")


async def rows(bench: Bench) -> list[Row]:
    """A row for each size."""
    now = int(time.time())
    seconds = 0.04 if bench.quick else 0.5
    made = []
    for size in SIZES:
        body = event(1, size, created=now)
        header = signed(body, at=now)
        delivery = Delivery(
            account="shop",
            headers=(("host", "example.com"), ("content-type", "application/json"), (HEADER, header)),
            body=body,
            received=now * 1_000_000,
        )
        works = {"ours": ours(delivery, now), "limit": limit(body, header), "peer": peer(body, header)}
        runs = await rounds(bench.runs, **{name: repeated(work, seconds) for name, work in works.items()})
        memory = {name: peak(work) for name, work in works.items()}
        made.append(
            Row(
                id="B1",
                workload=f"verify, parse and normalize one Stripe event of {len(body) / 1000:.1f} KB",
                unit="µs per event",
                ours=Measured(name="contactsync", runs=runs["ours"], memory=memory["ours"]),
                limit=Measured(
                    name="hmac.digest and one typed decode with msgspec", runs=runs["limit"], memory=memory["limit"]
                ),
                peer=Measured(name="stripe.Webhook.construct_event", runs=runs["peer"], memory=memory["peer"]),
                target=Target(most=1.5),
                cause=CAUSE,
                notes=("processor time of one core; memory: the most that one event has allocated at a time",),
            )
        )
    return made
