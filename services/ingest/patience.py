"""How long a poller waits: between requests, and after trouble."""

import asyncio
import time
from collections.abc import Callable, Mapping

import tenacity

from services.contracts.app import Trouble, Verdict

LONGEST = 60.0
"""Seconds between attempts while an account, the log or the database is in trouble."""
_ASKED_AT_MOST = 3600.0
"""Seconds that an app may ask us to wait for; a wrong answer shouldn't stop a poller for days."""
_GROWING = tenacity.wait_random_exponential(multiplier=1, max=LONGEST, min=0.5)
_RETRYING = tenacity.AsyncRetrying()

_DEFAULTS: Mapping[int | str, Verdict] = {401: Verdict.REAUTHORISE, 429: Verdict.THROTTLED}


def verdict(trouble: Trouble, verdicts: Mapping[int | str, Verdict]) -> Verdict:
    """Return what an unsuccessful read means: the app's own verdict, or the default. A read is never unknown."""
    return verdicts.get(trouble.key) or _DEFAULTS.get(trouble.key, Verdict.RETRY)


def pause_after(trouble: Trouble, verdicts: Mapping[int | str, Verdict], failures: int) -> float:
    """Return the seconds until the next attempt, after `failures` failed ones in a row (at least 1)."""
    if verdict(trouble, verdicts) is Verdict.REAUTHORISE:
        return LONGEST  # only a person can change it, and another credential starts the poller anew
    grown = growing(failures)
    return grown if trouble.retry_after is None else max(min(trouble.retry_after, _ASKED_AT_MOST), 0.0)


def growing(failures: int) -> float:
    """Return a random wait in seconds that grows with the number of failures, up to `LONGEST`."""
    state = tenacity.RetryCallState(_RETRYING, None, (), {})
    state.attempt_number = max(failures, 1)
    return float(_GROWING(state))


class Pace:
    """Lets `rate` requests a second pass, after up to `burst` at once."""

    def __init__(self, rate: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._gap = 1 / rate if rate > 0 else 0.0
        self._slack = self._gap * (max(burst, 1) - 1)
        self._monotonic = monotonic
        self._next = 0.0

    async def turn(self) -> None:
        """Return when the next request may be sent."""
        now = self._monotonic()
        self._next = max(self._next, now - self._slack)
        wait = self._next - now
        self._next += self._gap
        if wait > 0:
            await asyncio.sleep(wait)
