"""Webhook endpoints: where events go, which ones, and the secrets they are signed with."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import httpx2

from services.connectors.stripe.sandbox.event import Cause, Plan, World
from services.connectors.stripe.sandbox.fields import Flag, Kind, Metadata, Text, Texts, clean, merged
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError, Json
from services.connectors.stripe.sandbox.shelf import PAGING, Shelf

ROLL = 86_400.0  # seconds that an old secret goes on signing, at most: https://docs.stripe.com/webhooks

_FIELDS: Mapping[str, Kind] = {
    "url": Text(clears=False),
    "enabled_events": Texts(),
    "description": Text(),
    "metadata": Metadata(),
    "expand": Texts(),
}


@dataclass
class Endpoint:
    """A registered endpoint; `secrets` maps each to the moment it stops signing (None: never)."""

    body: Json
    secrets: dict[str, float | None]
    transport: httpx2.AsyncBaseTransport | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """Its id, `we_…`."""
        return str(self.body["id"])

    def wants(self, kind: str) -> bool:
        """Whether events of this type go to it."""
        enabled = self.body["status"] == "enabled"
        return enabled and any(fnmatchcase(kind, each) for each in self.body["enabled_events"])

    def signature(self, payload: bytes, now: float) -> str:
        """The Stripe-Signature header for a body sent now: one v1 per active secret.

        https://docs.stripe.com/webhooks#verify-manually
        """
        signed = f"{int(now)}.".encode() + payload
        active = [secret for secret, until in self.secrets.items() if until is None or now < until]
        sums = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in active]
        return ",".join([f"t={int(now)}", *(f"v1={each}" for each in sums)])


class Endpoints:
    """The account's webhook endpoints."""

    def __init__(self, world: World, webhook_secret: str) -> None:
        self.webhook_secret = webhook_secret
        self._world = world
        self._shelf = Shelf("webhook endpoint", "/v1/webhook_endpoints")
        self._endpoints: dict[str, Endpoint] = {}

    def __contains__(self, found: object) -> bool:
        return found in self._endpoints

    def wanting(self, kind: str) -> list[Endpoint]:
        """The endpoints that an event of this type goes to."""
        return [each for each in self._endpoints.values() if each.wants(kind)]

    def add(
        self,
        url: str,
        events: Sequence[str] = ("*",),
        *,
        secret: str | None = None,
        api_version: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> Endpoint:
        """Register an endpoint by code; the secret is the account's `webhook_secret` unless given."""
        given = {"url": url, "enabled_events": list(events), "api_version": api_version}
        return self._add(given, secret or self.webhook_secret, transport)

    def enable(self, found: str, *, enabled: bool = True) -> None:
        """Switch an endpoint on or off; while off, nothing is sent or tried again, and later neither."""
        self._shelf.row(found)["status"] = "enabled" if enabled else "disabled"

    def roll(self, found: str, *, keep_old: float = ROLL, secret: str | None = None) -> str:
        """Give an endpoint a new secret, and return it; the old ones go on signing for `keep_old` seconds."""
        endpoint = self._endpoints[found]
        until = self._world.clock() + keep_old
        endpoint.secrets = {old: until if end is None else min(end, until) for old, end in endpoint.secrets.items()}
        fresh = secret or self._world.new_id("whsec_", 32)
        endpoint.secrets[fresh] = None
        return fresh

    def create(self, tree: Tree) -> Plan:
        """POST /v1/webhook_endpoints; the only answer that shows the secret."""
        kinds = {**_FIELDS, "api_version": Text(clears=False), "connect": Flag()}
        given = _checked(clean(tree, kinds, ("url", "enabled_events")))

        def run(_: Cause) -> Json:
            secret = self._world.new_id("whsec_", 32)
            return {**self._add(given, secret).body, "secret": secret}

        return run

    def update(self, found: str, tree: Tree) -> Plan:
        """POST /v1/webhook_endpoints/{id}."""
        row = self._shelf.row(found)
        patch = _checked(clean(tree, {**_FIELDS, "disabled": Flag()}))

        def run(_: Cause) -> Json:
            for name in patch.keys() & {"url", "enabled_events", "description"}:
                row[name] = patch[name]
            row["metadata"] = merged(row["metadata"], patch.get("metadata", {}))
            if "disabled" in patch:
                self.enable(found, enabled=not patch["disabled"])
            return row

        return run

    def delete(self, found: str) -> Plan:
        """DELETE /v1/webhook_endpoints/{id}."""
        self._shelf.row(found)

        def run(_: Cause) -> Json:
            self._shelf.take(found)
            del self._endpoints[found]
            return {"id": found, "object": "webhook_endpoint", "deleted": True}

        return run

    def retrieve(self, found: str) -> Json:
        """GET /v1/webhook_endpoints/{id}."""
        return self._shelf.row(found)

    def listed(self, tree: Tree) -> Json:
        """GET /v1/webhook_endpoints."""
        return self._shelf.page(clean(tree, {name: PAGING[name] for name in PAGING if name != "created"}))

    def _add(
        self, given: Mapping[str, Any], secret: str, transport: httpx2.AsyncBaseTransport | None = None
    ) -> Endpoint:
        body: Json = {
            "id": self._world.new_id("we_1", 23),
            "object": "webhook_endpoint",
            "api_version": given.get("api_version"),
            "application": None,
            "created": self._world.now(),
            "description": given.get("description"),
            "enabled_events": given["enabled_events"],
            "livemode": False,
            "metadata": merged({}, given.get("metadata", {})),
            "status": "enabled",
            "url": given["url"],
        }
        endpoint = self._endpoints[body["id"]] = Endpoint(body, {secret: None}, transport)
        self._shelf.put(body)
        return endpoint


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    url = given.get("url")
    if isinstance(url, str) and not url.startswith(("http://", "https://")):
        raise ApiError(f"Invalid URL: {url}", code="url_invalid", param="url")
    if given.get("enabled_events") == []:
        message = "enabled_events can't be empty: name event types, or * for all."
        raise ApiError(message, code="parameter_invalid_empty", param="enabled_events")
    return given
