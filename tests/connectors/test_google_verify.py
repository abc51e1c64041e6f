"""Deliveries: push channels and Pub/Sub pushes, accepted from whom the account's secrets name."""

import asyncio
import base64
import importlib.util
import json
from typing import Any

import msgspec
import pytest

from services.connectors.google_contacts.certificate import Certificates
from services.connectors.google_contacts.contacts import GoogleContacts
from services.connectors.google_contacts.sandbox import Drop, Fail, Push
from services.connectors.google_contacts.sandbox.journal import Received
from services.contracts.app import Delivery, Rejected, Trouble, Wake
from tests.connectors.google_rig import BASE, PUSH_SECRET, Office, must, pushed

NOW = 1_767_225_600.0
TOKEN = "channel-token-0123456789"
GOOGLE = GoogleContacts(Certificates(Push().certificates))
CHANNEL = {
    "x-goog-channel-id": "4ba78bf0-6a47-11e2-bcfd-0800200c9a66",
    "x-goog-channel-token": TOKEN,
    "x-goog-resource-id": "o3hgv1538sdjfh",
    "x-goog-resource-state": "exists",
    "x-goog-message-number": "10",
}


def channelled(**changed: str | None) -> Delivery:
    headers = {**CHANNEL, **{name.replace("_", "-"): value for name, value in changed.items()}}
    rows = tuple((name, value) for name, value in headers.items() if value is not None)
    return Delivery(account="office", headers=rows, body=b"", received=0)


def signed(now: float = NOW, header: dict[str, Any] | None = None, number: int = 0, **claims: Any) -> Delivery:
    push = Push(number)
    return pushed(now, token=push.token(push.claims(now, **claims), **(header or {})))


@pytest.mark.parametrize("state", ["sync", "exists", "not_exists"])
@pytest.mark.parametrize("secrets", [(TOKEN,), ("an-older-token-012345", TOKEN), (PUSH_SECRET, TOKEN)])
def test_a_channel_that_knows_our_token_is_accepted_and_wakes_the_poller(state: str, secrets: tuple[str, ...]) -> None:
    delivery = channelled(x_goog_resource_state=state)
    assert GOOGLE.verify(delivery, secrets, NOW) is None
    assert GOOGLE.read(delivery) == (() if state == "sync" else Wake())


@pytest.mark.parametrize(
    ("changed", "secrets"),
    [
        ({}, ()),
        ({}, ("",)),
        ({}, ("another-token-0123456",)),
        ({}, (PUSH_SECRET,)),
        ({"x_goog_channel_token": None}, (TOKEN,)),
        ({"x_goog_channel_token": ""}, (TOKEN, " ")),
        ({"x_goog_channel_token": TOKEN[:-1]}, (TOKEN,)),
        ({"x_goog_channel_token": TOKEN + " "}, (TOKEN,)),
        ({"x_goog_channel_token": PUSH_SECRET}, (PUSH_SECRET,)),
        ({"x_goog_channel_token": "\udcff"}, (TOKEN,)),
        ({"x_goog_channel_id": None}, (TOKEN,)),
        ({"x_goog_channel_id": "x" * 65}, (TOKEN,)),
        ({"x_goog_resource_state": None}, (TOKEN,)),
        ({"x_goog_resource_state": "deleted"}, (TOKEN,)),
    ],
)
def test_any_other_channel_is_rejected(changed: dict[str, str | None], secrets: tuple[str, ...]) -> None:
    assert must(GOOGLE.verify(channelled(**changed), secrets, NOW), Rejected).code == "signature"


def test_a_token_given_twice_is_rejected() -> None:
    delivery = channelled()
    twice = msgspec.structs.replace(delivery, headers=(*delivery.headers, ("x-goog-channel-token", TOKEN)))
    must(GOOGLE.verify(twice, (TOKEN,), NOW), Rejected)


