"""The HTTP side: who asks, how often, under which key, and what goes wrong on the way."""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.connectors.served import ABORT
from services.connectors.stripe.sandbox.event import Cause, Events, World
from services.connectors.stripe.sandbox.fault import Drop, Effect, Fail, Faults, Late, Slow
from services.connectors.stripe.sandbox.form import Tree, parse
from services.connectors.stripe.sandbox.idempotency import IdempotencyKeys, Reply
from services.connectors.stripe.sandbox.journal import Received, Requests
from services.connectors.stripe.sandbox.pace import Pace
from services.connectors.stripe.sandbox.refusal import ApiError, Json
from services.connectors.stripe.sandbox.routes import Expansion, Route

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?\Z")


class _Lost(Exception):  # noqa: N818 - no error: the script wants this answer to get lost
    """The connection ends here."""


@dataclass
class Server:
    """Answers requests; `answer` is the Starlette endpoint."""

    world: World
    events: Events
    routes: tuple[Route, ...]
    expansion: Expansion
    api_keys: set[str]
    api_version: str
    pace: Pace
    faults: Faults
    keys: IdempotencyKeys
    requests: Requests
    start_webhooks: Callable[[], None]

    async def answer(self, request: Request) -> Response:
        """One request, from authorization to the answer's headers."""
        self.start_webhooks()
        received = Received(self.world.clock(), request.method, request.url.path, self.world.new_id("req_"))
        self.requests.add(received)
        try:
            reply = await self._reply(request, received)
        except ApiError as error:
            received.outcome = "refused"
            reply = _refused(error)
        except _Lost:
            received.outcome = "dropped"
            return Dropped()
        received.status = reply.status
        if received.outcome == "open":
            received.outcome = "answered"
        headers = {
            "Content-Type": "application/json",
            "Date": formatdate(self.world.clock(), usegmt=True),
            "Request-Id": received.request_id,
            "Stripe-Version": request.headers.get("Stripe-Version", self.api_version),
            **({"Idempotency-Key": received.idempotency_key} if received.idempotency_key else {}),
            **reply.headers,
        }
        return Response(reply.body, reply.status, headers)

    async def _reply(self, request: Request, received: Received) -> Reply:
        body = await request.body()
        self._authenticate(request)
        route, found = self._route(received.method, received.path)
        self.pace.take(route.name)
        received.params = _params(request, body)
        key = request.headers.get("Idempotency-Key") if received.method == "POST" else None
        received.idempotency_key = key
        effect = self.faults.strike(received.method, received.path)
        match effect:
            case Drop(executed=False):
                raise _Lost
            case Fail(stage="before"):
                received.outcome = "failed"
                return _failed(effect)
            case _:
                reply = await self._keyed(route, found, received, effect)
        match effect:
            case Drop():
                raise _Lost
            case Late(seconds):
                await asyncio.sleep(seconds)
            case _:
                pass
        return reply

    async def _keyed(self, route: Route, found: str, received: Received, effect: Effect | None) -> Reply:
        """The stored answer of the idempotency key, or a new one."""
        key = received.idempotency_key
        if key is None:
            return await self._executed(route, found, received, effect)
        replayed = self.keys.begin(key, received.request_id, received.path, received.params)
        if replayed is not None:
            received.outcome = "replayed"
            return replayed
        try:
            reply = await self._executed(route, found, received, effect)
            self.keys.keep(key, reply)
        finally:
            # Refused by its checks, or cut off before its execution: nothing was kept.
            self.keys.forget(key)
        return reply

    async def _executed(self, route: Route, found: str, received: Received, effect: Effect | None) -> Reply:
        members = self.expansion.wanted(route, received.params)
        plan = route.prepare(found, received.params)
        if isinstance(effect, Slow):
            await asyncio.sleep(effect.seconds)
        if isinstance(effect, Fail) and effect.stage == "during":
            received.outcome = "failed"
            return _failed(effect)
        before = len(self.events)
        try:
            answer = self.expansion.applied(route, members, plan(Cause(received.request_id, received.idempotency_key)))
        except ApiError as error:
            # The object went away between the checks and the execution: this result is kept.
            received.outcome = "refused"
            return _refused(error)
        received.executed = True
        received.events = len(self.events) - before
        if isinstance(effect, Fail):
            received.outcome = "failed"
            return _failed(effect)
        return Reply(200, _encoded(answer))

    def _authenticate(self, request: Request) -> None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        key = value.strip()
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(key, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        challenge = {"WWW-Authenticate": 'Basic realm="Stripe"'}
        if scheme.lower() not in ("basic", "bearer") or not key:
            raise ApiError("You did not provide an API key.", status=401, headers=challenge)
        if key not in self.api_keys:
            shown = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * 8
            raise ApiError(f"Invalid API Key provided: {shown}", status=401, headers=challenge)
        version = request.headers.get("Stripe-Version")
        if version is not None and not _VERSION.match(version):
            raise ApiError(f"Invalid Stripe API version: {version}")
        if "Stripe-Account" in request.headers:
            message = "The provided key does not have access to the account in Stripe-Account."
            raise ApiError(message, status=403, code="account_invalid")

    def _route(self, method: str, path: str) -> tuple[Route, str]:
        for route in self.routes:
            found = route.match(method, path)
            if found is not None:
                return route, found
        raise ApiError(f"Unrecognized request URL ({method}: {path}).", status=404)


class Dropped(Response):
    """No answer: the connection ends.

    Served by `serve`, it is reset; behind another real server, it breaks off in the middle of the answer;
    through httpx2's ASGI transport, the caller sees the transport error of a lost connection.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Cut the connection."""
        abort = scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort["abort"]()
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if "spec_version" in scope["asgi"]:
            headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            return
        raise httpx2.RemoteProtocolError("Server disconnected without sending a response.")


def _params(request: Request, body: bytes) -> Tree:
    if body and not request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        raise ApiError("Invalid request: a POST's content type is application/x-www-form-urlencoded.")
    try:
        return parse(f"{request.url.query}&{body.decode()}".strip("&"))
    except UnicodeDecodeError as error:
        raise ApiError("Invalid request: the body isn't encoded as UTF-8.") from error


def _encoded(answer: Json) -> bytes:
    return json.dumps(answer, indent=2, ensure_ascii=False).encode()


def _refused(error: ApiError) -> Reply:
    return Reply(error.status, _encoded(error.body()), error.headers)


def _failed(effect: Fail) -> Reply:
    error = ApiError(effect.message, status=effect.status, kind=effect.kind, code=effect.code, headers=effect.headers)
    return _refused(error)
