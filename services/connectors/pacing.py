"""How fast: token buckets, and the pauses between tries. Nothing here sleeps; who asks is told how long to wait."""

from __future__ import annotations

from datetime import datetime

import tenacity

from services.contracts.app import Pace

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
NEVER = float("inf")

# Half of each pause is fixed and half is drawn, so that many writes that failed together don't come back together.
_HALF = tenacity.wait_exponential(multiplier=FIRST_PAUSE / 2, max=LONGEST_PAUSE / 2)
_BACKOFF = _HALF + tenacity.wait_random_exponential(multiplier=FIRST_PAUSE / 2, max=LONGEST_PAUSE / 2)


def pause_after(failures: int, retry_after: float | None = None) -> float:
    """Seconds to wait after so many failures in a row (from 1), at least as long as the app asked for."""
    state = tenacity.RetryCallState(retry_object=tenacity.Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = max(1, min(failures, 64))  # 2 ** more says nothing new, and floats end somewhere
    return max(_BACKOFF(state), retry_after or 0.0)


def until(moment: datetime | None, now: datetime) -> float:
    """Seconds from `now` to `moment`, at least a thousandth; `NEVER` without a moment."""
    return NEVER if moment is None else max(0.001, (moment - now).total_seconds())


class Bucket:
    """A token bucket: `rate` requests per second, up to `burst` at once. Times are monotonic seconds."""

    def __init__(self, rate: float, burst: int, now: float) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a bucket needs a rate above 0 and a burst of 1 or more")
        self._rate = rate
        self._burst = float(burst)
        self._tokens = self._burst
        self._at = now

    def delay(self, now: float) -> float:
        """Seconds until a request may be sent; 0: now. Takes nothing."""
        self._fill(now)
        # What is missing only because floats round isn't missing.
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / self._rate

    def take(self, now: float) -> None:
        """Count a request that is being sent. It may put the bucket into debt, which later requests wait for."""
        self._fill(now)
        self._tokens -= 1

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = max(now, self._at)


class Buckets:
    """An account's buckets of the worker: looks and finds, writes, and several at once; the poller has its own."""

    def __init__(self, pace: Pace, now: float) -> None:
        self.read = Bucket(pace.read, pace.burst, now)
        self.write = Bucket(pace.write, pace.burst, now)
        self.batch = Bucket(pace.batch, 1, now) if pace.batch else None
        """Requests with several writes; None: they have no limit of their own."""
