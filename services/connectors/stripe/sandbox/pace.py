"""Stripe's rate limits, as token buckets per endpoint and for the whole account."""

from collections.abc import Callable
from dataclasses import dataclass

from services.connectors.stripe.sandbox.refusal import ApiError


@dataclass(frozen=True)
class Rate:
    """Requests per second; a second's worth may come at once.

    The live limits of https://docs.stripe.com/rate-limits; a sandbox account has 25 in all.
    """

    endpoint: float = 25.0
    search: float = 20.0
    account: float = 100.0


class Pace:
    """Counts requests against a rate; without one, everything passes."""

    def __init__(self, rate: Rate | None, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, endpoint: str) -> None:
        """Count a request to an endpoint (a route, whatever the id in it). Raises ApiError 429."""
        if self.rate is None:
            return
        search = endpoint.endswith("/search")
        self._take(endpoint, self.rate.search if search else self.rate.endpoint, "endpoint-rate")
        self._take("*", self.rate.account, "global-rate")

    def _take(self, bucket: str, rate: float, reason: str) -> None:
        now = self._clock()
        tokens, since = self._buckets.get(bucket, (rate, now))
        tokens = min(rate, tokens + max(0.0, now - since) * rate)
        if tokens < 1.0:
            self._buckets[bucket] = (tokens, now)
            headers = {"Stripe-Rate-Limited-Reason": reason}
            raise ApiError("Request rate limit exceeded.", status=429, code="rate_limit", headers=headers)
        self._buckets[bucket] = (tokens - 1.0, now)
