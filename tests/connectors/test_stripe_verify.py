"""The signature check of Stripe's webhooks, against cases and against Stripe's own library."""

import hashlib
import hmac
import string
import time

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from services.connectors.stripe.app import APP
from services.contracts.app import Delivery, Rejected

NOW = 1_790_000_000
SECRET = "whsec_one"
OTHER = "whsec_two"
BODY = '{"id":"evt_1","name":"Zoë"}'.encode()


def signature(body: bytes = BODY, secret: str = SECRET, at: int | str = NOW) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def delivery(*headers: str, body: bytes = BODY) -> Delivery:
    given_headers = tuple(("stripe-signature", header) for header in headers)
    return Delivery(account="shop", headers=(("host", "x"), *given_headers), body=body, received=0)


GOOD = f"t={NOW},v1={signature()}"


@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        f"v1={signature()},t={NOW}",
        f"t={NOW},v1={'0' * 64},v1={signature()}",
        f"t={NOW},v1={signature()},v1={'0' * 64}",
        f"t={NOW},v1={signature(secret=OTHER)},v1={signature()}",
        f"t={NOW},v0=whatever,v1={signature()},v9=,nonsense",
    ],
    ids=["plain", "reordered", "second_fits", "first_fits", "rolled", "other_schemes"],
)
def test_verify_accepts_signed(header: str) -> None:
    assert APP.verify(delivery(header), [SECRET], NOW) is None


def test_any_of_several_secrets_verifies() -> None:
    for secrets in ([SECRET, OTHER], [OTHER, SECRET], ["", SECRET]):
        assert APP.verify(delivery(GOOD), secrets, NOW) is None


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ((), "not signed"),
        ((GOOD, GOOD), "twice"),
        (("",), "readable time"),
        (("garbage",), "readable time"),
        ((f"t=,v1={signature()}",), "readable time"),
        ((f"t=soon,v1={signature()}",), "readable time"),
        ((f"t=-5,v1={signature(at=-5)}",), "readable time"),
        ((f"t=1e9,v1={signature(at='1e9')}",), "readable time"),
        ((f"t={'9' * 5000},v1={signature()}",), "readable time"),
        ((f"t={NOW},t={NOW},v1={signature()}",), "readable time"),
        ((f"t={NOW}",), "no v1"),
        ((f"t={NOW},v0={signature()}",), "no v1"),
        ((f"t={NOW},v1=",), "no signature fits"),
        ((f"t={NOW},v1={signature()[:-1]}",), "no signature fits"),
        ((f"t={NOW},v1={signature().upper()}",), "no signature fits"),
        ((f"t={NOW},v1=\xe9\udcff",), "no signature fits"),
        ((f"t={NOW + 1},v1={signature()}",), "no signature fits"),
        ((f"t={NOW},v1={signature(secret=OTHER)}",), "no signature fits"),
    ],
)
def test_verify_rejects_what_is_not_signed_properly(headers: tuple[str, ...], said: str) -> None:
    rejected = APP.verify(delivery(*headers), [SECRET], NOW)
    assert rejected is not None
    assert rejected.code == "signature"
    assert said in rejected.reason


def test_verify_rejects_tampered() -> None:
    for at in range(len(BODY)):
        body = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
        rejected = APP.verify(delivery(GOOD, body=body), [SECRET], NOW)
        assert rejected is not None


@pytest.mark.parametrize("secrets", [[], [""], [" \t"]])
def test_an_account_without_secret_takes_nothing(secrets: list[str]) -> None:
    empty = f"t={NOW},v1={signature(secret=secrets[0] if secrets else '')}"
    rejected = APP.verify(delivery(empty), secrets, NOW)
    assert isinstance(rejected, Rejected)
    assert "webhook_secrets" in rejected.reason


@pytest.mark.parametrize("apart", [-301, -3600, 301, 3600, 10**9])
def test_verify_rejects_stale_and_future(apart: int) -> None:
    header = f"t={NOW + apart},v1={signature(at=NOW + apart)}"
    rejected = APP.verify(delivery(header), [SECRET], NOW)
    assert rejected is not None
    assert rejected.code == "timestamp"
    assert ("future" in rejected.reason) == (apart > 0)


@pytest.mark.parametrize("apart", [-300, 0, 300])
def test_verify_tolerates_five_minutes_either_way(apart: int) -> None:
    header = f"t={NOW + apart},v1={signature(at=NOW + apart)}"
    assert APP.verify(delivery(header), [SECRET], NOW) is None


def test_a_time_that_is_no_number_is_never_fresh() -> None:
    rejected = APP.verify(delivery(GOOD), [SECRET], float("nan"))
    assert rejected is not None
    assert rejected.code == "timestamp"


def test_a_body_that_is_not_utf_8_is_judged_by_its_bytes() -> None:
    body = b"\xff\xfe\x00"
    assert APP.verify(delivery(f"t={NOW},v1={signature(body)}", body=body), [SECRET], NOW) is None


def oracle(body: bytes, header: str, secret: str, tolerance: int) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, header, secret, tolerance)
    except stripe.SignatureVerificationError:
        return False
    return True


items = st.one_of(
    st.tuples(st.sampled_from(["v1", "v0", "t", " v1", ""]), st.text(string.hexdigits + "=- ", max_size=8)),
    st.just(("good", "")),
    st.just(("other", "")),
)


@settings(deadline=None)
@given(
    body=st.text(max_size=60).map(str.encode),
    age=st.integers(-250, 900),
    extra=st.lists(items, max_size=4),
)
def test_verify_agrees_with_stripes_own_library(body: bytes, age: int, extra: list[tuple[str, str]]) -> None:
    now = int(time.time())
    at = now - age
    made = {"good": signature(body, at=at), "other": signature(body, OTHER, at=at)}
    parts = [f"v1={made[name]}" if name in made else f"{name}={value}" for name, value in extra]
    header = ",".join([f"t={at}", *parts])
    # The library reads the first of two times; two are refused here.
    if any(name == "t" for name, _ in extra):
        assert APP.verify(delivery(header, body=body), [SECRET], now) is not None
    elif abs(age - 300) > 30:
        accepted = APP.verify(delivery(header, body=body), [SECRET], now) is None
        assert accepted == oracle(body, header, SECRET, 300)
        both = APP.verify(delivery(header, body=body), [OTHER, SECRET], now) is None
        assert both == (accepted or oracle(body, header, OTHER, 300))


@settings(deadline=None)
@given(header=st.text(max_size=200), body=st.binary(max_size=50))
def test_no_header_makes_it_raise(header: str, body: bytes) -> None:
    assert APP.verify(delivery(header, body=body), [SECRET], NOW) is not None
