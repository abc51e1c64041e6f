"""Webhooks: signed deliveries in the background, tried again, doubled, delayed or held as a test wants."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import httpx2

from services.connectors.stripe.sandbox.endpoint import Endpoint, Endpoints
from services.connectors.stripe.sandbox.event import Events, Recorded, World

AT_ONCE = 32  # deliveries under way at the same time


@dataclass(frozen=True)
class Attempt:
    """One try: when (the sandbox's clock), and the status answered or the transport's error."""

    at: float
    status: int | None
    error: str | None = None


@dataclass
class Delivery:
    """An event on its way to an endpoint. `abandoned`: the endpoint was switched off or removed meanwhile."""

    endpoint: Endpoint
    recorded: Recorded
    attempts: list[Attempt] = field(default_factory=list)
    state: Literal["waiting", "delivered", "failed", "abandoned"] = "waiting"

    @property
    def kind(self) -> str:
        """The event's type."""
        return str(self.recorded.body["type"])


class Webhooks:
    """Delivers events to the endpoints that want them.

    Controls, in real seconds where they are times: `copies` of every delivery (duplicates), `delay` before
    each, `disorder` (a random extra delay up to it, so that order is lost), `retries` (the pauses between
    tries; after the last one a delivery has failed), `timeout` of a try; `hold`, `release`, `discard`.
    `endpoints` registers, switches off and rolls; `deliveries` is the record of everything sent.
    """

    def __init__(
        self,
        world: World,
        endpoints: Endpoints,
        *,
        retries: Sequence[float],
        timeout: float,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.retries = tuple(retries)
        self.timeout = timeout
        self.copies = 1
        self.delay = 0.0
        self.disorder = 0.0
        self.holding = False
        self.deliveries: list[Delivery] = []
        self._world = world
        self._transport = transport
        self._queue: list[Delivery] = []
        self._held: list[Delivery] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []
        self._clients: dict[int, httpx2.AsyncClient] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    @property
    def held(self) -> list[Delivery]:
        """The deliveries that wait for `release`."""
        return list(self._held)

    def deliver(self, recorded: Recorded) -> None:
        """Send an event to every endpoint that wants it now."""
        endpoints = self.endpoints.wanting(recorded.body["type"])
        recorded.pending.update(endpoint.id for endpoint in endpoints)
        for endpoint in endpoints:
            for _ in range(self.copies):
                self._enqueue(Delivery(endpoint, recorded))

    def resend(self, events: Events, event_id: str) -> None:
        """Send an event once more, as a person can in the dashboard."""
        recorded = events.recorded(event_id)
        for endpoint in self.endpoints.wanting(recorded.body["type"]):
            self._enqueue(Delivery(endpoint, recorded))

    def hold(self) -> None:
        """Keep new deliveries back until `release`."""
        self.holding = True

    def release(self, *, shuffle: bool = False) -> None:
        """Send what was held, oldest first or shuffled, and hold nothing any more."""
        self.holding = False
        if shuffle:
            self._world.rng.shuffle(self._held)
        self._queue += self._held
        self._held = []
        self.start()

    def discard(self) -> int:
        """Lose what was held, as an outage longer than the retries does; how many were lost."""
        lost, self._held = self._held, []
        for delivery in lost:
            delivery.state = "failed"
        return len(lost)

    def start(self) -> None:
        """Start what is queued, if an event loop runs; else it waits for the next call."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        queue, self._queue = self._queue, []
        for delivery in queue:
            task = loop.create_task(self._run(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def drain(self) -> None:
        """Wait until nothing is on its way: everything but the held is delivered, failed or abandoned."""
        self.start()
        while self._tasks:
            await asyncio.wait(self._tasks)
            self.start()
        if self._broken:
            raise self._broken.pop()

    async def aclose(self) -> None:
        """Give up what is on its way and close the connections."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    def _enqueue(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        (self._held if self.holding else self._queue).append(delivery)
        self.start()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._broken.append(error)

    async def _run(self, delivery: Delivery) -> None:
        pause = self.delay + (self._world.rng.random() * self.disorder if self.disorder else 0.0)
        for wait in (pause, *self.retries):
            if wait:
                await asyncio.sleep(wait)
            endpoint = delivery.endpoint
            if endpoint.id not in self.endpoints or not endpoint.wants(delivery.kind):
                delivery.state = "abandoned"
                return
            async with self._room:
                attempt = await self._try(delivery)
            delivery.attempts.append(attempt)
            if attempt.status is not None and 200 <= attempt.status < 300:
                delivery.state = "delivered"
                delivery.recorded.pending.discard(endpoint.id)
                return
        delivery.state = "failed"

    async def _try(self, delivery: Delivery) -> Attempt:
        """One try, signed with the time of sending."""
        endpoint, now = delivery.endpoint, self._world.clock()
        event = delivery.recorded.rendered()
        event["api_version"] = endpoint.body["api_version"] or event["api_version"]
        payload = json.dumps(event, indent=2, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": endpoint.signature(payload, now),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        try:
            answer = await self._client(endpoint).post(endpoint.body["url"], content=payload, headers=headers)
        except httpx2.TransportError as error:
            return Attempt(now, None, type(error).__name__)
        return Attempt(now, answer.status_code)

    def _client(self, endpoint: Endpoint) -> httpx2.AsyncClient:
        transport = endpoint.transport or self._transport
        client = self._clients.get(id(transport))
        if client is None:
            client = httpx2.AsyncClient(transport=transport, timeout=self.timeout, trust_env=False)
            self._clients[id(transport)] = client
        return client
