"""Webhooks: events gathered for a while, sent in one signed body, and again until they are taken."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx2

from services.connectors.quickbooks.sandbox.refusal import Json


@dataclass
class Sent:
    """One body, and the statuses that it was answered with (None: no answer)."""

    body: bytes
    statuses: list[int | None] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        """Whether somebody took it."""
        return any(status is not None and 200 <= status < 300 for status in self.statuses)


class Webhooks:
    """The webhooks of one Intuit app: one address, all companies.

    `send` delivers what was gathered: that is its only delay. `copies` of each body go out; what isn't taken goes out
    again with the next `send`. `legacy` chooses the older form. `rng` gives events their ids.
    """

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self.token = "verifier-token-of-the-sandbox"  # noqa: S105 - it opens nothing but this sandbox
        self.url = ""
        self.copies = 1
        self.legacy = False
        self.gathered: list[Json] = []
        self.sent: list[Sent] = []
        self._clock = clock
        self._rng = rng

    def add(self, realm: str, kind: str, ident: str, deleted: str | None) -> None:
        """Note an event."""
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        self.gathered.append(
            {
                "specversion": "1.0",
                "id": f"{self._rng.randrange(16**32):032x}-Customer-{ident}",
                "source": "intuit.sandbox",
                "type": f"qbo.customer.{kind}.v1",
                "datacontenttype": "application/json",
                "time": moment.replace("+00:00", "Z"),
                "intuitentityid": ident,
                "intuitaccountid": realm,
                "data": {} if deleted is None else {"deletedid": deleted},
            }
        )

    def body(self) -> bytes:
        """What was gathered, in one body; nothing is gathered any more then."""
        events, self.gathered = self.gathered, []
        return json.dumps(_legacy(events) if self.legacy else events).encode()

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers that a body goes out with."""
        digest = hmac.new(self.token.encode(), body, hashlib.sha256).digest()
        return {"content-type": "application/json", "intuit-signature": base64.b64encode(digest).decode()}

    async def send(self, http: httpx2.AsyncClient) -> int:
        """Deliver what was gathered and what wasn't taken before; return how many bodies are still to be taken."""
        if self.gathered:
            self.sent.append(Sent(self.body()))
        for sent in [each for each in self.sent if not each.taken]:
            for _ in range(self.copies):
                sent.statuses.append(await self._try(http, sent.body))
        return sum(not each.taken for each in self.sent)

    async def _try(self, http: httpx2.AsyncClient, body: bytes) -> int | None:
        try:
            return (await http.post(self.url, content=body, headers=self.headers(body))).status_code
        except httpx2.TransportError:
            return None


def _legacy(events: list[Json]) -> Json:
    names = {"created": "Create", "updated": "Update", "merged": "Merge"}
    realms: dict[str, list[Json]] = {}
    for event in events:
        kind = event["type"].split(".")[2]
        row = {
            "name": "Customer",
            "id": event["intuitentityid"],
            "operation": names[kind],
            "lastUpdated": event["time"],
        }
        deleted = event["data"].get("deletedid")
        realms.setdefault(event["intuitaccountid"], []).append(row | ({"deletedId": deleted} if deleted else {}))
    rows = [{"realmId": realm, "dataChangeEvent": {"entities": rows}} for realm, rows in realms.items()]
    return {"eventNotifications": rows}
