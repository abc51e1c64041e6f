"""Stripe's own library, wired to a sandbox: how a test talks to it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2
import stripe

from services.connectors.stripe.sandbox.account import StripeSandbox


class _OverHttpx2(stripe.HTTPClient):
    """stripe's HTTP port over httpx2, which it doesn't support itself yet. A lost connection is its error."""

    name = "httpx2"

    def __init__(self, http: httpx2.AsyncClient) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        try:
            answer = await self._http.request(method, url, headers=headers, content=post_data or None)
        except httpx2.TransportError as error:
            lost: type[Any] = stripe.APIConnectionError  # its constructor has no types
            raise lost(str(error), should_retry=True) from error
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Any:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        await self._http.aclose()


def official(
    sandbox: StripeSandbox,
    *,
    http: httpx2.AsyncClient | None = None,
    base: str = "https://api.stripe.test",
    api_key: str | None = None,
    retries: int = 0,
) -> stripe.StripeClient:
    """The official client, async methods only, against a sandbox in this process.

    With `http` and `base` it talks over that client to a base URL, as `serve` gives it. `retries`:
    how often the library itself tries again.
    """
    over = http or httpx2.AsyncClient(transport=httpx2.ASGITransport(app=sandbox.app))
    return stripe.StripeClient(
        api_key or sandbox.api_key,
        base_addresses={"api": base},
        http_client=_OverHttpx2(over),
        max_network_retries=retries,
    )
