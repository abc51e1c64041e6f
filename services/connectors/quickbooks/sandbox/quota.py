"""How often a company may be asked: by the minute, by the second, and at once."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.connectors.quickbooks.sandbox.refusal import GatewayError


class Quota:
    """Counts the requests of one company. `minute`, `second` and `at_once` may be lowered; None: no limit.

    https://developer.intuit.com/app/developer/qbo/docs/learn/limits-and-throttles
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.minute: int | None = 500
        self.second: int | None = None
        self.at_once: int | None = 10
        self.most = 0
        """The most requests that were under way at once."""
        self._clock = clock
        self._at: deque[float] = deque()
        self._open = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One request. Raises GatewayError 429; a refused request counts nothing."""
        now = self._clock()
        while self._at and self._at[0] <= now - 60:
            self._at.popleft()
        lately = sum(at > now - 1 for at in self._at)
        if (
            (self.minute is not None and len(self._at) >= self.minute)
            or (self.second is not None and lately >= self.second)
            or (self.at_once is not None and self._open >= self.at_once)
        ):
            raise GatewayError(429, "3001", "ThrottleExceeded")
        self._at.append(now)
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            yield
        finally:
            self._open -= 1
