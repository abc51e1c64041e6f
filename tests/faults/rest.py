"""Waiting until everything is done: all read, all delivered, nothing to do, and nobody writes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx2

from services.runtime.log import EVENTS, RECEIPTS, LogUnavailableError, Partition, commands_topic
from tests.end_to_end.processes_house import _COUNTS, _HANDLED, _SETTLED
from tests.faults.accounts import Books
from tests.faults.house import House

_TOPICS = (EVENTS, RECEIPTS, *map(commands_topic, ("stripe", "google_contacts", "carddav", "quickbooks")))
_POLLS = "SELECT account, poll_number, state, trouble_count FROM ingest.cursor"
_QUIET = 0.5
_LINKS = """
SELECT id, connection, status, unsettled, wait_reason, reconsider_at FROM sync.link
 WHERE unsettled > 0 OR reconsider_at IS NOT NULL ORDER BY reconsider_at LIMIT 5
"""
_LEDGER = """
SELECT link, side, account, state, type, next_try_at, unknown_reason FROM connectors.ledger
 WHERE state <> 'settled' ORDER BY updated_at LIMIT 5
"""


def moves(house: House) -> tuple[int, ...]:
    """How often contactsync has written to each account."""
    return tuple(account.writes() for account in house.accounts.values())


async def send_gathered(house: House) -> int:
    """Let QuickBooks deliver what it gathered; return how many deliveries aren't taken yet."""
    left = 0
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as http:
        for account in house.accounts.values():
            if isinstance(account, Books):
                with contextlib.suppress(httpx2.HTTPError):
                    left += await account.sandbox.webhooks.send(http)
    return left


async def rest(house: House, seconds: float) -> str:
    """Wait for rest; return nothing, or what is still to be done after so many seconds."""
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout_at(deadline):
            for shop in house.shops:
                await shop.sandbox.webhooks.drain()
            polled = await _polls(house)
            while True:
                house.roles.failed()
                before = moves(house)
                if await send_gathered(house) == 0 and await _all_polled(house, polled) and await quiet(house):
                    await asyncio.sleep(_QUIET)
                    if moves(house) == before and await quiet(house):
                        return ""
                await asyncio.sleep(0.25)
    except TimeoutError:
        return await unrest(house)


async def quiet(house: House) -> bool:
    """Whether nothing is on its way inside."""
    if any(each.state == "waiting" for shop in house.shops for each in shop.sandbox.webhooks.deliveries[-500:]):
        return False
    if not await house.store.fetchval(_SETTLED):
        return False
    return not await _behind(house)


async def unrest(house: House) -> str:
    """What is still to be done."""
    counts = await house.store.fetchrow(_COUNTS)
    told: list[Any] = [f"rows {dict(counts or {})}"]
    told += [f"link {dict(row)}" for row in await house.store.fetch(_LINKS)]
    told += [f"ledger {dict(row)}" for row in await house.store.fetch(_LEDGER)]
    told += [f"unhandled {await _behind(house)}"]
    told += [f"cursor {dict(row)}" for row in await house.store.fetch(_POLLS) if row["trouble_count"]]
    waiting = {
        shop.name: count
        for shop in house.shops
        if (count := sum(each.state == "waiting" for each in shop.sandbox.webhooks.deliveries))
    }
    return "\n".join([*map(str, told), f"webhooks {waiting}"])


async def _behind(house: House) -> dict[Partition, int]:
    rows = await house.store.fetch(_HANDLED)
    handled = {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    # The ends are asked last: what was published since the other answers shows as not handled.
    try:
        bounds = [await house.log.bounds(topic) for topic in _TOPICS]
    except LogUnavailableError:
        return {Partition("the log is away", 0): 1}
    return {
        place: end - handled.get(place, 0)
        for each in bounds
        for place, (_, end) in each.items()
        if end > handled.get(place, 0)
    }


async def _polls(house: House) -> dict[str, int]:
    return {row["account"]: row["poll_number"] for row in await house.store.fetch(_POLLS)}


async def _all_polled(house: House, before: dict[str, int]) -> bool:
    """Whether each feed was asked anew, and that ended."""
    now = await _polls(house)
    return all(now.get(name, 0) >= number + 2 for name, number in before.items())
