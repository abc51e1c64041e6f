"""Who sent a delivery: a push channel that knows our token, or Pub/Sub with a token signed by Google.

Google has no push for contacts: such deliveries come from other Google APIs or a bridge of one's own, and say no more
than that there may be news. Channels: https://developers.google.com/calendar/api/guides/push; Pub/Sub:
https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from services.connectors.google_contacts.certificate import PUBSUB, Keys
from services.contracts.app import Delivery, Reading, Rejected, Wake

SKEW = 60.0
"""Seconds by which Google's clock and ours may differ."""
LONGEST = 86_400.0
"""Seconds that a token may be good for; Google's are for an hour."""
ISSUERS = ("accounts.google.com", "https://accounts.google.com")
NO_NEWS = "sync"
STATES = (NO_NEWS, "exists", "not_exists")
_CHANNEL = re.compile(r"[A-Za-z0-9\-_+/=]{1,64}\Z")
_MOST = 8192
"""Characters of a token; Google's have about a thousand."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str
    iat: float
    exp: float
    email: str
    email_verified: bool


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    message_id: str


class _Push(msgspec.Struct, frozen=True):
    message: _Message
    subscription: str


def is_signed(delivery: Delivery, secrets: Sequence[str]) -> bool:
    """Whether Google's keys are needed to verify the delivery: it has a token, and a subscription is known."""
    return _authorized(delivery) and any(secret.startswith(PUBSUB) for secret in secrets)


def verify(delivery: Delivery, secrets: Sequence[str], now: float, keys: Keys) -> Rejected | None:
    """Return None if the delivery comes from whom one of the secrets names. `now` is in unix seconds.

    `keys` are Google's by id. A secret is a channel's token, or `pubsub:` with a service account's e-mail and the
    audience.
    """
    usable = [secret for secret in secrets if secret.strip()]
    if not usable:
        return _rejected("this account has no webhook_secrets: add the channel's token or the pubsub: line")
    if _authorized(delivery):
        pushes = [secret.removeprefix(PUBSUB) for secret in usable if secret.startswith(PUBSUB)]
        return _pushed(delivery, pushes, now, keys)
    tokens = [secret for secret in usable if not secret.startswith(PUBSUB)]
    return _channelled(delivery, tokens)


def read(delivery: Delivery) -> tuple[Reading, ...] | Wake | Rejected:
    """Return that a poll would find something: a notification names no contact. A new channel's first has no news."""
    if _authorized(delivery):
        push = _push(delivery)
        return push if isinstance(push, Rejected) else Wake()
    return () if delivery.header("x-goog-resource-state") == NO_NEWS else Wake()


def _authorized(delivery: Delivery) -> bool:
    return any(name == "authorization" for name, _ in delivery.headers)


def _channelled(delivery: Delivery, tokens: Sequence[str]) -> Rejected | None:
    given = (delivery.header("x-goog-channel-token") or "").encode("utf-8", "surrogateescape")
    known = False
    for token in tokens:
        known |= hmac.compare_digest(token.encode(), given)
    if not given or not known:
        return _rejected("the X-Goog-Channel-Token is none of this account's webhook_secrets")
    if not _CHANNEL.match(delivery.header("x-goog-channel-id") or ""):
        return _rejected("the X-Goog-Channel-ID is missing or none of Google's form")
    if delivery.header("x-goog-resource-state") not in STATES:
        return _rejected("the X-Goog-Resource-State is missing or unknown")
    return None


def _pushed(delivery: Delivery, pushes: Sequence[str], now: float, keys: Keys) -> Rejected | None:
    scheme, _, token = (delivery.header("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or len(token) > _MOST:
        return _rejected("the Authorization header holds no bearer token")
    claims = _claims(token.strip(), keys)
    if isinstance(claims, Rejected):
        return claims
    known = False
    for each in pushes:
        email, _, audience = each.partition(":")
        same = hmac.compare_digest(email.encode(), claims.email.encode())
        known |= same & hmac.compare_digest(audience.encode(), claims.aud.encode())
    if claims.iss not in ISSUERS or not claims.email_verified or not known:
        return _rejected("the token is signed by Google, but for another audience or service account")
    if not (claims.iat - SKEW <= now < claims.exp + SKEW) or not 0 < claims.exp - claims.iat <= LONGEST:
        return Rejected(
            code="timestamp", reason="the token has expired or isn't valid yet: is one of the clocks wrong?"
        )
    push = _push(delivery)
    return push if isinstance(push, Rejected) else None


def _claims(token: str, keys: Keys) -> _Claims | Rejected:
    """Return what a token says, once its signature is checked: RS256 by one of Google's keys, nothing else."""
    head, _, rest = token.partition(".")
    payload, _, signature = rest.partition(".")
    try:
        header = msgspec.json.decode(_bytes(head), type=_Header)
        signed = _bytes(signature)
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        return _rejected("the token can't be read")
    if header.alg != "RS256":
        return _rejected("the token isn't signed with RS256")
    key = keys.get(header.kid)
    if key is None:
        return _rejected("the token is signed with a key that isn't Google's")
    try:
        key.verify(signed, f"{head}.{payload}".encode(), PKCS1v15(), SHA256())
        return msgspec.json.decode(_bytes(payload), type=_Claims)
    except InvalidSignature:
        return _rejected("the token's signature is wrong")
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        return _rejected("the token lacks the claims of a Pub/Sub push: let the subscription send an e-mail claim")


def _push(delivery: Delivery) -> _Push | Rejected:
    try:
        return msgspec.json.decode(delivery.body, type=_Push)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Rejected(code="json", reason="the body isn't Pub/Sub's: a message and its subscription are expected")


def _bytes(text: str) -> bytes:
    """Decode base64url without padding. Raises `ValueError` for anything else, other alphabets included."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("not base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _rejected(reason: str) -> Rejected:
    return Rejected(code="signature", reason=reason)
