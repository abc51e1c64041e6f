"""How often a company may be asked: by the minute, by the second, and at once."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.connectors.quickbooks.sandbox.refusal import GatewayError


class Quota:
    """Counts the requests of one company. `minute`, `second`, `at_once` and `batches` may be lowered; None: no limit.

    https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.minute: int | None = 500
        self.second: int | None = None
        self.at_once: int | None = 10
        self.batches: int | None = 40
        """Requests of several writes in a minute; they count for themselves."""
        self.most = 0
        """The most requests that were under way at once."""
        self._clock = clock
        self._at: deque[float] = deque()
        self._batched: deque[float] = deque()
        self._open = 0

    @contextmanager
    def taken(self, *, batch: bool = False) -> Iterator[None]:
        """One request. Raises GatewayError 429; a refused request counts nothing."""
        now = self._clock()
        counted, minute = (self._batched, self.batches) if batch else (self._at, self.minute)
        while counted and counted[0] <= now - 60:
            counted.popleft()
        lately = sum(at > now - 1 for at in (*self._at, *self._batched))
        if (
            (minute is not None and len(counted) >= minute)
            or (self.second is not None and lately >= self.second)
            or (self.at_once is not None and self._open >= self.at_once)
        ):
            raise GatewayError(429, "3001", "ThrottleExceeded")
        counted.append(now)
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            yield
        finally:
            self._open -= 1
