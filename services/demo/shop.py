"""Stripe as somebody else uses it: through its API, past contactsync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2

from services.demo.servers import STRIPE_KEY, WEBHOOK_SECRET

Customer = Mapping[str, Any]


class Shop:
    """One Stripe account. Raises httpx2's errors."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self.url = url

    async def send_webhooks_to(self, url: str) -> None:
        """Have webhooks sent: localstripe forgets this when it ends."""
        await self._ask("POST", "/_config/webhooks/demo", {"url": url, "secret": WEBHOOK_SECRET})

    async def create(self, **fields: str | Mapping[str, str]) -> Customer:
        """Make a customer."""
        made: Customer = await self._ask("POST", "/v1/customers", fields)
        return made

    async def change(self, id: str, **fields: str | Mapping[str, str]) -> Customer:
        """Change a customer."""
        changed: Customer = await self._ask("POST", f"/v1/customers/{id}", fields)
        return changed

    async def get(self, id: str) -> Customer:
        """Read a customer."""
        found: Customer = await self._ask("GET", f"/v1/customers/{id}", {})
        return found

    async def with_email(self, email: str) -> list[Customer]:
        """Read the customers with this e-mail address."""
        return list((await self._ask("GET", "/v1/customers", {"email": email}))["data"])

    async def all(self) -> list[Customer]:
        """Read all customers."""
        return list((await self._ask("GET", "/v1/customers", {"limit": "100000"}))["data"])

    async def _ask(self, method: str, path: str, fields: Mapping[str, str | Mapping[str, str]]) -> Any:
        form = urlencode(
            [
                pair
                for name, value in fields.items()
                for pair in ([(name, value)] if isinstance(value, str) else _nested(name, value))
            ]
        )
        query, body = (form, "") if method == "GET" else ("", form)
        answer = await self._http.request(
            method,
            f"{self.url}{path}{'?' if query else ''}{query}",
            content=body.encode() or None,
            headers={
                "authorization": f"Bearer {STRIPE_KEY}",
                "content-type": "application/x-www-form-urlencoded",
            },
        )
        answer.raise_for_status()
        return answer.json() if answer.content else {}


def _nested(name: str, parts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(f"{name}[{part}]", value) for part, value in parts.items()]
