"""The login and the token endpoint: codes and refresh tokens into access tokens that expire.

RFC 6749 sections 4.1, 5 and 6; RFC 7636 with S256 alone, as loopback redirects of a desktop app use it:
https://developers.google.com/identity/protocols/oauth2/native-app
"""

import base64
import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from services.connectors.google_contacts.sandbox.refusal import ApiError, Json

LIFETIME = 3599
"""Seconds that an access token is good for."""
SCOPE = "https://www.googleapis.com/auth/contacts"
CODE_LIFETIME = 600.0
"""Seconds that a code is good for: RFC 6749 section 4.1.2 recommends at most ten minutes."""
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")  # RFC 7636 section 4.1
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")


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
    scope: str = SCOPE


@dataclass
class Code:
    """What a person's yes gave: good for one exchange, by whoever knows the verifier."""

    account: str
    redirect: str
    challenge: str
    scope: str
    offline: bool
    until: float
    used: str | None = None
    """The refresh token that it was exchanged for; empty for none."""


class OAuth:
    """One OAuth client (a desktop app) and its grants.

    `lifetime` is the access tokens', in seconds. At the login, `person` is who is logged in, `allows` what they
    answer, and `ticked` the scopes that they leave ticked (None: those asked for).
    """

    def __init__(self, clock: Callable[[], float], rng: random.Random) -> None:
        self.client_id = "sandbox.apps.googleusercontent.com"
        self.client_secret = "GOCSPX-sandbox"  # noqa: S105 - it opens nothing but this sandbox
        self.lifetime = float(LIFETIME)
        self.refreshes = 0
        self.person = "first"
        self.allows = True
        self.ticked: str | None = None
        self._codes: dict[str, Code] = {}
        self._consented: set[str] = set()
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
        match form.get("grant_type"):
            case "refresh_token":
                grant = self._grants.get(form.get("refresh_token", ""))
                if grant is None or grant.revoked:
                    raise OAuthError("invalid_grant", "Token has been expired or revoked.")
                self.refreshes += 1
                return self._access_token(grant.account, grant.scope)
            case "authorization_code":
                return self._redeemed(form)
            case _:
                raise OAuthError("unsupported_grant_type", "Invalid grant_type.")

    def login(self, asked: Mapping[str, str]) -> str:
        """Answer a login at which the person says at once what they say: the address to go to. Raises OAuthError.

        Only a redirect to this machine, as that of a desktop app, is led to; other mistakes are told there.
        """
        redirect, state = asked.get("redirect_uri", ""), asked.get("state", "")
        parts = urlsplit(redirect)
        if asked.get("client_id") != self.client_id:
            raise OAuthError("invalid_client", "The OAuth client was not found.", 401)
        if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "::1", "localhost"} or parts.query:
            raise OAuthError("redirect_uri_mismatch", "The redirect URI isn't one of the client's.")
        error = self._mistake(asked)
        if error is None and not self.allows:
            error = "access_denied"
        if error:
            return f"{redirect}?{urlencode({'error': error, 'state': state})}"
        scope = self.ticked if self.ticked is not None else asked["scope"]
        # Who allowed it before gets no second refresh token unless asked for consent again.
        offline = asked.get("access_type") == "offline"
        offline = offline and (asked.get("prompt") == "consent" or self.person not in self._consented)
        self._consented.add(self.person)
        code = f"4/sandbox-{self._rng.randrange(16**20):020x}"
        until = self._clock() + CODE_LIFETIME
        self._codes[code] = Code(self.person, redirect, asked["code_challenge"], scope, offline, until)
        return f"{redirect}?{urlencode({'state': state, 'code': code, 'scope': scope})}"

    def _mistake(self, asked: Mapping[str, str]) -> str | None:
        if asked.get("response_type") != "code":
            return "unsupported_response_type"
        if asked.get("scope") != SCOPE:
            return "invalid_scope"
        challenge = asked.get("code_challenge", "")
        return (
            None if asked.get("code_challenge_method") == "S256" and _CHALLENGE.match(challenge) else "invalid_request"
        )

    def _redeemed(self, form: Mapping[str, str]) -> Json:
        code = self._codes.get(form.get("code", ""))
        if code is None or self._clock() > code.until:
            raise OAuthError("invalid_grant", "Malformed auth code.")
        if code.used is not None:
            # RFC 6749 section 4.1.2: a code used twice may have been stolen, and what it gave is withdrawn.
            if code.used:
                self.revoke(code.used)
            raise OAuthError("invalid_grant", "The code was used already.")
        verifier = form.get("code_verifier", "")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not _VERIFIER.match(verifier) or digest != code.challenge:
            raise OAuthError("invalid_grant", "Invalid code verifier.")
        if form.get("redirect_uri") != code.redirect:
            raise OAuthError("redirect_uri_mismatch", "Bad Request")
        code.used = self.grant(code.account) if code.offline else ""
        answer = self._access_token(code.account, code.scope)
        if code.used:
            self._grants[code.used].scope = code.scope
            answer["refresh_token"] = code.used
        return answer

    def _access_token(self, account: str, scope: str) -> Json:
        token = f"ya29.sandbox-{self._rng.randrange(16**24):024x}"
        self._access[token] = (account, self._clock() + self.lifetime)
        return {"access_token": token, "expires_in": int(self.lifetime), "scope": scope, "token_type": "Bearer"}

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
