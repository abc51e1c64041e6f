"""A Google in memory: accounts' contacts behind the People API, and the token endpoint that opens them."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Route as HttpRoute

from services.connectors.google_contacts.sandbox.batch import Batch
from services.connectors.google_contacts.sandbox.feed import Feed
from services.connectors.google_contacts.sandbox.group import Groups
from services.connectors.google_contacts.sandbox.hand import Hand
from services.connectors.google_contacts.sandbox.oauth import OAuth
from services.connectors.google_contacts.sandbox.person import People
from services.connectors.google_contacts.sandbox.quota import Quota
from services.connectors.google_contacts.sandbox.routes import Shelves
from services.connectors.google_contacts.sandbox.search import Search
from services.connectors.google_contacts.sandbox.server import Server


@dataclass(frozen=True)
class GoogleAccount:
    """One account: its contacts, what a person does to them, and what opens it."""

    people: People
    groups: Groups
    feed: Feed
    quota: Quota
    hand: Hand
    refresh_token: str


class GoogleSandbox:
    """A Google that enforces the People API's rules for the part contactsync uses.

    clock: seconds since 1970; everything is dated by it. rng: the source of ids; a seeded one makes a run
    repeatable. delay: seconds until lists and searches show a change.

    `app` is the ASGI app. `account` opens further accounts; the first one's parts stand on the sandbox itself:
    `hand`, `people`, `groups`, `feed`, `quota`, `refresh_token`. `requests` is for reading, `faults`, `oauth` and
    `server` for making things happen.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, rng: random.Random | None = None, delay: float = 0.0
    ) -> None:
        self.clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - ids that look real, no secrets
        self._delay = delay
        self._served: dict[str, tuple[Shelves, Quota]] = {}
        self._accounts: dict[str, GoogleAccount] = {}
        self.oauth = OAuth(clock, self._rng)
        self.server = Server(clock, self.oauth, self._served)
        self.faults = self.server.faults
        self.requests = self.server.requests
        first = self.account("first")
        self.people, self.groups, self.feed = first.people, first.groups, first.feed
        self.quota, self.hand, self.refresh_token = first.quota, first.hand, first.refresh_token
        everything = ["GET", "POST", "PATCH", "PUT", "DELETE"]
        self.app = Starlette(routes=[HttpRoute("/{path:path}", self.server.answer, methods=everything)])

    def account(self, name: str) -> GoogleAccount:
        """The account of that name, made if need be."""
        if name not in self._accounts:
            groups = Groups(self._rng)
            people = People(self.clock, self._rng, groups)
            people.delay = self._delay
            quota = Quota(self.clock)
            shelves = Shelves(people, groups, Feed(self.clock, people), Search(people), Batch(people))
            self._served[name] = (shelves, quota)
            hand = Hand(people, groups)
            self._accounts[name] = GoogleAccount(people, groups, shelves.feed, quota, hand, self.oauth.grant(name))
        return self._accounts[name]
