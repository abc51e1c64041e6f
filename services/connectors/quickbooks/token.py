"""Access tokens: got with the refresh token, which Intuit replaces about once a day (RFC 6749 section 6).

Intuit says of a refresh token that was replaced both that it is over at once and that it is over after a day
(https://help.developer.intuit.com/s/article/Validity-of-Refresh-Token): so the new one is kept before anything is
asked with it, and a lost one may need a person.
"""

import base64
import re
from urllib.parse import urlencode

import httpx2
import msgspec

from services.connectors.quickbooks.error import seconds
from services.connectors.quickbooks.manifest import TOKEN_URL
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.http import TooLarge, fetch
from services.runtime.tokens import UNAVAILABLE, Grant, Keeper

EARLY = 60.0
"""Seconds before its end from which a token isn't used any more."""
_KEYS = ("client_id", "client_secret", "refresh_token")
_TOKEN = re.compile(r"[!-~]+\Z")
_CLIENT_ERRORS = {"invalid_client", "unauthorized_client"}


class _Issued(msgspec.Struct, frozen=True):
    access_token: str
    refresh_token: str = ""
    expires_in: float = 3600.0


class _Denied(msgspec.Struct, frozen=True):
    error: str = ""


async def token(access: Access, keeper: Keeper, refused: str | None = None) -> str | Trouble:
    """Return an access token; `refused` is one that QuickBooks didn't take, so that it isn't given out again."""
    client_id, secret, seed = (next(iter(access.credentials.get(key, ())), "") for key in _KEYS)
    if not all(_TOKEN.match(part) for part in (client_id, secret, seed)):
        return Trouble(key="no_credentials", detail=f"The account {access.account} lacks {', '.join(_KEYS)}.")

    def usable(grant: Grant) -> bool:
        return grant.access != refused and access.clock.now().timestamp() < grant.until

    async def renew(refresh: str) -> Grant | Trouble:
        return await _ask(access, client_id, secret, refresh)

    grant = await keeper.grant(access.account, seed, usable, renew)
    return grant if isinstance(grant, Trouble) else grant.access


async def _ask(access: Access, client_id: str, secret: str, refresh: str) -> Grant | Trouble:
    url = access.settings.get("token_url") or TOKEN_URL
    identity = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    headers = {
        "authorization": f"Basic {identity}",
        "accept": "application/json",
        "content-type": "application/x-www-form-urlencoded",
    }
    form = urlencode({"grant_type": "refresh_token", "refresh_token": refresh}).encode()
    asked = access.clock.now().timestamp()
    try:
        request = access.http.build_request("POST", url, content=form, headers=headers)
        response = await fetch(access.http, request)
    except (httpx2.HTTPError, httpx2.InvalidURL, TooLarge) as error:
        return _unavailable(f"Intuit's token endpoint gave no answer ({type(error).__name__}).")
    return _granted(response.content, refresh, asked) if response.is_success else _denied(access, response)


def _granted(body: bytes, refresh: str, asked: float) -> Grant | Trouble:
    try:
        issued = msgspec.json.decode(body, type=_Issued)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unavailable("Intuit's token endpoint answered something else: check the setting token_url.")
    following = issued.refresh_token or refresh
    if not (_TOKEN.match(issued.access_token) and _TOKEN.match(following)) or not issued.expires_in > 0:
        return _unavailable("Intuit's token endpoint gave no usable token.")
    life = max(issued.expires_in - EARLY, issued.expires_in / 2)
    return Grant(refresh=following, access=issued.access_token, until=asked + life)


def _denied(access: Access, response: httpx2.Response) -> Trouble:
    try:
        error = msgspec.json.decode(response.content, type=_Denied).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = ""
    if error == "invalid_grant":
        detail = (
            f"Intuit no longer takes the refresh token of {access.account}: it expired, was revoked, or its successor "
            "was lost when contactsync was interrupted. Authorise the account again: give it a new refresh_token."
        )
        return Trouble(key="invalid_grant", detail=detail)
    if error in _CLIENT_ERRORS:
        detail = "Intuit doesn't know the app: correct client_id and client_secret."
        return Trouble(key="invalid_client", detail=detail)
    wait = seconds(response.headers.get("retry-after"))
    if response.status_code == 429:
        return Trouble(key=429, detail="Intuit's token endpoint asks for fewer requests.", retry_after=wait)
    if response.status_code == 401:
        return Trouble(key=401, detail="Intuit's token endpoint refuses the credentials: authorise the account again.")
    told = f"Intuit's token endpoint answered {response.status_code}."
    return msgspec.structs.replace(_unavailable(told), retry_after=wait)


def _unavailable(detail: str) -> Trouble:
    """No token, so nothing was asked with it either."""
    return Trouble(key=UNAVAILABLE, detail=detail)
