"""How long a change takes from its webhook to the request at the other account. Figures are printed, not judged."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import pytest

from services.connectors.stripe.manifest import MANIFEST
from services.connectors.stripe.sandbox import StripeSandbox
from tests.end_to_end.two_stripes import House, alike, house, live

CUSTOMERS = int(os.environ.get("TEST_BURST", "150"))
"""Changes at once. The pace bounds them: the figures for 500 take half a minute, `TEST_BURST=500` gives them."""
SINGLES = 100


def seed(left: StripeSandbox, right: StripeSandbox) -> None:
    for each in (left, right):
        for number in range(CUSTOMERS):
            each.dashboard.create(name=f"P {number}", email=f"p{number}@example.com")


def partners(home: House) -> dict[str, str]:
    """Left customer -> right customer."""
    by_mail = {body["email"]: body["id"] for body in live(home.right)}
    return {body["id"]: by_mail[body["email"]] for body in live(home.left)}


def received(home: House, start: int) -> dict[str, float]:
    """Left customer -> when its webhook came to us, of those sent since."""
    return {
        delivery.recorded.body["data"]["object"]["id"]: delivery.attempts[0].at
        for delivery in home.left.webhooks.deliveries[start:]
        if delivery.attempts
    }


def latencies(home: House, start: int) -> list[float]:
    """Milliseconds from webhook to request, of every change since; each was written exactly once."""
    pairs = partners(home)
    came = received(home, start)
    asked = {request.path.rpartition("/")[2]: request.at for request in home.writes(home.right)}
    assert len(asked) == len(home.writes(home.right)) == len(came)
    return sorted(1000 * (asked[pairs[left]] - at) for left, at in came.items())


async def test_every_change_arrives_once_and_how_long_that_takes(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with house(database, tmp_path, seed=seed) as home:
        await home.rest(60)
        assert [len(home.writes(each)) for each in home.both] == [0, 0]
        customers = [body["id"] for body in live(home.left)]
        pairs = partners(home)

        start = len(home.left.webhooks.deliveries)
        for customer in customers[:SINGLES]:
            home.left.dashboard.update(customer, name="Edited")
            right = pairs[customer]
            await home.until(lambda right=right: home.right.customers[right]["name"] == "Edited")  # type: ignore[misc]
        await home.rest()
        single = latencies(home, start)
        assert len(single) == SINGLES

        home.forget()
        start = len(home.left.webhooks.deliveries)
        for customer in customers:
            home.left.dashboard.update(customer, description="Burst")
        await home.until(lambda: len(home.writes(home.right)) >= CUSTOMERS, 120)
        await home.rest(60)
        burst = latencies(home, start)
        assert len(burst) == CUSTOMERS
        assert alike(home)
        assert not home.writes(home.left)

    pace = MANIFEST.pace
    bound = 1000 * (CUSTOMERS * 0.99 - pace.burst) / pace.write
    p99 = burst[int(CUSTOMERS * 0.99) - 1]
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this is for
            f"\nwebhook to request: median {statistics.median(single):.0f} ms, "
            f"longest {single[-1]:.0f} ms over {SINGLES} single edits\n"
            f"burst of {CUSTOMERS} changes: p99 {p99:.0f} ms; at {pace.write:g} writes a second it takes "
            f"{bound:.0f} ms at least: {p99 / bound:.2f} times that"
        )
