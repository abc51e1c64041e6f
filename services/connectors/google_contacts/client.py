"""Requests to the People API as one account: one attempt each, every failure a value."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import httpx2
import msgspec

from services.connectors.google_contacts.error import NOT_SENT, UNANSWERED, Problem, problem, unreadable
from services.connectors.google_contacts.manifest import API
from services.connectors.google_contacts.token import Tokens
from services.contracts.app import Trouble
from services.contracts.contact import Order
from services.runtime.app import Access
from services.runtime.http import TooLarge, fetch

T = TypeVar("T")
Params = Mapping[str, str | Sequence[str]]

# Raised before anything of the request has left.
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success: the raw body, between which moments of our clock it was true, and how long it took."""

    body: bytes
    order: Order
    ms: int

    def decoded(self, kind: type[T]) -> T | Trouble:
        """The body as a `kind`."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return unreadable()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error as Google answered it."""

    problem: Problem
    order: Order

    def trouble(self) -> Trouble:
        """The answer as the runner wants it."""
        return self.problem.trouble()


class Client:
    """The API as one account."""

    def __init__(self, access: Access, tokens: Tokens) -> None:
        self.access = access
        self._tokens = tokens

    async def ask(self, method: str, path: str, params: Params, body: Any = None) -> Answer | Failure | Trouble:
        """Send one request. A 401 has the access token renewed, once: nothing was executed then.

        `body` is sent as JSON.
        """
        token = await self._tokens.token(self.access)
        if isinstance(token, Trouble):
            return token
        answer = await self._send(method, path, params, body, token)
        if not (isinstance(answer, Failure) and answer.problem.code == 401):
            return answer
        token = await self._tokens.token(self.access, refused=token)
        if isinstance(token, Trouble):
            return token
        return await self._send(method, path, params, body, token)

    async def get(self, path: str, params: Params) -> Answer | Failure | Trouble:
        """Read."""
        return await self.ask("GET", path, params)

    async def _send(self, method: str, path: str, params: Params, body: Any, token: str) -> Answer | Failure | Trouble:
        base = (self.access.settings.get("api_base") or API).rstrip("/")
        clock = self.access.clock
        start, ticks = _microseconds(clock.now().timestamp()), clock.monotonic()
        headers = {"authorization": f"Bearer {token}"}
        content = None
        if body is not None:
            content, headers["content-type"] = msgspec.json.encode(body), "application/json"
        try:
            query = {key: value if isinstance(value, str) else list(value) for key, value in params.items()}
            url = f"{base}/v1/{path}"
            request = self.access.http.build_request(method, url, params=query, headers=headers, content=content)
            response = await fetch(self.access.http, request)
        except _NOT_SENT as error:
            return Trouble(key=NOT_SENT, detail=f"Google can't be reached ({type(error).__name__}).")
        except (httpx2.RequestError, TooLarge) as error:
            detail = f"Google was asked, its answer didn't come ({type(error).__name__})."
            return Trouble(key=UNANSWERED, detail=detail)
        end = _microseconds(clock.now().timestamp())
        order = Order(min(start, end), max(start, end))
        if response.is_success:
            return Answer(body=response.content, order=order, ms=round((clock.monotonic() - ticks) * 1000))
        found = problem(response.status_code, response.headers, response.content)
        return Failure(problem=found, order=order)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
