"""The token endpoint: refresh tokens into access tokens, and from time to time into new refresh tokens."""

import base64
import binascii
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from services.connectors.quickbooks.sandbox.refusal import GatewayError, Json

SCOPE = "com.intuit.quickbooks.accounting"
CODE_LIFETIME = 600.0
"""Seconds that an authorisation code is good for."""
LIFETIME = 3600.0
"""Seconds that an access token is good for."""
ROTATED_AFTER = 86_400.0
"""Seconds after which a refresh token is replaced when it is used."""
IDLE = 100 * 86_400.0
"""Seconds that a refresh token is good for."""


class OAuthError(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.status = status

    def body(self) -> Json:
        """The answer's JSON."""
        return {"error": self.error}


@dataclass
class Code:
    """An authorisation code: for which company and redirect, until when."""

    realm: str
    redirect: str
    until: float
    used: bool = False


@dataclass
class Refresh:
    """A refresh token: whose, since when, and until when it is taken (a replaced one for `grace` more)."""

    realm: str
    at: float
    until: float
    replaced: bool = False


class OAuth:
    """One Intuit app and what companies allowed it.

    `lifetime`, `rotated_after` and `grace` are seconds and may be changed. What Intuit says of `grace` differs: none,
    and a day.
    """

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self.client_id = "ABsandboxclient"
        self.client_secret = "sandbox-secret"  # noqa: S105 - it opens nothing but this sandbox
        self.lifetime = LIFETIME
        self.rotated_after = ROTATED_AFTER
        self.grace = 0.0
        self.refreshes = 0
        self.redirects = {"http://localhost:8400/back", "https://example.com/back"}
        """What the app has on the developer portal: nothing else is led to."""
        self.chosen = ""
        """The company that the person chooses at the login."""
        self.allows = True
        self._codes: dict[str, Code] = {}
        self._clock = clock
        self._rng = rng
        self._refresh: dict[str, Refresh] = {}
        self._access: dict[str, tuple[str, float]] = {}

    def grant(self, realm: str) -> str:
        """A new refresh token for a company."""
        token = f"RT1-{self._rng.randrange(16**20):020x}"
        self._refresh[token] = Refresh(realm, self._clock(), self._clock() + IDLE)
        return token

    def revoke(self, realm: str) -> None:
        """Somebody at the company disconnects the app."""
        self._refresh = {token: row for token, row in self._refresh.items() if row.realm != realm}
        self._access = {token: row for token, row in self._access.items() if row[0] != realm}

    def expire_access(self) -> None:
        """Every access token handed out so far has expired."""
        self._access.clear()

    def login(self, asked: Mapping[str, str]) -> str:
        """Answer a login at which the person says at once what they say: the address to go to. Raises OAuthError."""
        redirect, state = asked.get("redirect_uri", ""), asked.get("state", "")
        if asked.get("client_id") != self.client_id:
            raise OAuthError("invalid_client", 401)
        if redirect not in self.redirects:
            raise OAuthError("invalid_redirect_uri")
        error = "" if self.allows else "access_denied"
        if asked.get("response_type") != "code":
            error = "unsupported_response_type"
        if asked.get("scope") != SCOPE:
            error = "invalid_scope"
        if error:
            return f"{redirect}?{urlencode({'error': error, 'state': state})}"
        code = f"XAB1{self._rng.randrange(16**20):020x}"
        self._codes[code] = Code(self.chosen, redirect, self._clock() + CODE_LIFETIME)
        return f"{redirect}?{urlencode({'code': code, 'state': state, 'realmId': self.chosen})}"

    def _redeemed(self, form: Mapping[str, str]) -> str:
        code = self._codes.get(form.get("code", ""))
        if code is None or code.used or self._clock() > code.until or form.get("redirect_uri") != code.redirect:
            raise OAuthError("invalid_grant")
        code.used = True
        return self.grant(code.realm)

    def token(self, authorization: str, form: Mapping[str, str]) -> Json:
        """Answer one token request. Raises OAuthError."""
        if _basic(authorization) != f"{self.client_id}:{self.client_secret}":
            raise OAuthError("invalid_client", 401)
        match form.get("grant_type"):
            case "refresh_token":
                given = form.get("refresh_token", "")
            case "authorization_code":
                given = self._redeemed(form)
            case _:
                raise OAuthError("unsupported_grant_type")
        row, now = self._refresh.get(given), self._clock()
        if row is None or now > row.until or (row.replaced and now >= row.until):
            raise OAuthError("invalid_grant")
        following = given
        if not row.replaced and now - row.at >= self.rotated_after:
            following = self.grant(row.realm)
            row.replaced, row.until = True, now + self.grace
        access = f"eyJ-{self._rng.randrange(16**24):024x}"
        self._access[access] = (row.realm, now + self.lifetime)
        self.refreshes += 1
        return {
            "access_token": access,
            "expires_in": int(self.lifetime),
            "refresh_token": following,
            "x_refresh_token_expires_in": int(self._refresh[following].until - now),
            "token_type": "bearer",
        }

    def realm(self, authorization: str) -> str:
        """The company that a request's Authorization header speaks for. Raises GatewayError 401."""
        scheme, _, token = authorization.partition(" ")
        realm, until = self._access.get(token.strip(), ("", 0.0))
        if scheme.lower() != "bearer" or not realm or self._clock() >= until:
            raise GatewayError(401, "3200", "AuthenticationFailed")
        return realm


def _basic(authorization: str) -> str:
    scheme, _, encoded = authorization.partition(" ")
    try:
        return base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""
