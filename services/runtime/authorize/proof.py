"""The authorisation request and its answer: PKCE, state, addresses. Pure.

RFC 6749 section 4.1 (https://www.rfc-editor.org/rfc/rfc6749), RFC 7636 (https://www.rfc-editor.org/rfc/rfc7636) and,
for programs on a person's machine, RFC 8252 (https://www.rfc-editor.org/rfc/rfc8252).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import msgspec

from services.runtime.authorize.way import OAuth2

RANDOM_BYTES = 32
"""Of the verifier and of the state: 43 characters each, the fewest that RFC 7636 section 4.1 allows."""


class Proof(msgspec.Struct, frozen=True):
    """What only we know while a person logs in: it ties the answer, and the code in it, to this login."""

    verifier: str
    state: str

    def __repr__(self) -> str:
        """Neither is for others' eyes."""
        return "Proof()"

    @property
    def challenge(self) -> str:
        """S256 of the verifier (RFC 7636 section 4.2)."""
        return _plain(hashlib.sha256(self.verifier.encode()).digest())


class Code(msgspec.Struct, frozen=True):
    """The person allowed it. `told` is what the answer says besides."""

    value: str
    told: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """A code opens an account for some minutes."""
        return "Code()"


class Denied(msgspec.Struct, frozen=True):
    """The login ended without a code, for that reason: a sentence."""

    reason: str


class Foreign(msgspec.Struct, frozen=True):
    """It isn't the answer to this login."""

    reason: str


Answer: TypeAlias = Code | Denied | Foreign


def proof(verifier: bytes, state: bytes) -> Proof:
    """Make a proof of random bytes."""
    return Proof(_plain(verifier), _plain(state))


def token_url(way: OAuth2, settings: Mapping[str, str]) -> str:
    """Return where codes and refresh tokens are exchanged."""
    return settings.get("token_url") or way.token_url


def login_url(way: OAuth2, settings: Mapping[str, str], client_id: str, redirect: str, made: Proof) -> str:
    """Return the address at which the person logs in."""
    there = token_url(way, settings)
    login = way.authorize_url if there == way.token_url else urljoin(there, way.beside)
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "scope": " ".join(way.scopes),
        "state": made.state,
        "code_challenge": made.challenge,
        "code_challenge_method": "S256",
        **way.parameters,
    }
    return f"{login}?{urlencode(asked)}"


def answer(query: str, made: Proof) -> Answer:
    """Read the query of the address that the app led to (RFC 6749 sections 4.1.2 and 4.1.2.1)."""
    given = parse_qs(query, keep_blank_values=True)
    if any(len(given.get(name, ())) > 1 for name in ("state", "code", "error")):
        return Foreign("it says one thing several times")
    state, code, error = (next(iter(given.get(name, ())), "") for name in ("state", "code", "error"))
    if not hmac.compare_digest(state.encode(), made.state.encode()):
        return Foreign("its state is that of another login, or missing")
    if error == "access_denied":
        return Denied("access was denied at the login")
    if error:
        return Denied(f"the login ended with the error {_word(error)}")
    told = tuple((name, given[name][0]) for name in sorted(given.keys() - {"state", "code"}) if len(given[name]) == 1)
    return Code(code, told) if code else Foreign("it has no code")


def pasted(text: str, made: Proof) -> Answer:
    """Read an address that a person copied from the browser."""
    try:
        query = urlsplit(text.strip()).query
    except ValueError:
        query = ""
    return answer(query, made) if query else Foreign("it is no address with an answer in it")


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _word(text: str) -> str:
    known = text if len(text) <= 60 and text.isascii() and text.replace("_", "").isalnum() else "of an unknown kind"
    return f"`{known}`"
