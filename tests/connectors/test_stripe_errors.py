"""Errors that speak of the account, and hold no secret."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from services.connectors.stripe.app import APP
from services.contracts.app import Trouble
from tests.connectors.stripe_rig import Shop, create, update


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as made:
        yield made


async def test_honours_retry_after(shop: Shop) -> None:
    shop.box.faults.rate_limit(retry_after=3)
    trouble = await shop.write(create(name=("Ada",)))
    assert isinstance(trouble, Trouble)
    assert (trouble.key, trouble.retry_after) == ("rate_limit", 3.0)
    shop.box.faults.lock_timeout()
    trouble = await shop.write(create(name=("Ada",)))
    assert isinstance(trouble, Trouble)
    assert trouble.key == "lock_timeout"
    assert len(shop.box.requests) == 2, "the library must not retry by itself"


async def test_an_account_without_key_asks_nobody(shop: Shop) -> None:
    for key in ("", "sk_test_\n", "sk_test_é"):
        trouble = await APP.write(shop.access(key), create(name=("Ada",)), shop.attempt())
        assert isinstance(trouble, Trouble)
        assert trouble.key == "no_api_key"
    assert len(shop.box.requests) == 0


async def test_never_leaks_secret_in_errors(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = "sk_live_51secret"
    message = f"Invalid API Key provided: {key}"
    bodies: list[Any] = [
        {"error": {"message": message, "type": "invalid_request_error", "code": key, "param": key}},
        {"error": {"message": message, "type": key, "param": f"email[{key}]"}},
        {"error": key},
        message,
    ]
    said: list[str] = []
    for status in (200, 302, 400, 401, 402, 403, 404, 409, 429, 500):
        for body in bodies:
            headers = {"request-id": key, "retry-after": key, "idempotent-replayed": "true"}
            answer = httpx2.Response(status, json=body, headers=headers)
            transport = httpx2.MockTransport(lambda _, answer=answer: answer)
            async with httpx2.AsyncClient(transport=transport) as http:
                access = shop.access(key, http=http)
                outcomes = [
                    await APP.write(access, create(email=("ada@x.org",)), shop.attempt()),
                    await APP.write(access, update("cus_1", {"email": ("ada@x.org",)}), shop.attempt()),
                    await APP.look(access, "cus_1"),
                    await APP.find(access, "ada@x.org"),
                ]
            said += [repr(outcome) for outcome in outcomes]

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout(f"{request.headers['authorization']} {request.url}", request=request)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(fail)) as http:
        access = shop.access(key, http=http)
        said.append(repr(await APP.find(access, "ada@x.org")))
    assert [line for line in said if key in line or "ada@x.org" in line] == []
    stripes = [record.getMessage() for record in caplog.records if record.name == "stripe"]
    assert [line for line in stripes if key in line or "ada@x.org" in line or "ada%40" in line] == []


async def test_reauthorises_on_401(shop: Shop) -> None:
    trouble = await APP.look(shop.access("sk_test_wrong"), "cus_1")
    assert isinstance(trouble, Trouble)
    assert trouble.key == 401
    assert "sk_test" not in trouble.detail
    assert "valid" in trouble.detail
