"""An Intuit in memory: companies' customers behind the API, the token endpoint that opens them, and webhooks."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route

from services.connectors.quickbooks.sandbox.customers import Customers
from services.connectors.quickbooks.sandbox.hand import Hand
from services.connectors.quickbooks.sandbox.oauth import OAuth
from services.connectors.quickbooks.sandbox.quota import Quota
from services.connectors.quickbooks.sandbox.server import Server
from services.connectors.quickbooks.sandbox.webhook import Webhooks


@dataclass(frozen=True)
class Company:
    """One company: its customers, what a person does to them, and what opens it."""

    realm: str
    customers: Customers
    quota: Quota
    hand: Hand
    refresh_token: str


class QuickBooksSandbox:
    """A QuickBooks Online that enforces the API's rules for the part contactsync uses.

    clock: seconds since 1970; everything is dated by it. rng: the source of ids; a seeded one makes a run repeatable.

    `app` is the ASGI app. `company` opens further companies; the first one's parts stand on the sandbox itself:
    `hand`, `customers`, `quota`, `realm`, `refresh_token`. `requests` is for reading; `faults`, `oauth`, `webhooks`
    and `server` are for making things happen.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time, rng: random.Random | None = None) -> None:
        self.clock = clock
        self._companies: dict[str, Company] = {}
        rng = rng or random.Random()  # noqa: S311 - ids that look real, no secrets
        self.oauth = OAuth(clock, rng)
        self.webhooks = Webhooks(clock, rng)
        self.server = Server(clock, self.oauth, self._companies)
        self.faults = self.server.faults
        self.requests = self.server.requests
        first = self.company("9341455000000001")
        self.oauth.chosen = first.realm
        self.realm, self.customers, self.quota = first.realm, first.customers, first.quota
        self.hand, self.refresh_token = first.hand, first.refresh_token
        self.app = Starlette(routes=[Route("/{path:path}", self.server.answer, methods=["GET", "POST"])])

    def company(self, realm: str) -> Company:
        """The company with that id, made if need be."""
        if realm not in self._companies:
            customers = Customers(self.clock)
            customers.heard = partial(self.webhooks.add, realm)
            granted = self.oauth.grant(realm)
            self._companies[realm] = Company(realm, customers, Quota(self.clock), Hand(customers), granted)
        return self._companies[realm]
