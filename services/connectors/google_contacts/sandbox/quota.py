"""Quotas per minute and user. Google publishes their names, not their numbers."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from services.connectors.google_contacts.sandbox.refusal import ApiError


@dataclass(frozen=True)
class Limits:
    """Requests per minute of one user; None: no limit. A write with a read mask is a critical read too."""

    critical_read: int | None = None
    write: int | None = None
    full_sync: int | None = None


class Quota:
    """Counts requests of one account in minutes of its clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.limits = Limits()
        self._clock = clock
        self._minute = -1
        self._used: Counter[str] = Counter()

    def take(self, *names: str) -> None:
        """Count a request against these quotas. Raises ApiError 429; a refused request counts nothing."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._used = minute, Counter()
        for name in names:
            limit: int | None = getattr(self.limits, name)
            if limit is not None and self._used[name] >= limit:
                raise ApiError(
                    f"Quota exceeded for quota metric '{name}_requests' and limit 'per minute per user'.",
                    code=429,
                    reason="RATE_LIMIT_EXCEEDED",
                    metadata={"quota_limit": f"{name}_requests_per_minute_per_user"},
                )
        self._used.update(names)
