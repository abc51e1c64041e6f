"""One Stripe account in memory, behind Stripe's API: the independent judge of the Stripe connector."""

import random
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Self

import httpx2
from starlette.applications import Starlette
from starlette.routing import Route as HttpRoute

from services.connectors.stripe.sandbox.catalog import Catalog
from services.connectors.stripe.sandbox.customer import Customers
from services.connectors.stripe.sandbox.dashboard import Dashboard
from services.connectors.stripe.sandbox.endpoint import Endpoints
from services.connectors.stripe.sandbox.event import Events, World
from services.connectors.stripe.sandbox.fault import Faults
from services.connectors.stripe.sandbox.idempotency import IdempotencyKeys
from services.connectors.stripe.sandbox.journal import Requests
from services.connectors.stripe.sandbox.pace import Pace, Rate
from services.connectors.stripe.sandbox.refusal import Json
from services.connectors.stripe.sandbox.routes import Expansion, Shelves, routes
from services.connectors.stripe.sandbox.search import Index
from services.connectors.stripe.sandbox.server import Server
from services.connectors.stripe.sandbox.subscription import Subscriptions
from services.connectors.stripe.sandbox.webhook import Webhooks

# A sandbox account gets three tries over a few hours (https://docs.stripe.com/webhooks); here, in seconds.
RETRIES = (0.2, 1.0)


class StripeSandbox:
    """A Stripe account that enforces the real API's rules for the part contactsync uses.

    api_key, webhook_secret: what opens it, and what signs for endpoints registered by code.
    clock: seconds since 1970; everything is dated by it. rng: the source of ids and of disorder; a seeded one
    makes a run repeatable. rate: None for no limits, else requests per second. search_delay: seconds until
    the search sees a change. deleted_shape: whether customer.deleted carries the whole customer or only its
    id. webhook_retries: real seconds between tries. webhook_transport: how webhooks travel, if not over the
    network; an endpoint can have its own.

    `app` is the ASGI app. `api_keys` are the keys it accepts: take one out to revoke it. `customers`,
    `subscriptions`, `catalog`, `events`, `requests` and `webhooks.deliveries` are for reading; `dashboard`,
    `webhooks` and `faults` are for making things happen.
    Use it as an async context manager, or call `aclose`, when it sends webhooks.
    """

    def __init__(  # noqa: PLR0913 - an account's settings, all by name and with defaults
        self,
        api_key: str = "sk_test_sandbox",
        webhook_secret: str = "whsec_sandbox",  # noqa: S107 - it opens nothing but this sandbox
        *,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        api_version: str = "2026-10-28.endive",
        rate: Rate | None = None,
        search_delay: float = 0.0,
        deleted_shape: Literal["full", "short"] = "full",
        webhook_retries: Sequence[float] = RETRIES,
        webhook_timeout: float = 10.0,
        webhook_transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        world = World(clock, rng or random.Random())  # noqa: S311 - ids that look real, no secrets
        self.clock = clock
        self.api_key = api_key
        self.api_keys = {api_key}
        self.api_version = api_version
        self.events = Events(world, api_version)
        index = Index(clock, search_delay)
        self.customers = Customers(world, self.events, index, deleted_shape)
        self.catalog = Catalog(world, self.events)
        self.subscriptions = Subscriptions(world, self.events, self.customers, self.catalog)
        self.search = index
        endpoints = Endpoints(world, webhook_secret)
        self.webhooks = Webhooks(
            world,
            endpoints,
            retries=webhook_retries,
            timeout=webhook_timeout,
            transport=webhook_transport,
        )
        self.events.deliver = self.webhooks.deliver
        self.dashboard = Dashboard(world, self.customers, self.subscriptions)
        self.faults = Faults(world.rng)
        self.pace = Pace(rate, clock)
        self.requests = Requests()
        shelves = Shelves(
            self.customers, index, self.subscriptions, self.catalog, self.events, endpoints, _account(world)
        )
        server = Server(
            world=world,
            events=self.events,
            routes=routes(shelves),
            expansion=Expansion(shelves),
            api_keys=self.api_keys,
            api_version=api_version,
            pace=self.pace,
            faults=self.faults,
            keys=IdempotencyKeys(clock),
            requests=self.requests,
            start_webhooks=self.webhooks.start,
        )
        everything = ["GET", "POST", "DELETE", "PUT", "PATCH"]
        self.app = Starlette(routes=[HttpRoute("/{path:path}", server.answer, methods=everything)])

    async def aclose(self) -> None:
        """Give up webhooks on their way and close connections."""
        await self.webhooks.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _account(world: World) -> Json:
    """What GET /v1/account tells about the account, as far as it matters here."""
    return {
        "id": world.new_id("acct_1", 15),
        "object": "account",
        "charges_enabled": True,
        "country": "BE",
        "created": world.now(),
        "default_currency": "eur",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
