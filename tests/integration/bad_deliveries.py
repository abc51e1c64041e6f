"""Deliveries as an attacker, a broken sender or a proxy makes them, and what each is to be answered with."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.connectors.google_contacts.sandbox import Push
from tests.connectors.google_rig import PUSH_SECRET
from tests.integration.hooks_rig import LIMIT, SECRET, event, signature

TOKEN = "channel-token-of-the-office"
CHANNEL = {
    "X-Goog-Channel-ID": "4ba78bf0-6a47-11e2-bcfd-0800200c9a66",
    "X-Goog-Channel-Token": TOKEN,
    "X-Goog-Resource-ID": "o3hgv1538sdjfh",
    "X-Goog-Resource-State": "exists",
}
GOOD = event()
PUSH = Push()
PEM = next(iter(PUSH.certificates.values()))
MAIL = "ada@example.org"
UNANSWERED = 0

Headers = Mapping[str, str | Sequence[str] | None]


class Case(NamedTuple):
    """What goes over the wire, and the answer's status and code (none where the server itself answers)."""

    raw: bytes
    status: int
    code: str | None
    end: bool = False
    """The sender ends its side behind it."""


def wire(path: str, headers: Headers, body: bytes, method: str = "POST") -> bytes:
    """A request. A header of None is left out, one of several values is repeated."""
    given: dict[str, str | Sequence[str] | None] = {"Host": "ingest.test", "Content-Length": str(len(body))}
    rows = []
    for name, value in ({**given, **headers, "Connection": "close"}).items():
        rows += [f"{name}: {each}" for each in ([value] if isinstance(value, str) else value or ())]
    return "\r\n".join((f"{method} {path} HTTP/1.1", *rows, "", "")).encode("latin-1") + body


def stripe(
    status: int,
    code: str | None,
    body: bytes = GOOD,
    *,
    to: str = "/hooks/shop",
    method: str = "POST",
    how: dict[str, Any] | None = None,
    headers: Headers | None = None,
) -> Case:
    """A good delivery of Stripe's, but for what is given."""
    good = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature(body, **(how or {}))}
    return Case(wire(to, {**good, **(headers or {})}, body, method), status, code)


def channel(
    status: int, code: str, body: bytes = b"", *, to: str = "/hooks/office", headers: Headers | None = None
) -> Case:
    """A good notification of a push channel, but for what is given."""
    return Case(wire(to, {**CHANNEL, **(headers or {})}, body), status, code)


def push(
    status: int,
    code: str,
    token: str | None = None,
    *,
    body: bytes | None = None,
    to: str = "/hooks/office",
    headers: Headers | None = None,
    **claims: Any,
) -> Case:
    """A good push of Pub/Sub's, but for what is given."""
    bearer = PUSH.token(PUSH.claims(now(), **claims)) if token is None else token
    good = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
    return Case(wire(to, {**good, **(headers or {})}, PUSH.message() if body is None else body), status, code)


def now() -> int:
    return int(time.time())


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def mac(header: dict[str, Any], key: bytes) -> str:
    """A token signed with a shared secret."""
    signed = f"{part(header)}.{part(PUSH.claims(now()))}"
    return f"{signed}.{part(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def altered(**changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(GOOD) | changes)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


RS256 = {"alg": "RS256", "kid": "sandbox-key", "typ": "JWT"}


