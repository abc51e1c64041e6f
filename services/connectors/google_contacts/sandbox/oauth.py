"""The token endpoint: refresh tokens into access tokens that expire (RFC 6749 sections 5 and 6)."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.connectors.google_contacts.sandbox.refusal import ApiError, Json

LIFETIME = 3599
"""Seconds that an access token is good for."""
SCOPE = "https://www.googleapis.com/auth/contacts"


class OAuthError(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        self.error = error
        self.description = description
        self.status = status

    def body(self) -> Json:
        """The answer's JSON."""
        return {"error": self.error, "error_description": self.description}


@dataclass
class Grant:
    """What a person allowed: the refresh token is good until it is revoked."""

    account: str
    refresh_token: str
    revoked: bool = False


class OAuth:
    """One OAuth client and its grants. `lifetime` is the access tokens', in seconds."""

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self.client_id = "sandbox.apps.googleusercontent.com"
        self.client_secret = "GOCSPX-sandbox"  # noqa: S105 - it opens nothing but this sandbox
        self.lifetime = float(LIFETIME)
        self.refreshes = 0
        self._clock = clock
        self._rng = rng
        self._grants: dict[str, Grant] = {}
        self._access: dict[str, tuple[str, float]] = {}

    def grant(self, account: str, token: str = "") -> str:
        """A new refresh token for an account: `token`, or one made up."""
        token = token or f"1//sandbox-{self._rng.randrange(16**20):020x}"
        self._grants[token] = Grant(account, token)
        return token

    def revoke(self, refresh_token: str) -> None:
        """The person withdraws the grant, or it expired: access tokens from it end too."""
        grant = self._grants[refresh_token]
        grant.revoked = True
        self._access = {token: row for token, row in self._access.items() if row[0] != grant.account}

    def expire_access(self) -> None:
        """Every access token handed out so far has expired."""
        self._access.clear()

    def token(self, form: Mapping[str, str]) -> Json:
        """Answer one token request. Raises OAuthError."""
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
        if form.get("grant_type") != "refresh_token":
            raise OAuthError("unsupported_grant_type", "Invalid grant_type.")
        grant = self._grants.get(form.get("refresh_token", ""))
        if grant is None or grant.revoked:
            raise OAuthError("invalid_grant", "Token has been expired or revoked.")
        token = f"ya29.sandbox-{self._rng.randrange(16**24):024x}"
        self._access[token] = (grant.account, self._clock() + self.lifetime)
        self.refreshes += 1
        return {"access_token": token, "expires_in": int(self.lifetime), "scope": SCOPE, "token_type": "Bearer"}

    def account(self, authorization: str) -> str:
        """The account that a request's Authorization header speaks for. Raises ApiError 401."""
        scheme, _, token = authorization.partition(" ")
        name, until = self._access.get(token.strip(), ("", 0.0))
        if scheme.lower() != "bearer" or not name or self._clock() >= until:
            raise ApiError(
                "Request had invalid authentication credentials.",
                code=401,
                reason="ACCESS_TOKEN_EXPIRED" if token else "CREDENTIALS_MISSING",
                headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'},
            )
        return name
