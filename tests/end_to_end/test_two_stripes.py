"""A whole installation between two Stripe accounts: what a person does on one side comes about on the other, once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.connectors.stripe.sandbox import StripeSandbox, Where
from services.ingest.cursor import scan_again
from tests.end_to_end.two_stripes import SECRETS, House, alike, house, live

TRASH = "PieSync Trash"
CREATE = Where("POST", "/v1/customers")
UPDATE = Where("POST", "/v1/customers/*")


@pytest.fixture
async def home(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database, tmp_path) as made:
        yield made


async def pair(home: House, number: int = 0) -> tuple[str, str]:
    """A customer made on the left, and the one it led to on the right."""
    before = set(home.right.customers)
    left = home.left.dashboard.create(name=f"Ada {number}", email=f"ada{number}@example.com")["id"]
    await home.until(lambda: len(set(home.right.customers) - before) == 1)
    (right,) = set(home.right.customers) - before
    await home.rest()
    return left, right


def shown(sandbox: StripeSandbox, customer: str) -> dict[str, Any]:
    body: dict[str, Any] = sandbox.customers[customer]
    return body


async def nothing_more(home: House, seconds: float = 1.0) -> None:
    """Nothing is written for that long by itself, and nothing when both accounts are read anew."""
    home.forget()
    before = asyncio.get_running_loop().time()
    async with home.installation.store.transaction() as database:
        for account in ("shop", "other"):
            assert await scan_again(database, account)
    ended = "SELECT count(*) FROM ingest.cursor WHERE state = 'live' AND scan_number > 1"
    async with asyncio.timeout(20):
        while await home.installation.store.fetchval(ended) < 2 or quiet_for(before) < seconds:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.05)
    await home.rest()
    assert [home.writes(each) for each in home.both] == [[], []]


def quiet_for(since: float) -> float:
    return asyncio.get_running_loop().time() - since


async def test_the_whole_story_of_a_customer(home: House) -> None:
    left, right = await pair(home)
    assert len(home.writes(home.right)) == 1
    assert not home.writes(home.left)
    home.forget()

    home.left.dashboard.update(left, name="Ada King", phone="+12025550101", description="likes engines")
    await home.until(lambda: shown(home.right, right)["name"] == "Ada King")
    await home.rest()
    assert alike(home)
    home.right.dashboard.update(right, phone="+12025550199")
    await home.until(lambda: shown(home.left, left)["phone"] == "+12025550199")
    await home.rest()
    assert alike(home)
    assert [len(home.writes(each)) for each in home.both] == [1, 1]
    home.forget()

    home.left.dashboard.update(left, description=None, phone=None)
    await home.until(lambda: not shown(home.right, right)["phone"])
    await home.rest()
    assert alike(home)
    assert [len(home.writes(each)) for each in home.both] == [0, 1]
    home.forget()

    home.left.dashboard.delete(left)
    await home.until(lambda: TRASH in shown(home.right, right)["metadata"])
    await home.rest()
    assert [len(home.writes(each)) for each in home.both] == [0, 1]
    assert not home.right.requests.to("DELETE")
    await nothing_more(home, 5)
    assert TRASH in shown(home.right, right)["metadata"]


async def test_one_write_per_edit_and_none_at_rest(home: House) -> None:
    pairs = [await pair(home, number) for number in range(3)]
    home.forget()
    for turn in range(3):
        for at, (left, right) in enumerate(pairs):
            if (turn + at) % 2:
                home.left.dashboard.update(left, name=f"Name {turn}-{at}")
            else:
                home.right.dashboard.update(right, name=f"Name {turn}-{at}")
        await home.until(lambda: alike(home))
        await home.rest()
    assert sum(len(home.writes(each)) for each in home.both) == 3 * len(pairs)


async def test_p14_an_edit_that_our_write_overwrites_is_put_back_and_flows(home: House) -> None:
    left, right = await pair(home)
    slow = home.left.faults.slow(1.0, Where("POST", "/v1/customers/*"))
    home.right.dashboard.update(right, description="ours")
    await home.until(lambda: slow.hits == 1)
    home.left.dashboard.update(left, description="typed")
    await home.until(lambda: shown(home.right, right)["description"] == "typed")
    await home.rest()
    assert alike(home)
    assert shown(home.left, left)["description"] == "typed"
    assert [received.params.get("description") for received in home.writes(home.left)] == ["ours", "typed"]


async def test_both_accounts_full_at_the_start_are_paired_and_completed(database: str, tmp_path: Path) -> None:
    def seed(left: StripeSandbox, right: StripeSandbox) -> None:
        for number in range(20):
            if number % 3 != 1:
                left.dashboard.create(name=f"P {number}", email=f"p{number}@example.com")
            if number % 3 != 2:
                right.dashboard.create(name=f"P {number}", email=f"P{number}@Example.com")

    async with house(database, tmp_path, seed=seed) as home:
        await home.until(lambda: len(home.left.customers) == len(home.right.customers) == 20)
        await home.rest()
        for each in home.both:
            assert len({body["email"].lower() for body in live(each)}) == 20
        assert len(home.writes(home.left)) == len(home.left.customers) - 13
        assert len(home.writes(home.right)) == len(home.right.customers) - 14


async def test_webhooks_doubled_and_shuffled_change_nothing(home: House) -> None:
    pairs = [await pair(home, number) for number in range(3)]
    for each in home.both:
        each.webhooks.copies = 3
        each.webhooks.hold()
    for turn in range(5):
        for left, _ in pairs:
            home.left.dashboard.update(left, name=f"Turn {turn}")
    home.left.dashboard.create(name="Eve", email="eve@example.com")
    for each in home.both:
        each.webhooks.release(shuffle=True)
    await home.until(lambda: alike(home))
    await home.rest()
    assert {body["name"] for body in live(home.right)} == {"Turn 4", "Eve"}
    assert len(home.right.customers) == 4


async def test_the_same_person_made_on_both_sides_at_once_is_one(home: House) -> None:
    for number in range(5):
        for each in home.both:
            each.dashboard.create(name=f"Twin {number}", email=f"twin{number}@example.com")
    await home.rest()
    assert [len(each.customers) for each in home.both] == [5, 5]
    assert alike(home)


async def test_forged_and_stale_webhooks_change_nothing(home: House) -> None:
    left, right = await pair(home)
    await home.rest()
    home.forget()
    event = home.left.webhooks.deliveries[-1].recorded.rendered()
    event["id"] = "evt_forged"
    event["data"]["object"]["name"] = "Mallory"
    body = json.dumps(event).encode()
    before = await home.installation.store.fetchval("SELECT sum(next_offset) FROM log.partition")
    cases = [
        ("whsec_wrong", time.time(), body),
        (SECRETS[1], time.time(), body),
        (SECRETS[0], time.time() - 3600, body),
        (SECRETS[0], time.time(), body[:-1]),
    ]
    async with httpx2.AsyncClient(trust_env=False) as client:
        for secret, at, content in cases:
            signed = hmac.new(secret.encode(), f"{int(at)}.".encode() + content, hashlib.sha256).hexdigest()
            headers = {"Stripe-Signature": f"t={int(at)},v1={signed}", "Content-Type": "application/json"}
            answer = await client.post(f"{home.base}/hooks/shop", content=content, headers=headers)
            assert answer.status_code == 400
        answer = await client.post(f"{home.base}/hooks/shop", json=event)
        assert answer.status_code == 400
    await home.rest()
    assert await home.installation.store.fetchval("SELECT sum(next_offset) FROM log.partition") == before
    assert [home.writes(each) for each in home.both] == [[], []]
    assert shown(home.right, right)["name"] == shown(home.left, left)["name"] == "Ada 0"


async def test_writes_whose_answers_are_lost_are_made_once(home: House) -> None:
    home.right.faults.drop(CREATE)
    home.left.dashboard.create(name="Ada", email="ada@example.com")
    await home.until(lambda: len(home.right.customers) == 1)
    await home.rest(60)
    assert [len(each.customers) for each in home.both] == [1, 1]
    (left,), (right,) = home.left.customers, home.right.customers
    home.forget()
    home.right.faults.drop(UPDATE)
    home.left.dashboard.update(left, name="Eve")
    await home.until(lambda: shown(home.right, right)["name"] == "Eve")
    await home.rest(60)
    assert len(home.writes(home.right)) == 1
    home.right.faults.drop(UPDATE, executed=False)
    home.left.dashboard.update(left, name="Zoe")
    await home.until(lambda: shown(home.right, right)["name"] == "Zoe")
    await home.rest(60)
    assert len(home.writes(home.right)) == 2
    await nothing_more(home)


async def test_a_storm_of_429_delays_and_loses_nothing(home: House) -> None:
    home.right.faults.rate_limit(Where("*", "/v1/customers*", times=None, chance=0.5), retry_after=0.1)
    for number in range(10):
        home.left.dashboard.create(name=f"P {number}", email=f"p{number}@example.com")
    await home.until(lambda: len(home.right.customers) == 10, 60)
    home.right.faults.clear()
    await home.rest(60)
    assert alike(home)
    assert len(home.writes(home.right)) == 10