def test_a_push_signed_by_google_for_us_is_accepted_and_wakes_the_poller() -> None:
    delivery = signed()
    assert GOOGLE.verify(delivery, (TOKEN, PUSH_SECRET), NOW) is None
    assert GOOGLE.read(delivery) == Wake()


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "https://elsewhere.example.com"}, "signature"),
        ({"aud": None}, "signature"),
        ({"aud": [Push.audience]}, "signature"),
        ({"iss": "https://accounts.example.com"}, "signature"),
        ({"iss": None}, "signature"),
        ({"email": "push@other.iam.gserviceaccount.com"}, "signature"),
        ({"email": None}, "signature"),
        ({"email_verified": False}, "signature"),
        ({"email_verified": "true"}, "signature"),
        ({"email_verified": None}, "signature"),
        ({"exp": int(NOW) - 61, "iat": int(NOW) - 3600}, "timestamp"),
        ({"iat": int(NOW) + 61}, "timestamp"),
        ({"exp": int(NOW) + 90_000}, "timestamp"),
        ({"exp": None}, "signature"),
    ],
)
def test_a_push_with_another_claim_is_rejected(claims: dict[str, Any], code: str) -> None:
    assert must(GOOGLE.verify(signed(**claims), (PUSH_SECRET,), NOW), Rejected).code == code


@pytest.mark.parametrize("skew", [-59, 59])
def test_clocks_may_differ_by_a_minute(skew: int) -> None:
    delivery = signed(iat=int(NOW) + skew, exp=int(NOW) + skew + 30)
    assert GOOGLE.verify(delivery, (PUSH_SECRET,), NOW) is None


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"kid": "another"}, {"kid": None}, {"alg": 1}])
def test_a_push_with_another_algorithm_or_key_is_rejected(header: dict[str, Any]) -> None:
    must(GOOGLE.verify(signed(header=header), (PUSH_SECRET,), NOW), Rejected)


def test_a_push_signed_by_somebody_else_is_rejected() -> None:
    assert "wrong" in must(GOOGLE.verify(signed(number=1), (PUSH_SECRET,), NOW), Rejected).reason


@pytest.mark.parametrize("bearer", ["", "x", "a.b.c", "..", "e30.e30.e30", "é.b.c", "x" * 9000])
def test_a_token_that_is_none_is_rejected(bearer: str) -> None:
    delivery = msgspec.structs.replace(signed(), headers=(("authorization", f"Bearer {bearer}"),))
    must(GOOGLE.verify(delivery, (PUSH_SECRET,), NOW), Rejected)
    basic = msgspec.structs.replace(signed(), headers=(("authorization", "Basic YTpi"),))
    must(GOOGLE.verify(basic, (PUSH_SECRET,), NOW), Rejected)


def test_each_changed_character_of_a_token_is_noticed() -> None:
    push = Push()
    token = push.token(push.claims(NOW))
    for at in range(0, len(token), 7):
        other = "A" if token[at] != "A" else "B"
        delivery = pushed(NOW, token=token[:at] + other + token[at + 1 :])
        # The last character of a base64 part holds bits that mean nothing.
        if token[at + 1 : at + 2] not in {"", "."}:
            must(GOOGLE.verify(delivery, (PUSH_SECRET,), NOW), Rejected)


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"message":{},"subscription":"s"}', b"[" * 10_000])
def test_a_push_with_another_body_is_rejected(body: bytes) -> None:
    delivery = msgspec.structs.replace(signed(), body=body)
    assert must(GOOGLE.verify(delivery, (PUSH_SECRET,), NOW), Rejected).code == "json"
    assert must(GOOGLE.read(delivery), Rejected).code == "json"


def test_without_certificates_no_push_is_accepted() -> None:
    must(GoogleContacts().verify(signed(), (PUSH_SECRET,), NOW), Rejected)
    broken = Certificates({"sandbox-key": "no PEM"})
    must(GoogleContacts(broken).verify(signed(), (PUSH_SECRET,), NOW), Rejected)


async def test_certificates_are_fetched_once_for_all_who_wait_and_again_when_they_have_aged() -> None:
    async with Office() as office:
        access = office.access(secrets=(PUSH_SECRET,))
        answers = await asyncio.gather(*(office.app.prepare(access, signed()) for _ in range(20)))
        assert answers == [None] * 20
        assert office.app.verify(signed(), (PUSH_SECRET,), NOW) is None
        office.clock.advance(3599)
        assert await office.app.prepare(access, signed()) is None
        assert len(asked(office)) == 1
        office.clock.advance(2)
        assert await office.app.prepare(access, signed()) is None
        assert len(asked(office)) == 2