def stripe_cases() -> dict[str, Case]:
    return {
        "unsigned": stripe(400, "signature", headers={"Stripe-Signature": None}),
        "signed with a secret of nobody's": stripe(400, "signature", how={"secret": "whsec_of_somebody_else"}),
        "signed with another account's secret": stripe(400, "signature", how={"secret": TOKEN}),
        "signed with nothing": stripe(400, "signature", how={"secret": ""}),
        "for an account without secrets": stripe(400, "signature", to="/hooks/bare"),
        "forged": stripe(400, "signature", altered(id="evt_2"), headers={"Stripe-Signature": signature(GOOD)}),
        "truncated": stripe(400, "signature", GOOD[:-9], headers={"Stripe-Signature": signature(GOOD)}),
        "truncated by its signer": stripe(400, "json", GOOD[:-9]),
        "continued by another": stripe(400, "json", GOOD + GOOD),
        "replayed after an hour": stripe(400, "timestamp", how={"at": now() - 3600}),
        "dated in an hour": stripe(400, "timestamp", how={"at": now() + 3600}),
        "dated far away": stripe(400, "timestamp", how={"at": 999_999_999_999}),
        "dated twice": stripe(400, "signature", headers={"Stripe-Signature": f"t={now()}," + signature(GOOD)}),
        "dated with another script's digits": stripe(400, "signature", headers={"Stripe-Signature": "t=²,v1=00"}),
        "signed by its body alone": stripe(
            400,
            "signature",
            headers={"Stripe-Signature": f"t={now()},v1={hmac.new(SECRET.encode(), GOOD, hashlib.sha256).hexdigest()}"},
        ),
        "a signature that is no hex": stripe(400, "signature", headers={"Stripe-Signature": f"t={now()},v1=ÿþ"}),
        "ten thousand signatures": stripe(
            400, "signature", headers={"Stripe-Signature": f"t={now()}" + ",v1=00" * 10_000}
        ),
        "the header twice": stripe(400, "signature", headers={"Stripe-Signature": (signature(GOOD), signature(GOOD))}),
        "two content types": stripe(415, "content_type", headers={"Content-Type": ("application/json", "text/html")}),
        "no content type": stripe(415, "content_type", headers={"Content-Type": None}),
        "a form": stripe(415, "content_type", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        "declared as Latin-1": stripe(415, "content_type", headers={"Content-Type": "application/json;charset=latin1"}),
        "declared as UTF-16": stripe(
            415, "content_type", headers={"Content-Type": 'application/json; charset="utf-16"'}
        ),
        "really Latin-1": stripe(400, "encoding", GOOD.replace(b"ada", "adä".encode("latin-1"))),
        "really UTF-16": stripe(400, "encoding", GOOD.decode().encode("utf-16")),
        "half a surrogate pair": stripe(400, "encoding", GOOD.replace(b"ada", b"\xed\xa0\x80")),
        "compressed": stripe(415, "content_encoding", headers={"Content-Encoding": "gzip"}),
        "compressed twice": stripe(415, "content_encoding", headers={"Content-Encoding": ("identity", "br")}),
        "empty": stripe(400, "json", b""),
        "nested deeply": stripe(400, "json", nested(600)),
        "nested deeply in its object": stripe(400, "json", altered(data={"object": [[[[[]]]]]})),
        "a number beyond all": stripe(400, "json", GOOD.replace(b'"created":', b'"created":1e999,"x":')),
        "an id that breaks lines": stripe(400, "json", altered(id="evt_1\r\nX: y")),
        "an id beyond all": stripe(400, "json", altered(id="e" * 2000)),
        "no object": stripe(400, "json", altered(data=None)),
        "oversized": stripe(413, "size", b" " * (LIMIT + 1)),
        "a channel's notification": channel(415, "content_type", to="/hooks/shop"),
        "Pub/Sub's push": push(400, "signature", to="/hooks/shop"),
    }


def channel_cases() -> dict[str, Case]:
    return {
        "no token": channel(400, "signature", headers={"X-Goog-Channel-Token": None}),
        "an empty token": channel(400, "signature", headers={"X-Goog-Channel-Token": ""}),
        "half a token": channel(400, "signature", headers={"X-Goog-Channel-Token": TOKEN[:-1]}),
        "more than a token": channel(400, "signature", headers={"X-Goog-Channel-Token": TOKEN + "x"}),
        "another account's token": channel(400, "signature", to="/hooks/elsewhere"),
        "an account without secrets": channel(400, "signature", to="/hooks/unheard"),
        "the subscription as a token": channel(400, "signature", headers={"X-Goog-Channel-Token": PUSH_SECRET}),
        "a token that is no text": channel(400, "signature", headers={"X-Goog-Channel-Token": "ÿþ"}),
        "the token twice": channel(400, "signature", headers={"X-Goog-Channel-Token": (TOKEN, TOKEN)}),
        "no channel": channel(400, "signature", headers={"X-Goog-Channel-ID": None}),
        "a channel beyond all": channel(400, "signature", headers={"X-Goog-Channel-ID": "x" * 65}),
        "a channel that is code": channel(400, "signature", headers={"X-Goog-Channel-ID": "<script>"}),
        "no state": channel(400, "signature", headers={"X-Goog-Resource-State": None}),
        "a state that isn't": channel(400, "signature", headers={"X-Goog-Resource-State": "deleted"}),
        "two states": channel(400, "signature", headers={"X-Goog-Resource-State": ("exists", "sync")}),
        "an oversized body": channel(413, "size", b"x" * (LIMIT + 1)),
        "a compressed body": channel(415, "content_encoding", b"x", headers={"Content-Encoding": "zstd"}),
        "a token beside a login": channel(400, "signature", headers={"Authorization": "Basic YTpi"}),
        "Stripe's webhook": stripe(400, "signature", to="/hooks/office"),
    }


def push_cases() -> dict[str, Case]:
    token = PUSH.token(PUSH.claims(now()))
    head, payload, seal = token.split(".")
    return {
        "no token": push(400, "signature", ""),
        "a token that is none": push(400, "signature", "token"),
        "two parts": push(400, "signature", f"{head}.{payload}"),
        "four parts": push(400, "signature", f"{head}.{payload}.{seal}.{seal}"),
        "a token beyond all": push(400, "signature", f"{head}.{payload}.{seal * 40}"),
        "base64 of the other alphabet": push(400, "signature", f"{head}.{payload}.{seal[:-2]}+/"),
        "base64 with padding": push(400, "signature", f"{head}.{payload}.{seal}=="),
        "base64 that is cut": push(400, "signature", f"{head}.{payload}.{seal[:-1]}"),
        "base64 of no text": push(400, "signature", f"ÿþ.{payload}.{seal}"),
        "no signature": push(400, "signature", f"{head}.{payload}."),
        "alg none": push(400, "signature", f"{part({**RS256, 'alg': 'none'})}.{payload}."),
        "alg None, signed": push(400, "signature", f"{part({**RS256, 'alg': 'None'})}.{payload}.{seal}"),
        "HS256 with the certificate": push(400, "signature", mac({**RS256, "alg": "HS256"}, PEM.encode())),
        "RS256 said, HS256 done": push(400, "signature", mac(RS256, PEM.encode())),
        "another algorithm": push(400, "signature", PUSH.token(PUSH.claims(now()), alg="RS512")),
        "a list of algorithms": push(400, "signature", PUSH.token(PUSH.claims(now()), alg=["RS256"])),
        "no key": push(400, "signature", PUSH.token(PUSH.claims(now()), kid=None)),
        "a key that isn't Google's": push(400, "signature", PUSH.token(PUSH.claims(now()), kid="../../etc/passwd")),
        "a key of its own": push(400, "signature", Push(1).token(PUSH.claims(now()), jwk={"kty": "RSA", "e": "AQAB"})),
        "a head nested deeply": push(400, "signature", f"{part(nested(600))}.{payload}.{seal}"),
        "signed by somebody else": push(400, "signature", Push(1).token(PUSH.claims(now()))),
        "another payload": push(400, "signature", f"{head}.{part(PUSH.claims(now(), sub='1'))}.{seal}"),
        "claims that are a list": push(400, "signature", PUSH.token([])),  # type: ignore[arg-type]
        "expired": push(400, "timestamp", iat=now() - 7200, exp=now() - 3600),
        "issued in an hour": push(400, "timestamp", iat=now() + 3600, exp=now() + 7200),
        "good for a year": push(400, "timestamp", exp=now() + 31_536_000),
        "expired before it was issued": push(400, "timestamp", iat=now() + 30, exp=now() + 20),
        "no expiry": push(400, "signature", exp=None),
        "an expiry in words": push(400, "signature", exp="tomorrow"),
        "another audience": push(400, "signature", aud="https://sync.example.com/hooks/elsewhere"),
        "several audiences": push(400, "signature", aud=[Push.audience]),
        "another issuer": push(400, "signature", iss="https://accounts.google.com.example.net"),
        "no issuer": push(400, "signature", iss=None),
        "another e-mail": push(400, "signature", email="push@other.iam.gserviceaccount.com"),
        "an unverified e-mail": push(400, "signature", email_verified=False),
        "an e-mail verified in words": push(400, "signature", email_verified="true"),
        "no e-mail": push(400, "signature", email=None),
        "another account's": push(400, "signature", to="/hooks/elsewhere"),
        "to an account of channels only": push(400, "signature", to="/hooks/channels"),
        "the login twice": push(400, "signature", headers={"Authorization": (f"Bearer {head}", f"Bearer {head}")}),
        "another scheme": push(400, "signature", headers={"Authorization": f"Basic {token}"}),
        "no body": push(400, "json", body=b""),
        "half a body": push(400, "json", body=PUSH.message()[:-5]),
        "another body": push(400, "json", body=GOOD),
        "a body that is no UTF-8": push(400, "json", body=PUSH.message().replace(b"projects", b"\xff\xfe")),
        "a body nested deeply": push(400, "json", body=nested(600)),
        "an oversized body": push(413, "size", body=b" " * (LIMIT + 1)),
    }


def framed(body: bytes, *framing: str) -> bytes:
    """A good delivery of Stripe's under a framing of its own."""
    rows = ("Host: ingest.test", "Content-Type: application/json", f"Stripe-Signature: {signature(GOOD)}", *framing)
    return "\r\n".join(("POST /hooks/shop HTTP/1.1", *rows, "Connection: close", "", "")).encode() + body


CHUNKED = "Transfer-Encoding: chunked"


def odd_cases() -> dict[str, Case]:
    return {
        "GET": stripe(405, "method", method="GET"),
        "PUT": stripe(405, "method", method="PUT"),
        "OPTIONS": stripe(405, "method", method="OPTIONS"),
        "TRACE": stripe(405, "method", method="TRACE"),
        "a method that isn't": stripe(400, None, method="BREW\x01"),
        "no account": stripe(404, "path", to="/hooks/"),
        "below the account": stripe(404, "path", to="/hooks/shop/"),
        "an account that isn't": stripe(404, "account", to="/hooks/nobody"),
        "an account that is SQL": stripe(404, "account", to="/hooks/shop'%20OR%201=1--"),
        "an account that is no text": stripe(404, "account", to="/hooks/%ff%fe"),
        "an account with a null": stripe(404, "account", to="/hooks/shop%00"),
        "a path that climbs": stripe(404, "path", to="/hooks/../hooks/shop"),
        "a path that climbs in code": stripe(404, "path", to="/hooks/%2e%2e/hooks/shop"),
        "a path beyond all": stripe(404, "account", to="/hooks/" + "a" * 8000),
        "two lengths": Case(framed(GOOD, f"Content-Length: {len(GOOD)}", "Content-Length: 1"), 400, None),
        "a length below nothing": Case(framed(GOOD, "Content-Length: -1"), 400, None),
        "a length in words": Case(framed(GOOD, "Content-Length: all"), 400, None),
        "a length beyond all": Case(framed(b"", "Content-Length: 999999999999"), 413, "size"),
        "a length and chunks": Case(framed(GOOD, f"Content-Length: {len(GOOD)}", CHUNKED), 400, None),
        "chunks of no size": Case(framed(b"all\r\n", CHUNKED), 400, None),
        "chunks beyond all": Case(
            framed(b"fff\r\n" + b" " * 4095 + b"\r\nfff\r\n" + b" " * 4095, CHUNKED), 413, "size"
        ),
        "a body that doesn't come": Case(framed(GOOD[:9], f"Content-Length: {len(GOOD)}"), 408, "slow"),
        "a sender who leaves": Case(framed(GOOD[:9], f"Content-Length: {len(GOOD)}"), UNANSWERED, None, end=True),
        "a header that goes on": Case(framed(b"", "X-Fold: a\r\n b", "Content-Length: 0"), 400, None),
        "a header with a null": Case(framed(b"", "X-Null: a\x00b", "Content-Length: 0"), 400, None),
        "a header without a name": Case(framed(b"", ": a", "Content-Length: 0"), 400, None),
        "TLS": Case(bytes.fromhex("16030100c8010000c40303") + b"\x00" * 50, 400, None),
        "HTTP/2": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, None),
        "nothing": Case(b"", UNANSWERED, None, end=True),
    }


TABLES: Mapping[str, Callable[[], dict[str, Case]]] = {
    "stripe": stripe_cases,
    "google's channels": channel_cases,
    "google's pushes": push_cases,
    "http": odd_cases,
}
"""Tables by name, made when they are needed: signatures age."""
