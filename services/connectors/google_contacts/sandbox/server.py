"""The HTTP side: who asks, how often, one after the other or not, and what goes wrong on the way."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.connectors.google_contacts.sandbox.fault import Drop, Effect, Fail, Faults, Hold
from services.connectors.google_contacts.sandbox.journal import Received, Requests
from services.connectors.google_contacts.sandbox.oauth import OAuth, OAuthError
from services.connectors.google_contacts.sandbox.push import Push
from services.connectors.google_contacts.sandbox.quota import Quota
from services.connectors.google_contacts.sandbox.refusal import ApiError, Json
from services.connectors.google_contacts.sandbox.routes import Call, Route, Shelves, find
from services.connectors.served import ABORT

LOGIN = "/o/oauth2/v2/auth"
"""Where a person logs in."""


class _Lost(Exception):  # noqa: N818 - no error: the script wants this answer to get lost
    """The connection ends here."""


class Server:
    """Answers requests for all accounts; `answer` is the Starlette endpoint.

    `strict`: a change that arrives while another of the same user is under way is refused, not only noted.
    """

    def __init__(self, clock: Callable[[], float], oauth: OAuth, accounts: Mapping[str, tuple[Shelves, Quota]]) -> None:
        self.strict = False
        self.faults = Faults()
        self.requests = Requests()
        self._clock = clock
        self._oauth = oauth
        self._accounts = accounts
        self._changing: Counter[str] = Counter()

    async def answer(self, request: Request) -> Response:
        """One request."""
        received = Received(self._clock(), request.method, request.url.path, dict(request.query_params))
        self.requests.add(received)
        received.body = await request.body()
        if received.path == LOGIN and received.method == "GET":
            return self._login(received)
        headers: dict[str, str] = {}
        try:
            effect = self.faults.strike(request.method, request.url.path)
            if isinstance(effect, Fail) and not effect.executed:
                raw, status, headers = effect.body, effect.status, effect.headers
                received.outcome = "failed"
            else:
                raw, status = await self._reply(request, received, effect), 200
                if isinstance(effect, Fail):
                    raw, status, headers = effect.body, effect.status, effect.headers
                    received.outcome = "failed"
        except ApiError as error:
            received.outcome = "refused"
            raw, status, headers = _encoded(error.body()), error.code, error.headers
        except OAuthError as error:
            received.outcome = "refused"
            raw, status = _encoded(error.body()), error.status
        except _Lost:
            received.outcome = "dropped"
            return Dropped()
        received.status = status
        if received.outcome == "open":
            received.outcome = "answered"
        dated = {"Content-Type": "application/json; charset=UTF-8", "Date": formatdate(self._clock(), usegmt=True)}
        return Response(raw, status, {**dated, **headers})

    def _login(self, received: Received) -> Response:
        try:
            there = self._oauth.login(received.params)
        except OAuthError as error:
            received.outcome, received.status = "refused", error.status
            return Response(f"Error {error.status}: {error.error}", error.status)
        received.outcome, received.status = "answered", 302
        return Response(status_code=302, headers={"Location": there})

    async def _reply(self, request: Request, received: Received, effect: Effect | None) -> bytes:
        if effect == Drop(executed=False):
            raise _Lost
        if isinstance(effect, Hold) and received.path == "/token":
            await effect.gate.wait()
        if received.path == "/token":
            answer = self._oauth.token(dict(parse_qsl(received.body.decode())))
        elif received.path == "/certs":
            answer = dict(Push().certificates)
        else:
            answer = await self._called(request, received, effect)
        if isinstance(effect, Drop):
            raise _Lost
        return _encoded(answer)

    async def _called(self, request: Request, received: Received, effect: Effect | None) -> Json:
        account = self._oauth.account(request.headers.get("Authorization", ""))
        received.account = account
        route, name = find(received.method, received.path)
        shelves, quota = self._accounts[account]
        full = route.pattern.pattern.endswith("connections") and shelves.feed.is_first_of_full_sync(received.params)
        quota.take(*route.quotas, *(["full_sync"] if full else []))
        call = Call(name, received.params, request.query_params.getlist("resourceNames"), _body(received.body))
        if not route.changes:
            if isinstance(effect, Hold):
                await effect.gate.wait()
            return route.answer(shelves, call)
        return await self._changed(route, call, received, effect)

    async def _changed(self, route: Route, call: Call, received: Received, effect: Effect | None) -> Json:
        account = received.account
        received.overlapping = self._changing[account] > 0
        if received.overlapping and self.strict:
            raise ApiError("Another change of this user is under way.", code=409, status="ABORTED")
        self._changing[account] += 1
        try:
            if isinstance(effect, Hold):
                await effect.gate.wait()
            answer = route.answer(self._accounts[account][0], call)
            received.executed = True
            return answer
        finally:
            self._changing[account] -= 1


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


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else {}
    except ValueError as error:
        raise ApiError("Invalid JSON payload received.") from error


def _encoded(answer: Json) -> bytes:
    return json.dumps(answer, indent=2, ensure_ascii=False).encode()
