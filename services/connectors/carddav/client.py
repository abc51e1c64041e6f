"""Requests to one account's server: one attempt each, every failure a value."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urljoin, urlsplit

import httpx2
import msgspec

from services.contracts.app import Trouble
from services.contracts.contact import Order
from services.runtime.app import Access
from services.runtime.http import TooLarge, fetch
from services.runtime.reach import OutOfReach

NOT_SENT = "not_sent"
UNANSWERED = "unanswered"
TOO_LARGE = "too_large"

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
_XML = {"content-type": "application/xml; charset=utf-8"}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, whatever its status, and between which moments of our clock it was true."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    order: Order
    path: str
    """What was asked."""

    @property
    def good(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether there is nothing at that address."""
        return self.status in {404, 410}

    @property
    def etag(self) -> str | None:
        """The strong etag: a weak one can't be written under (RFC 9110 section 13.1.1)."""
        given = self.headers.get("etag", "").strip()
        return given if given and not given.startswith("W/") else None

    def trouble(self) -> Trouble:
        """Return the answer as what went wrong."""
        told = {
            401: "The server doesn't take the user name and password: correct them in the account.",
            403: "The server forbids this: check the rights of the user in this address book.",
            405: "The server doesn't do this at the account's `url`: it may not be an address book.",
            413: "The card is too large for the server.",
            415: "The server doesn't take this kind of card.",
            423: "The card is locked by another program.",
            429: "The server asks for fewer requests.",
            507: "The server has no room left for the card.",
        }
        moved = "The server points elsewhere: put the address that it names in the account's `url`."
        otherwise = moved if 300 <= self.status < 400 else f"The server answered with status {self.status}."
        return Trouble(key=self.status, detail=told.get(self.status, otherwise), retry_after=self._retry_after())

    def _retry_after(self) -> float | None:
        given = self.headers.get("retry-after", "").strip()
        return float(given) if given.isascii() and given.isdigit() and len(given) < 7 else None


def microseconds(moment: datetime) -> int:
    """Return an aware moment in microseconds since 1970."""
    return round(moment.timestamp() * 1_000_000)


async def send(
    access: Access,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] | None = None,
    depth: str = "",
) -> Answer | Trouble:
    """Send one request to a path of the account's server, and read the whole answer.

    Redirects aren't followed: the password goes to the configured server and nowhere else.
    """
    base = access.settings.get("url", "")
    try:
        auth = httpx2.BasicAuth(
            access.settings.get("username", ""), "".join(access.credentials.get("password", ())[:1])
        )
        request = access.http.build_request(
            method,
            # Put together, not resolved: a path that begins with two slashes would name another server.
            origin(base) + "/" + path.removeprefix("/"),
            content=body or None,
            # Compressing proxies change etags, and a changed one can't be written under.
            headers={"accept-encoding": "identity", **({"depth": depth} if depth else {}), **(headers or {})},
        )
        request = next(auth.sync_auth_flow(request))
    except (ValueError, httpx2.InvalidURL):
        return Trouble(key="bad_setting", detail="The account's `url` is no web address: correct it.")
    start = microseconds(access.clock.now())
    try:
        response = await fetch(access.http, request)
    except OutOfReach as error:
        return Trouble(key=NOT_SENT, detail=str(error))
    except _NOT_SENT:
        return Trouble(key=NOT_SENT, detail="No connection to the server came about: is the account's `url` right?")
    except TooLarge:
        if method != "PUT":  # what became of a write isn't known then
            return Trouble(key=TOO_LARGE, detail="The server's answer was larger than any expected, and not used.")
        return Trouble(key=UNANSWERED, detail="The server's answer to the write was too large to be read.")
    except httpx2.HTTPError:
        return Trouble(key=UNANSWERED, detail="The server took the request and sent no answer.")
    end = microseconds(access.clock.now())
    return Answer(
        status=response.status_code,
        headers={key.lower(): value for key, value in response.headers.items()},
        body=response.content,
        order=Order(min(start, end), max(start, end)),
        path=path,
    )


async def ask(access: Access, method: str, path: str, body: bytes, depth: str) -> Answer | Trouble:
    """Send a request with an XML body."""
    return await send(access, method, path, body, headers=_XML, depth=depth)


def origin(url: str) -> str:
    """Return the scheme, host and port of an address. Raises `ValueError` if it can't be read."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def same_origin(url: str, other: str) -> bool:
    """Whether two addresses are on one server."""
    try:
        return origin(url).lower() == origin(urljoin(url, other)).lower()
    except ValueError:
        return False
