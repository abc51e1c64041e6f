"""Access tokens: asked for with the refresh token (RFC 6749 section 6), once for all who wait, kept in memory only."""

import asyncio
import hashlib
import re
from urllib.parse import urlencode

import httpx2
import msgspec

from services.connectors.google_contacts.error import seconds
from services.connectors.google_contacts.manifest import TOKEN_URL
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.http import TooLarge, fetch

EARLY = 60.0
"""Seconds before its end from which a token isn't used any more."""
_TOKEN = re.compile(r"[!-~]+\Z")
_CLIENT_ERRORS = {"invalid_client", "unauthorized_client", "disabled_client", "deleted_client", "org_internal"}


class _Issued(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float = 3600.0


class _Denied(msgspec.Struct, frozen=True):
    error: str = ""


class Tokens:
    """The access tokens of all accounts, until shortly before they expire."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, float]] = {}
        self._flights: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Lock]] = {}

    async def token(self, access: Access, refused: str | None = None) -> str | Trouble:
        """Return an access token; `refused` is one that Google didn't take, so that it isn't given out again."""
        identity = [next(iter(access.credentials.get(key, ())), "") for key in _KEYS]
        if not all(_TOKEN.match(part) for part in identity):
            detail = f"The account {access.account} lacks {', '.join(_KEYS)}: authorise it."
            return Trouble(key="no_credentials", detail=detail)
        url = access.settings.get("token_url") or TOKEN_URL
        key = hashlib.sha256("\n".join((access.account, url, *identity)).encode()).hexdigest()
        found = self._usable(key, access, refused)
        if found is not None:
            return found
        async with self._flight(key):
            found = self._usable(key, access, refused)
            if found is not None:
                return found
            self._held.pop(key, None)
            issued = await _ask(access, url, dict(zip(_KEYS, identity, strict=True)))
            if isinstance(issued, Trouble):
                return issued
            life = max(issued.expires_in - EARLY, issued.expires_in / 2)
            self._held[key] = (issued.access_token, access.clock.monotonic() + life)
            return issued.access_token

    def _usable(self, key: str, access: Access, refused: str | None) -> str | None:
        token, until = self._held.get(key, ("", 0.0))
        return token if token and token != refused and access.clock.monotonic() < until else None

    def _flight(self, key: str) -> asyncio.Lock:
        """One flight at a time per account; a lock belongs to the loop that it was made in."""
        loop = asyncio.get_running_loop()
        known = self._flights.get(key)
        if known is None or known[0] is not loop:
            known = (loop, asyncio.Lock())
            self._flights[key] = known
        return known[1]


_KEYS = ("client_id", "client_secret", "refresh_token")


async def _ask(access: Access, url: str, identity: dict[str, str]) -> _Issued | Trouble:
    form = urlencode({**identity, "grant_type": "refresh_token"}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    try:
        request = access.http.build_request("POST", url, content=form, headers=headers)
        response = await fetch(access.http, request)
    except (httpx2.HTTPError, httpx2.InvalidURL, TooLarge) as error:
        return _unavailable(f"Google's token endpoint gave no answer ({type(error).__name__}).")
    if response.is_success:
        return _issued(response.content)
    return _denied(response)


def _issued(body: bytes) -> _Issued | Trouble:
    try:
        issued = msgspec.json.decode(body, type=_Issued)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unavailable("Google's token endpoint answered something else: check the setting token_url.")
    if not _TOKEN.match(issued.access_token) or not issued.expires_in > 0:
        return _unavailable("Google's token endpoint gave no usable token.")
    return issued


def _denied(response: httpx2.Response) -> Trouble:
    try:
        error = msgspec.json.decode(response.content, type=_Denied).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = ""
    if error == "invalid_grant":
        detail = "The refresh token has expired or was revoked: authorise the account again."
        return Trouble(key="invalid_grant", detail=detail)
    if error in _CLIENT_ERRORS:
        return Trouble(
            key="invalid_client", detail="Google doesn't know the OAuth client: correct client_id and secret."
        )
    wait = seconds(response.headers.get("retry-after"))
    if response.status_code == 429:
        return Trouble(key=429, detail="Google's token endpoint asks for fewer requests.", retry_after=wait)
    if response.status_code == 401:
        return Trouble(key=401, detail="Google's token endpoint refuses the credentials: authorise the account again.")
    told = f"Google's token endpoint answered {response.status_code}."
    return msgspec.structs.replace(_unavailable(told), retry_after=wait)


def _unavailable(detail: str) -> Trouble:
    """No token, so nothing was asked with it either."""
    return Trouble(key="token_unavailable", detail=detail)
