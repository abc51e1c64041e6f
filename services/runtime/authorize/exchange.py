"""A code, or a refresh token, for an access token (RFC 6749 sections 4.1.3, 5 and 6; RFC 7636 section 4.5)."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

import httpx2
import msgspec

from services.runtime.authorize.proof import Proof, token_url
from services.runtime.authorize.way import OAuth2
from services.runtime.http import TooLarge, fetch

_TOKEN = re.compile(r"[!-~]+\Z")
_WORD = re.compile(r"[a-z_]{1,60}\Z")
_CLIENT = {"invalid_client", "unauthorized_client", "disabled_client", "deleted_client", "org_internal"}


class Client(msgspec.Struct, frozen=True):
    """Who we are for the app."""

    id: str
    secret: str

    def __repr__(self) -> str:
        """The secret stays out of whatever prints this."""
        return "Client()"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What the app gave."""

    access_token: str
    refresh_token: str = ""
    """Empty: none, or the one before goes on."""
    scope: str | None = None
    """Left out where it is what was asked for (RFC 6749 section 5.1)."""

    def __repr__(self) -> str:
        """Tokens stay out of whatever prints this."""
        return "Tokens()"

    def lacking(self, way: OAuth2) -> tuple[str, ...]:
        """Return the scopes that weren't granted."""
        return () if self.scope is None else tuple(scope for scope in way.scopes if scope not in self.scope.split())


class Failed(msgspec.Struct, frozen=True):
    """No tokens. `reason` is a sentence without secrets; `code` the app's word for it, empty if it didn't say."""

    reason: str
    code: str = ""


class _Error(msgspec.Struct, frozen=True):
    error: str = ""


async def redeem(
    http: httpx2.AsyncClient,
    way: OAuth2,
    settings: Mapping[str, str],
    client: Client,
    *,
    code: str,
    redirect: str,
    made: Proof,
) -> Tokens | Failed:
    """Exchange an authorisation code, once."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": made.verifier}
    found = await _ask(http, way, token_url(way, settings), client, form)
    if isinstance(found, Failed) and found.code == "invalid_grant":
        reason = "The code of the login was used already, has expired, or belongs to another login. Log in again."
        return Failed(reason, found.code)
    return found


async def refresh(
    http: httpx2.AsyncClient, way: OAuth2, settings: Mapping[str, str], client: Client, token: str
) -> Tokens | Failed:
    """Exchange a refresh token. Not for apps that replace it by doing so, unless the new one is kept."""
    form = {"grant_type": "refresh_token", "refresh_token": token}
    found = await _ask(http, way, token_url(way, settings), client, form)
    if isinstance(found, Failed) and found.code == "invalid_grant":
        return Failed("The refresh token has expired or was revoked.", found.code)
    return found


async def _ask(
    http: httpx2.AsyncClient, way: OAuth2, url: str, client: Client, form: Mapping[str, str]
) -> Tokens | Failed:
    headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
    if way.basic:
        identity = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
        headers["authorization"] = f"Basic {base64.b64encode(identity.encode()).decode()}"
    else:
        form = {**form, "client_id": client.id, "client_secret": client.secret}
    try:
        request = http.build_request("POST", url, content=urlencode(form).encode(), headers=headers)
        response = await fetch(http, request)
    except (httpx2.HTTPError, httpx2.InvalidURL, TooLarge) as error:
        return Failed(f"The token endpoint gave no answer ({type(error).__name__}). Try again.")
    if not response.is_success:
        return _refused(response)
    try:
        tokens = msgspec.json.decode(response.content, type=Tokens)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failed("The token endpoint answered something else: check the setting token_url.")
    if not _TOKEN.match(tokens.access_token) or (tokens.refresh_token and not _TOKEN.match(tokens.refresh_token)):
        return Failed("The token endpoint gave no usable token.")
    return tokens


def _refused(response: httpx2.Response) -> Failed:
    try:
        code = msgspec.json.decode(response.content, type=_Error).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        code = ""
    code = code if _WORD.match(code) else ""
    if code in _CLIENT:
        return Failed("The app doesn't know the OAuth client: correct client_id and client_secret.", code)
    said = f" ({code})" if code else ""
    return Failed(f"The token endpoint answered {response.status_code}{said}.", code)
