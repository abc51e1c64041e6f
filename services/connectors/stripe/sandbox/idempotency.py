"""Idempotency keys: the first result of a POST, kept for a day and given again to whoever repeats it.

https://docs.stripe.com/api/idempotent_requests
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError

KEPT = 86_400.0  # seconds
LENGTH = 255


@dataclass(frozen=True)
class Reply:
    """An answer: status, JSON body, and headers of its own."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class _Entry:
    at: float
    request_id: str
    path: str
    params: Tree
    reply: Reply | None = None


class IdempotencyKeys:
    """The keys in use and their results."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def begin(self, key: str, request_id: str, path: str, params: Tree) -> Reply | None:
        """The stored answer for this key, or None: then the key is in flight until `keep` or `forget`.

        Raises ApiError: the key was used with other parameters or another path (400), or its first request
        is still being executed (409).
        """
        if len(key) > LENGTH:
            raise ApiError(f"Idempotency keys have at most {LENGTH} characters, this one has {len(key)}.")
        entry = self._entries.get(key)
        # A request in flight never loses its key to the clock.
        if entry is None or (entry.reply is not None and entry.at + KEPT <= self._clock()):
            self._entries[key] = _Entry(self._clock(), request_id, path, params)
            return None
        if (entry.path, entry.params) != (path, params):
            what = "endpoint" if entry.path != path else "parameters"
            message = f"Idempotency key {key!r} was first used with another {what}: take a new one."
            raise ApiError(message, kind="idempotency_error")
        if entry.reply is None:
            message = f"A request with the idempotency key {key!r} is being executed: try again later."
            headers = {"Stripe-Should-Retry": "true"}
            code = "idempotency_key_in_use"
            raise ApiError(message, status=409, kind="idempotency_error", code=code, headers=headers)
        headers = {"Idempotent-Replayed": "true", "Original-Request": entry.request_id}
        return Reply(entry.reply.status, entry.reply.body, {**entry.reply.headers, **headers})

    def keep(self, key: str, reply: Reply) -> None:
        """The result of the request in flight."""
        self._entries[key].reply = reply

    def forget(self, key: str) -> None:
        """The request in flight was refused before it was executed: its key is free again."""
        entry = self._entries.get(key)
        if entry is not None and entry.reply is None:
            del self._entries[key]
