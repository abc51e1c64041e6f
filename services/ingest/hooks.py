"""`POST /hooks/{account}`: a delivery is verified, read and answered 2xx once its events are durable."""

import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.contracts.app import Ability, Delivery, Reading, Rejected, Wake
from services.contracts.connection import Account
from services.ingest.body import RETRY_AFTER, Bodies, Refusal
from services.ingest.publish import Publisher, contact_of, moment, sealed
from services.ingest.registry import Accounts, Registered, RegistryUnavailableError
from services.ingest.traced import delivered
from services.runtime.app import Access, App, Prepares
from services.runtime.log import LogUnavailableError, Message
from services.runtime.metrics import Metrics
from services.runtime.tracing import TRACEPARENT

_TELL_SECONDS = 60.0
SECRETS = "webhook_secrets"
"""The credential that every app with webhooks keeps its signing secrets under."""
_ID = re.compile(r"[^\x00-\x1f\x7f]{1,1024}")
"""Ids travel in headers and keys: no control characters, and short."""


class Hooks:
    """The webhook endpoint of all accounts.

    `apps` are all apps by name; `access` makes an account callable; `wish` has an account's feed polled at once;
    `now` is unix seconds, what signatures' ages are measured by.
    """

    def __init__(
        self,
        apps: Mapping[str, App],
        accounts: Accounts,
        publisher: Publisher,
        bodies: Bodies,
        metrics: Metrics,
        *,
        access: Callable[[Registered], Access],
        wish: Callable[[str], Awaitable[None]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._apps = apps
        self._preparing = {name: app for name, app in apps.items() if isinstance(app, Prepares)}
        self._accounts = accounts
        self._publisher = publisher
        self._bodies = bodies
        self._metrics = metrics
        self._access = access
        self._wish = wish
        self._now = now
        self._told: dict[tuple[str, str], float] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer one delivery: 200 `{"received": events}`, or `{"error": sentence, "code": word}`."""
        begun = time.perf_counter()
        registered = await self._account(request.path_params["account"])
        outcome: int | Wake | Refusal
        if isinstance(registered, Refusal):
            # Names that nobody registered would make a label each.
            name, outcome = "", registered
        else:
            name, outcome = registered.account.name, await self._receive(request, registered)
        match outcome:
            case Refusal():
                word, response = outcome.code, refused(outcome)
            case Wake():
                word, response = "woken", JSONResponse({"received": 0})
            case count:
                word, response = "received" if count else "ignored", JSONResponse({"received": count})
        self._metrics.deliveries.labels(name, word).inc()
        self._metrics.webhook_seconds.labels(word).observe(time.perf_counter() - begun)
        return response

    async def _account(self, name: str) -> Registered | Refusal:
        try:
            found = await self._accounts.find(name)
        except RegistryUnavailableError:
            return _away("registry", "Accounts can't be read now. Send the delivery again in a while.")
        app = self._apps.get(found.account.app) if found else None
        if found is None or app is None or Ability.WEBHOOK not in app.manifest.abilities:
            return Refusal(
                status=404,
                code="account",
                error="No account of this name takes webhooks. Check the end of the address against `apps`.",
            )
        if found.trouble is not None:
            return _away("sealed", "This account's credentials can't be opened. The service's operator is told why.")
        return found

    async def _receive(self, request: Request, registered: Registered) -> int | Wake | Refusal:
        """Return how many events of this delivery are durable now, or that its wish is."""
        received = self._now()
        manifest = self._apps[registered.account.app].manifest
        if (refusal := _form(request, any_body=manifest.webhook_body == "any")) is not None:
            return refusal
        if self._publisher.busy():  # before a body is read for nothing
            return _BUSY
        body = await self._bodies.read(request)
        if isinstance(body, Refusal):
            return body
        delivery = Delivery(
            account=registered.account.name,
            headers=tuple((key.lower(), value) for key, value in request.headers.items()),
            body=body,
            received=int(received * 1_000_000),
        )
        match await self._read(delivery, registered):
            case Refusal() as refusal:
                return refusal
            case Wake() as wake:
                return await self._woken(delivery.account) or wake
            case readings:
                return await self._publish(request, readings, registered.account, received)

    async def _publish(
        self, request: Request, readings: tuple[Reading, ...], account: Account, received: float
    ) -> int | Refusal:
        traceparents = request.headers.getlist("traceparent")
        valid = len(traceparents) == 1 and TRACEPARENT.fullmatch(traceparents[0])
        sender = traceparents[0] if valid else None
        if not readings:
            return 0
        if self._publisher.busy():
            return _BUSY
        try:
            with delivered(account.name, account.app, sender=sender, began=received) as traceparent:
                try:
                    messages = [_sealed(reading, traceparent) for reading in readings]
                except ValueError as error:
                    return Refusal(status=400, code="json", error=str(error))
                await self._publisher.publish(messages)
        except LogUnavailableError:
            return _away("log", "The log is away, so nothing was taken. Send the delivery again in a while.")
        for reading in readings:
            self._metrics.events_published.labels(type(reading.event).__name__).inc()
        return len(readings)

    async def _woken(self, account: str) -> Refusal | None:
        try:
            await self._wish(account)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return _away("store", "This can't be noted now, so nothing was taken. Send the delivery again in a while.")
        return None

    async def _read(self, delivery: Delivery, registered: Registered) -> tuple[Reading, ...] | Wake | Refusal:
        app = self._apps[registered.account.app]
        if (preparing := self._preparing.get(registered.account.app)) is not None:
            trouble = await preparing.prepare(self._access(registered), delivery)
            if trouble is not None:
                return _away("keys", trouble.detail, trouble.retry_after)
        try:
            rejected = app.verify(delivery, registered.credentials.get(SECRETS, ()), self._now())
            outcome = rejected or app.read(delivery)
        except RecursionError:
            return Refusal(status=400, code="json", error="The body is nested too deeply to be a delivery.")
        if isinstance(outcome, Rejected):
            self._tell(delivery.account, outcome.code)
            return Refusal(status=400, code=outcome.code, error=outcome.reason)
        return outcome

    def _tell(self, account: str, code: str) -> None:
        """Log that an account's deliveries are refused, once a minute: a wrong secret shows nowhere else."""
        now = self._now()
        if now - self._told.get((account, code), 0.0) >= _TELL_SECONDS:
            self._told[account, code] = now
            structlog.get_logger().warning("delivery_refused", account=account, reason=code)


def refused(refusal: Refusal) -> Response:
    """Return the answer for a refusal."""
    return JSONResponse(
        {"error": refusal.error, "code": refusal.code},
        status_code=refusal.status,
        headers=dict(refusal.headers),
    )


def _away(code: str, error: str, after: float | None = None) -> Refusal:
    headers = RETRY_AFTER if after is None else {"retry-after": str(max(math.ceil(after), 1))}
    return Refusal(status=503, code=code, error=error, headers=headers)


_BUSY = _away("busy", "Too many deliveries wait for the log. Send this one again in a while.")


def _form(request: Request, *, any_body: bool) -> Refusal | None:
    """Return why a body of this form isn't read, or None: JSON in UTF-8 is, or with `any_body` all; not compressed."""
    types = request.headers.getlist("content-type")
    kind, _, parameters = types[0].partition(";") if len(types) == 1 else ("", "", "")
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]*)", parameters, re.IGNORECASE)
    declared = kind.strip().lower() == "application/json"
    if not any_body and (not declared or (charset and charset[1].lower() not in {"utf-8", "utf8"})):
        return Refusal(
            status=415,
            code="content_type",
            error="A delivery is application/json in UTF-8. Send it with that Content-Type.",
            headers={"accept": "application/json"},
        )
    encodings = [text.strip().lower() for text in request.headers.getlist("content-encoding")]
    if any(encoding not in {"", "identity"} for encoding in encodings):
        return Refusal(
            status=415,
            code="content_encoding",
            error="Compressed deliveries aren't taken. Send the body as it is.",
            headers={"accept-encoding": "identity"},
        )
    return None


def _sealed(reading: Reading, traceparent: str | None) -> Message:
    """Return the message for a reading. Raises `ValueError` with a sentence if its ids can't be ids."""
    contact_id = contact_of(reading)
    if not _ID.fullmatch(reading.id) or not _ID.fullmatch(contact_id):
        raise ValueError("An id in the delivery is empty, too long or has control characters.")
    return sealed(
        reading.event,
        id=reading.id,
        contact_id=contact_id,
        time=moment(reading.time),
        traceparent=traceparent,
    )
