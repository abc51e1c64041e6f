"""The account's events: what happened, who asked for it, and what it was before."""

import random
import string
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from services.connectors.stripe.sandbox.fields import Flag, Text, Texts, clean
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError, Json, no_such
from services.connectors.stripe.sandbox.shelf import PAGING, Shelf

KEPT = 30 * 86_400  # seconds that events can be listed: https://docs.stripe.com/api/events

_LETTERS = string.ascii_letters + string.digits
_LIST = {**PAGING, "type": Text(clears=False), "types": Texts(20), "delivery_success": Flag()}


class World:
    """The account's clock and its source of ids."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng

    def now(self) -> int:
        """The time in whole seconds, as Stripe stamps everything."""
        return int(self.clock())

    def new_id(self, prefix: str, length: int = 14) -> str:
        """A fresh id with Stripe's look: `cus_` and letters and digits."""
        return prefix + "".join(self.rng.choices(_LETTERS, k=length))


@dataclass(frozen=True)
class Cause:
    """The API request behind a change; a person in the dashboard has no idempotency key."""

    request_id: str
    idempotency_key: str | None = None


Plan = Callable[[Cause], Json]
"""A request that passed its checks: running it makes the change and gives the answer."""


@dataclass
class Recorded:
    """An event, and the webhook endpoints that haven't taken it yet."""

    body: Json
    pending: set[str] = field(default_factory=set)

    def rendered(self) -> Json:
        """The event as the API answers it."""
        return {**self.body, "pending_webhooks": len(self.pending)}


class Events:
    """The event log: 30 days of it can be listed and retrieved; `all` holds everything, for oracles."""

    def __init__(self, world: World, api_version: str) -> None:
        self.world = world
        self.api_version = api_version
        self.deliver: Callable[[Recorded], None] = lambda _: None
        self._shelf = Shelf("event", "/v1/events")
        self._recorded: dict[str, Recorded] = {}

    def __len__(self) -> int:
        return len(self._recorded)

    def emit(self, kind: str, thing: Json, cause: Cause, previous: Json | None = None) -> None:
        """Record an event of the type `kind` about `thing` and hand it to the webhooks."""
        data: Json = {"object": deepcopy(thing)}
        if previous is not None:
            data["previous_attributes"] = deepcopy(previous)
        body: Json = {
            "id": self.world.new_id("evt_1", 23),
            "object": "event",
            "api_version": self.api_version,
            "created": self.world.now(),
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
            "type": kind,
        }
        recorded = self._recorded[body["id"]] = Recorded(body)
        self._shelf.put(body)
        self.deliver(recorded)

    def all(self) -> list[Json]:
        """Every event ever, oldest first."""
        return [deepcopy(recorded.rendered()) for recorded in self._recorded.values()]

    def recorded(self, found: str) -> Recorded:
        """One event of the last 30 days. Raises ApiError resource_missing."""
        recorded = self._recorded.get(found)
        if recorded is None or not self._kept(recorded.body):
            raise no_such("event", found, param="id")
        return recorded

    def listed(self, tree: Tree) -> Json:
        """GET /v1/events."""
        params = clean(tree, _LIST)
        if "type" in params and "types" in params:
            message = "You may give type or types, not both."
            raise ApiError(message, code="parameters_exclusive", param="types")
        wanted = params.get("types", [params["type"]] if "type" in params else ["*"])
        success = params.get("delivery_success")

        def keep(row: Json) -> bool:
            return (
                self._kept(row)
                and any(fnmatchcase(row["type"], each) for each in wanted)
                and (success is None or success == (not self._recorded[row["id"]].pending))
            )

        page = self._shelf.page(params, keep)
        page["data"] = [self._recorded[row["id"]].rendered() for row in page["data"]]
        return page

    def _kept(self, row: Json) -> bool:
        return bool(row["created"] > self.world.clock() - KEPT)


def previous_attributes(before: Json, after: Json) -> Json:
    """What a change did, as `previous_attributes` tells it: the prior value of each attribute that changed.

    Metadata shows only the keys that changed, a new key as null; lists and addresses appear whole.
    """
    changed: Json = {}
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key == "metadata":
            old, new = old or {}, new or {}
            old = {name: old.get(name) for name in sorted(old | new) if old.get(name) != new.get(name)}
        changed[key] = old
    return changed
