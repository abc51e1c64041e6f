"""Requests to the API for one company: one attempt each, every failure a value."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import httpx2
import msgspec

from services.connectors.quickbooks.error import NOT_SENT, UNANSWERED, Problem, faults, problem, unreadable
from services.connectors.quickbooks.manifest import API, MINOR_VERSION, REALM
from services.connectors.quickbooks.token import token
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.http import TooLarge, fetch
from services.runtime.tokens import Keeper

T = TypeVar("T")
_REALM = re.compile(r"[0-9]{1,30}\Z", re.ASCII)

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


class _Timed(msgspec.Struct, frozen=True):
    time: datetime


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success: the raw body, and how many milliseconds it took."""

    body: bytes
    ms: int

    def decoded(self, kind: type[T]) -> T | Trouble:
        """The body as a `kind`."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return unreadable()

    @property
    def time(self) -> int | None:
        """When QuickBooks answered, by its clock: microseconds since 1970."""
        try:
            told = msgspec.json.decode(self.body, type=_Timed).time
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return None if told.tzinfo is None else round(told.timestamp() * 1_000_000)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error as QuickBooks answered it."""

    problem: Problem

    @property
    def key(self) -> int | str:
        """What the verdict table is asked by."""
        return self.problem.key

    def trouble(self) -> Trouble:
        """The answer as the runner wants it."""
        return self.problem.trouble()


class Client:
    """The API for one company."""

    def __init__(self, access: Access, keeper: Keeper) -> None:
        self.access = access
        self._keeper = keeper

    async def ask(
        self, method: str, path: str, params: Mapping[str, str], body: Any = None
    ) -> Answer | Failure | Trouble:
        """Send one request. A 401 has the access token renewed, once: nothing was executed then.

        `body` is sent as JSON.
        """
        held = await token(self.access, self._keeper)
        if isinstance(held, Trouble):
            return held
        answer = await self._send(method, path, params, body, held)
        if not (isinstance(answer, Failure) and answer.problem.status == 401):
            return answer
        held = await token(self.access, self._keeper, refused=held)
        if isinstance(held, Trouble):
            return held
        return await self._send(method, path, params, body, held)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer | Failure | Trouble:
        """Read."""
        return await self.ask("GET", path, params or {})

    def now(self) -> int:
        """Our clock's time, in microseconds since 1970."""
        return round(self.access.clock.now().timestamp() * 1_000_000)

    async def _send(
        self, method: str, path: str, params: Mapping[str, str], body: Any, held: str
    ) -> Answer | Failure | Trouble:
        realm = self.access.settings.get("realm_id", "")
        if not _REALM.match(realm):
            return Trouble(key="no_credentials", detail=f"The account {self.access.account} lacks {REALM}.")
        base = (self.access.settings.get("api_base") or API).rstrip("/")
        ticks = self.access.clock.monotonic()
        headers = {"authorization": f"Bearer {held}", "accept": "application/json"}
        content = None
        if body is not None:
            content, headers["content-type"] = msgspec.json.encode(body), "application/json"
        try:
            url = f"{base}/v3/company/{realm}/{path}"
            query = {**params, "minorversion": MINOR_VERSION}
            request = self.access.http.build_request(method, url, params=query, headers=headers, content=content)
            response = await fetch(self.access.http, request)
        except _NOT_SENT as error:
            return Trouble(key=NOT_SENT, detail=f"QuickBooks can't be reached ({type(error).__name__}).")
        except (httpx2.RequestError, TooLarge) as error:
            detail = f"QuickBooks was asked, its answer didn't come ({type(error).__name__})."
            return Trouble(key=UNANSWERED, detail=detail)
        if response.is_success and not faults(response.content):
            return Answer(body=response.content, ms=round((self.access.clock.monotonic() - ticks) * 1000))
        return Failure(problem=problem(response.status_code, response.headers, response.content))
