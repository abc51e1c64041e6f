"""Asking Stripe: the official library builds the request, our own HTTP client carries it, we read the answer."""

import contextlib
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeVar

import httpx2
import msgspec
import stripe

from services.connectors.stripe import order
from services.connectors.stripe.error import ErrorAnswer, read_error, unreadable
from services.connectors.stripe.manifest import API
from services.contracts.app import Trouble
from services.contracts.contact import Order
from services.runtime.app import Access
from services.runtime.clock import Clock
from services.runtime.http import TooLarge, fetch

T = TypeVar("T")

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
_KEY = re.compile(r"[!-~]+\Z")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success: the raw body, when it was true, how long it took, and whether it repeats an earlier answer."""

    body: bytes
    order: Order
    ms: int
    replayed: bool

    def decoded(self, kind: type[T]) -> T | Trouble:
        """The body as a `kind`."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return unreadable()


class Carried(Exception):  # noqa: N818 - no error: the way back past the library
    """The request is over. The library passes this on as it is, and so neither retries nor reads the answer."""


class StripeOverHttpx2(stripe.HTTPClient):
    """The library's transport over httpx2, for one request; it keeps what came back, or the reason why nothing did.

    It may go when the library speaks httpx2 itself: https://github.com/stripe/stripe-python/issues/1886
    """

    name = "httpx2"

    def __init__(self, http: httpx2.AsyncClient, clock: Clock) -> None:
        super().__init__()
        self.answer: Answer | ErrorAnswer | None = None
        self.trouble: Trouble | None = None
        self._http = http
        self._clock = clock

    async def request_async(self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None) -> NoReturn:
        """Send the request. Raises `Carried`: `answer` or `trouble` holds what came of it."""
        started = self._clock.monotonic()
        try:
            request = self._http.build_request(method, url, headers=dict(headers), content=post_data or None)
            response = await fetch(self._http, request)
        except _NOT_SENT as error:
            self.trouble = Trouble(key="not_sent", detail=f"Stripe can't be reached ({type(error).__name__}).")
            raise Carried from None
        except (httpx2.RequestError, TooLarge) as error:
            detail = f"Stripe was asked, its answer didn't come ({type(error).__name__})."
            self.trouble = Trouble(key="unanswered", detail=detail)
            raise Carried from None
        duration = self._clock.monotonic() - started
        observed = order.of_answer(response.headers, duration, self._clock)
        if response.is_success:
            self.answer = Answer(
                body=response.content,
                order=observed,
                ms=round(duration * 1000),
                replayed=response.headers.get("idempotent-replayed") == "true",
            )
        else:
            self.answer = read_error(response, observed)
        raise Carried

    async def close_async(self) -> None:
        """Nothing: the client is the runtime's."""


async def ask(
    access: Access,
    method: Literal["get", "post"],
    path: str,
    params: Mapping[str, Any],
    key: str | None = None,
) -> Answer | ErrorAnswer | Trouble:
    """Send one request, once. `key` is the idempotency key of a post.

    The library would read the answer with words in its errors and logs that quote contacts and keys, and fails on
    bodies that aren't Stripe's: what came back is read here instead.
    """
    secret = next(iter(access.credentials.get("api_key", ())), "")
    if not _KEY.match(secret):
        detail = f"The account {access.account} has no usable api_key: set it in the connections file."
        return Trouble(key="no_api_key", detail=detail)
    # It logs whole URLs, with the addresses in them, and keeps an id of this machine in the user's home.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    stripe.enable_telemetry = False
    carrier = StripeOverHttpx2(access.http, access.clock)
    client = stripe.StripeClient(
        secret,
        http_client=carrier,
        base_addresses={"api": (access.settings.get("api_base") or API).rstrip("/")},
        max_network_retries=0,
    )
    options = {} if key is None else {"idempotency_key": key}
    with contextlib.suppress(Carried):
        await client.raw_request_async(method, path, **params, **options)
    return carrier.answer or carrier.trouble or unreadable()
