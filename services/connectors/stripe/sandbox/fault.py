"""Scripted faults: which requests go wrong, how, and how often."""

import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Stage = Literal["before", "during", "after"]
"""Where a failure strikes: before the execution (nothing is made, an idempotency key stays free), during it
(nothing is made, the failure is kept under the key), or after it (the change stands, the failure is kept)."""


@dataclass(frozen=True)
class Drop:
    """The connection ends without an answer; `executed` says whether the change was made."""

    executed: bool


@dataclass(frozen=True)
class Late:
    """Executed at once, answered after some real seconds."""

    seconds: float


@dataclass(frozen=True)
class Slow:
    """Executed after some real seconds; an idempotency key is in flight all that time."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """Answered with an error of Stripe's shape."""

    status: int
    kind: str
    code: str | None
    message: str
    stage: Stage
    headers: dict[str, str] = field(default_factory=dict)


Effect = Drop | Late | Slow | Fail


@dataclass
class Fault:
    """An effect on requests of a method and a path pattern (`*` matches anything, slashes too).

    It passes over the first `skip` matching requests, strikes the next `times` (None: all of them), each with
    probability `chance`. `hits` counts the strikes.
    """

    effect: Effect
    method: str = "*"
    path: str = "*"
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    hits: int = 0

    def strikes(self, method: str, path: str, rng: random.Random) -> bool:
        """Whether it strikes this request; counts it."""
        if not (fnmatchcase(method, self.method) and fnmatchcase(path, self.path)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        if self.chance < 1.0 and rng.random() >= self.chance:
            return False
        self.hits += 1
        return True


@dataclass(frozen=True)
class Where:
    """Which requests a fault is for; see Fault."""

    method: str = "*"
    path: str = "*"
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0


class Faults:
    """The script. Each method adds a fault and returns it; the first that strikes a request counts."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._script: list[Fault] = []

    def add(self, effect: Effect, where: Where | None = None) -> Fault:
        """Any effect, on the requests of `where` (default: the next one, whatever it is)."""
        fault = Fault(effect, **vars(where or Where()))
        self._script.append(fault)
        return fault

    def drop(self, where: Where | None = None, *, executed: bool = True) -> Fault:
        """The answer is lost; by default the change was made."""
        return self.add(Drop(executed), where)

    def late(self, seconds: float, where: Where | None = None) -> Fault:
        """The change is made at once, the answer comes after `seconds`."""
        return self.add(Late(seconds), where)

    def slow(self, seconds: float, where: Where | None = None) -> Fault:
        """The change is made after `seconds`."""
        return self.add(Slow(seconds), where)

    def rate_limit(self, where: Where | None = None, *, retry_after: float | None = None) -> Fault:
        """429 `rate_limit`; `retry_after` in seconds becomes a Retry-After header."""
        return self.fail(429, where, code="rate_limit", message="Request rate limit exceeded.", retry_after=retry_after)

    def lock_timeout(self, where: Where | None = None, *, retry_after: float | None = None) -> Fault:
        """429 `lock_timeout`: another request holds the object; Stripe asks for a retry."""
        return self.fail(
            429,
            where,
            code="lock_timeout",
            message="This object is being accessed by another request: try again.",
            retry_after=retry_after,
            should_retry=True,
        )

    def broken(self, where: Where | None = None, *, status: int = 500, stage: Stage = "before") -> Fault:
        """A 5xx of type `api_error`; see Stage for what becomes of the change."""
        return self.fail(
            status,
            where,
            kind="api_error",
            message="Something went wrong on Stripe's end.",
            stage=stage,
            # https://github.com/stripe/stripe-python, _should_retry: a stored failure is only replayed.
            should_retry=None if stage == "before" else False,
        )

    def conflict(self, where: Where | None = None) -> Fault:
        """409: as if another request with the same idempotency key were in flight."""
        return self.fail(
            409,
            where,
            kind="idempotency_error",
            code="idempotency_key_in_use",
            message="A request with this idempotency key is being executed: try again later.",
            should_retry=True,
        )

    def fail(
        self,
        status: int,
        where: Where | None = None,
        *,
        message: str,
        kind: str = "invalid_request_error",
        code: str | None = None,
        stage: Stage = "before",
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> Fault:
        """Any error answer."""
        headers = {}
        if retry_after is not None:
            headers["Retry-After"] = f"{retry_after:g}"
        if should_retry is not None:
            headers["Stripe-Should-Retry"] = str(should_retry).lower()
        return self.add(Fail(status, kind, code, message, stage, headers), where)

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self._script.clear()

    def strike(self, method: str, path: str) -> Effect | None:
        """What befalls this request, if anything."""
        for fault in self._script:
            if fault.strikes(method, path, self._rng):
                return fault.effect
        return None