@pytest.mark.parametrize(
    ("told", "lifetime"), [("public, max-age=120", 120), ("max-age=0", 60), ("max-age=999999999", 86_400), ("", 3600)]
)
async def test_certificates_count_as_long_as_their_answer_says_within_reason(told: str, lifetime: int) -> None:
    async with Office() as office:
        body = json.dumps(Push().certificates).encode()
        office.box.faults.add(Fail(200, body, headers={"cache-control": told}), "GET", "/certs")
        access = office.access(secrets=(PUSH_SECRET,))
        for seconds, fetched in ((0, 1), (lifetime - 1, 1), (1, 2)):
            office.clock.advance(seconds)
            assert await office.app.prepare(access, signed()) is None
            assert len(asked(office)) == fetched


@pytest.mark.parametrize(
    "answer", [Fail(500, b""), Fail(200, b"{}"), Fail(200, b'{"a":1}'), Fail(200, b"\xff"), Drop(True)]
)
async def test_certificates_that_cant_be_had_are_trouble_and_asked_for_again_after_a_pause(answer: Fail | Drop) -> None:
    async with Office() as office:
        access = office.access(secrets=(PUSH_SECRET,))
        office.box.faults.add(answer, "GET", "/certs")
        for _ in range(5):
            assert must(await office.app.prepare(access, signed()), Trouble).retry_after == 5
        assert len(asked(office)) == 1
        office.clock.advance(5)
        assert await office.app.prepare(access, signed()) is None
        # What is past its lifetime doesn't count, even if nothing newer can be had.
        office.clock.advance(3600)
        office.box.faults.add(answer, "GET", "/certs")
        must(await office.app.prepare(access, signed()), Trouble)


async def test_certificates_are_only_asked_for_where_a_token_is_to_be_checked() -> None:
    async with Office() as office:
        assert await office.app.prepare(office.access(secrets=(PUSH_SECRET,)), channelled()) is None
        assert await office.app.prepare(office.access(secrets=(TOKEN,)), signed()) is None
        assert asked(office) == []


async def test_an_account_believes_only_the_certificates_of_its_own_address() -> None:
    async with Office() as office:
        assert await office.app.prepare(office.access(secrets=(PUSH_SECRET,)), signed()) is None
        other = msgspec.structs.replace(signed(), account="other")
        assert "isn't Google's" in must(office.app.verify(other, (PUSH_SECRET,), NOW), Rejected).reason
        body = json.dumps(Push(1).certificates).encode()
        office.box.faults.add(Fail(200, body), "GET", "/other/certs")
        access = office.access(account="other", base=f"{BASE}/other", secrets=(PUSH_SECRET,))
        assert await office.app.prepare(access, other) is None
        must(office.app.verify(other, (PUSH_SECRET,), NOW), Rejected)
        assert office.app.verify(signed(), (PUSH_SECRET,), NOW) is None


def asked(office: Office) -> list[Received]:
    return office.box.requests.to("GET", "/certs")


@pytest.mark.skipif(importlib.util.find_spec("google") is None, reason="google-auth isn't installed")
def test_googles_own_library_signs_what_we_accept_and_accepts_what_the_sandbox_signs() -> None:
    crypt: Any = pytest.importorskip("google.auth.crypt", reason="google-auth isn't installed")
    jwt: Any = pytest.importorskip("google.auth.jwt", reason="google-auth isn't installed")
    push = Push()
    signer = crypt.RSASigner.from_string(push.private_key, "sandbox-key")
    token = jwt.encode(signer, push.claims(NOW)).decode()
    assert GOOGLE.verify(pushed(NOW, token=token), (PUSH_SECRET,), NOW) is None
    ours = push.token(push.claims(NOW))
    head, payload, signature = ours.split(".")
    assert json.loads(json.dumps(jwt.decode(ours, verify=False))) == push.claims(NOW)
    certificates = list(push.certificates.values())
    assert crypt.verify_signature(f"{head}.{payload}".encode(), _bytes(signature), certificates)


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
