"""The HTTP side: who asks for which company, how often, and what goes wrong on the way."""

import json
import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import parse_qsl

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.connectors.quickbooks.sandbox.batch import carried_out
from services.connectors.quickbooks.sandbox.customers import Customers
from services.connectors.quickbooks.sandbox.fault import Drop, Effect, Fail, Faults, Hold
from services.connectors.quickbooks.sandbox.journal import Received, Requests
from services.connectors.quickbooks.sandbox.oauth import OAuth, OAuthError
from services.connectors.quickbooks.sandbox.quota import Quota
from services.connectors.quickbooks.sandbox.refusal import ApiError, GatewayError, Json
from services.connectors.served import ABORT

_PATH = re.compile(r"/v3/company/([0-9]+)/(customer|query|cdc|batch)(?:/([^/]+))?\Z")
LOGIN = "/connect/oauth2"
_LEAST_MINOR = 75


class Books(Protocol):
    """One company, as it is asked."""

    @property
    def customers(self) -> Customers:
        """Its customers."""
        ...

    @property
    def quota(self) -> Quota:
        """How often it may be asked."""
        ...


class _Lost(Exception):  # noqa: N818 - no error: the script wants this answer to get lost
    """The connection ends here."""


class Server:
    """Answers requests for all companies; `answer` is the Starlette endpoint.

    `idempotent`: a repeated `requestid` gets the first answer; for how long isn't documented.
    """

    def __init__(self, clock: Callable[[], float], oauth: OAuth, companies: Mapping[str, Books]) -> None:
        self.idempotent = True
        self.faults = Faults()
        self.requests = Requests()
        self._clock = clock
        self._oauth = oauth
        self._companies = companies
        self._replies: dict[tuple[str, str], tuple[int, Json]] = {}

    async def answer(self, request: Request) -> Response:
        """One request."""
        received = Received(self._clock(), request.method, request.url.path, dict(request.query_params))
        self.requests.add(received)
        received.body = await request.body()
        effect = self.faults.strike(received.method, received.path)
        raw, status, headers = b"", 0, dict[str, str]()
        if isinstance(effect, Fail) and not effect.executed:
            raw, status, headers, received.outcome = effect.body, effect.status, effect.headers, "failed"
        else:
            try:
                status, body = await self._reply(request, received, effect)
            except _Lost:
                received.outcome = "dropped"
                return Dropped()
            raw = json.dumps(body, ensure_ascii=False).encode()
            if isinstance(effect, Fail):
                raw, status, headers, received.outcome = effect.body, effect.status, effect.headers, "failed"
        received.status = status
        if received.path == LOGIN and status == 302:
            headers["Location"] = raw.decode().strip('"')
        if received.outcome == "open":
            received.outcome = "answered" if status < 400 else "refused"
        dated = {"Content-Type": "application/json;charset=UTF-8", "Date": formatdate(self._clock(), usegmt=True)}
        return Response(raw, status, {**dated, **headers})

    async def _reply(self, request: Request, received: Received, effect: Effect | None) -> tuple[int, Json | str]:
        if effect == Drop(executed=False):
            raise _Lost
        if isinstance(effect, Hold):
            await effect.gate.wait()
        authorization = request.headers.get("Authorization", "")
        if received.path == LOGIN:
            try:
                return 302, self._oauth.login(received.params)
            except OAuthError as error:
                return error.status, error.body()
        if received.path == "/token":
            try:
                answer = 200, self._oauth.token(authorization, dict(parse_qsl(received.body.decode())))
            except OAuthError as error:
                answer = error.status, error.body()
        else:
            answer = self._called(received, authorization)
        if isinstance(effect, Drop):
            raise _Lost
        return answer

    def _called(self, received: Received, authorization: str) -> tuple[int, Json]:
        time = next(iter(self._companies.values())).customers.time()
        try:
            realm = self._oauth.realm(authorization)
            found = _PATH.match(received.path)
            if found is None:
                return 404, {}
            if found[1] != realm:
                raise GatewayError(403, "3100", "ApplicationAuthorizationFailed")
            books = self._companies[realm]
            with books.quota.taken(batch=found[2] == "batch"):
                return self._once(received, books.customers, realm, found)
        except ApiError as error:
            return error.status, error.body(time)

    def _once(self, received: Received, customers: Customers, realm: str, found: re.Match[str]) -> tuple[int, Json]:
        key = (realm, received.params.get("requestid", ""))
        if len(key[1]) > 50:
            raise ApiError("2010", "requestid has at most 50 characters")
        if self.idempotent and key[1] and key in self._replies:
            received.outcome = "replayed"
            return self._replies[key]
        try:
            if found[2] == "batch":
                told, changes = carried_out(customers, _asked(received))
                received.executed = changes > 0
            else:
                told = _done(received, customers, found[2], found[3])
                received.executed = received.method == "POST"
            answer = 200, {**told, "time": customers.time()}
        except ApiError as error:
            answer = error.status, error.body(customers.time())
        if key[1]:
            self._replies[key] = answer
        return answer


class Dropped(Response):
    """No answer: the connection ends, reset over real HTTP, as a transport error through httpx2's ASGI transport."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection."""
        abort = scope.get("extensions", {}).get(ABORT)
        if abort is None:
            raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")
        abort["abort"]()
        while (await receive())["type"] != "http.disconnect":
            pass


def _asked(received: Received) -> Any:
    """The body of a batch."""
    _recent(received)
    if received.method != "POST":
        raise ApiError("500", "Unsupported Operation")
    return _body(received.body)


def _recent(received: Received) -> None:
    version = received.params.get("minorversion", "")
    if not version.isdigit() or int(version) < _LEAST_MINOR:
        raise ApiError("2010", "minorversion is 75 or higher")


def _done(received: Received, customers: Customers, what: str, ident: str | None) -> Json:
    _recent(received)
    params = received.params
    match received.method, what:
        case "GET", "customer" if ident is not None:
            return {"Customer": customers.get(ident)}
        case "POST", "customer" if ident is None:
            given = _body(received.body)
            sent = customers.update(given) if isinstance(given, dict) and given.get("Id") else customers.create(given)
            return {"Customer": sent}
        case "GET", "query":
            return {"QueryResponse": customers.query(params.get("query", ""))}
        case "GET", "cdc":
            if params.get("entities") != "Customer":
                raise ApiError("2010", "only customers are here")
            rows = customers.since(params.get("changedSince", ""))
            page = {"Customer": rows, "startPosition": 1, "maxResults": len(rows)} if rows else {}
            return {"CDCResponse": [{"QueryResponse": [page]}]}
        case _:
            raise ApiError("500", "Unsupported Operation")


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ApiError("2010", "The body isn't JSON") from error
