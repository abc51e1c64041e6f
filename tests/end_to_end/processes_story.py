"""The demo's story between Stripe and an address book, and what happens to processes in its midst."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import httpx2

from tests.end_to_end.processes import Process, until
from tests.end_to_end.processes_group import owners, place_of
from tests.end_to_end.processes_house import House
from tests.end_to_end.two_stripes import SECRETS

MIDST = "LOCK TABLE sync.journal IN SHARE MODE"
"""Whoever decides stops before the last of its writes."""
_BLOCKED = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
_EPOCH = "SELECT epoch FROM sync.progress WHERE grp = 'sync' AND topic = $1 AND partition = $2"
_IDLE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND state = 'idle in transaction'
   AND state_change < clock_timestamp() - interval '2 s'
"""
_IN_FLIGHT = "SELECT count(*) FROM connectors.ledger WHERE account = $1 AND state = 'inflight'"
_HOLDER = "SELECT holder FROM connectors.lease WHERE account = $1 AND until > clock_timestamp()"


class Midst:
    """Those who decide, stopped in the midst of their transactions."""

    def __init__(self, home: House, connection: asyncpg.Connection[Any], pid: int) -> None:
        self._home = home
        self._connection = connection
        self._pid = pid

    async def blocked(self) -> list[int]:
        """The sessions that are stopped."""
        return [row["pid"] for row in await self._home.store.fetch(_BLOCKED, self._pid)]

    async def reached(self) -> None:
        """Wait until somebody is stopped."""

        async def somebody() -> bool:
            return bool(await self.blocked())

        await until(somebody, 30, "a decision is in its midst")


@contextlib.asynccontextmanager
async def midst(home: House) -> AsyncIterator[Midst]:
    connection = await asyncpg.connect(home.store.dsn)
    try:
        async with connection.transaction():
            await connection.execute(MIDST)
            yield Midst(home, connection, connection.get_server_pid())
    finally:
        await connection.close()


class Story:
    """What happens on the two sides, and what has to come of it."""

    def __init__(self, home: House, bootstrap: str) -> None:
        self.home = home
        self.processes = home.processes
        self.bootstrap = bootstrap
        self.ids: dict[str, str] = {}
        """Customers' ids by first name."""
        self.killed: list[str] = []

    def created(self, first: str, last: str, phone: str) -> None:
        fields = {"name": f"{first} {last}", "email": f"{first.lower()}@example.com", "phone": phone}
        self.ids[first] = self.home.left.dashboard.create(**fields)["id"]

    def customer(self, first: str) -> dict[str, Any]:
        found: dict[str, Any] = self.home.left.customers[self.ids[first]]
        return found

    async def card(self, email: str) -> tuple[str, str]:
        """Name and text of the only card with the address."""
        found = []
        for name in await self.home.book.names():
            text = await self.home.book.get(name) or ""
            if re.search(rf"^EMAIL[^:]*:{re.escape(email)}\r?$", text, re.MULTILINE):
                found.append((name, text))
        assert len(found) == 1, f"{len(found)} cards with {email}"
        return found[0]

    async def on_card(self, email: str, *words: str) -> None:
        """Wait until the only card with the address says these words."""

        async def look() -> bool:
            with contextlib.suppress(AssertionError):
                _, text = await self.card(email)
                return all(word in text for word in words)
            return False

        await until(look, 60, f"the card of {email} says {words}")

    async def owner(self, first: str) -> Process:
        """The process of sync that is told about this customer."""
        dealt: dict[Any, str] = {}

        async def stable() -> bool:
            dealt.update(await owners(self.bootstrap))
            return len(dealt) == 8

        await until(stable, 30, "all partitions of sync are dealt")
        return self.processes[dealt[place_of("shop", self.ids[first])]]

    async def kill(self, process: Process) -> None:
        """Kill it, and start it again under its name."""
        await process.kill()
        await process.start()
        self.killed.append(process.name)

    async def holder(self, account: str) -> Process:
        """The process that writes to the account."""
        name = ""

        async def somebody() -> bool:
            nonlocal name
            name = await self.home.store.fetchval(_HOLDER, account) or ""
            return bool(name)

        await until(somebody, 40, f"somebody writes to {account}")
        return self.processes[name]

    async def holds(self, process: Process, account: str) -> bool:
        """Whether it is this process that writes to the account."""
        return bool(await self.home.store.fetchval(_HOLDER, account) == process.name)

    async def in_flight(self, account: str) -> None:
        async def sent() -> bool:
            return bool(await self.home.store.fetchval(_IN_FLIGHT, account))

        await until(sent, 40, f"a write to {account} is under way")

    async def deliver(self, body: bytes, secret: str = SECRETS[0]) -> int:
        """Post a webhook signed now."""
        now = int(time.time())
        signature = hmac.new(secret.encode(), b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        async with httpx2.AsyncClient(trust_env=False) as client:
            url = f"http://127.0.0.1:{self.home.ports[0]}/hooks/shop"
            return (await client.post(url, content=body, headers=headers)).status_code


async def killed_in_its_decision(story: Story, process: Process, first: str, **fields: str) -> None:
    """Somebody's fields change in Stripe; who decides about it is killed before its commit, and started again."""
    async with midst(story.home) as stopped:
        story.home.left.dashboard.update(story.ids[first], **fields)
        await stopped.reached()
        await story.kill(process)


async def killed_in_its_write(story: Story, account: str, change: Callable[[], Awaitable[Any]]) -> str:
    """The change happens; who writes it to the account is killed while the answer is outstanding."""
    process = await story.holder(account)
    await change()
    await story.in_flight(account)
    await story.kill(process)
    return process.name


async def paused_beyond_its_session(story: Story, first: str) -> None:
    """Who decides stands still in its midst for longer than its session: another decides, and nothing of it counts."""
    zombie = await story.owner(first)
    place = place_of("shop", story.ids[first])
    before = await story.home.store.fetchval(_EPOCH, *place)
    async with midst(story.home) as stopped:
        story.home.left.dashboard.update(story.ids[first], name=f"{first} Zuse")
        await stopped.reached()
        zombie.pause()

    async def taken() -> bool:
        # A machine that is cut off loses its database's connections, too, by the database's own settings.
        await story.home.store.execute(_IDLE)
        return bool(await story.home.store.fetchval(_EPOCH, *place) > before)

    await until(taken, 40, f"another process takes {place} over")
    await story.on_card(f"{first.lower()}@example.com", "Zuse")
    zombie.resume()

    async def back() -> bool:
        if not zombie.running:
            await zombie.start()
        return set((await owners(story.bootstrap)).values()) == {"sync-0", "sync-1"}

    await until(back, 60, f"{zombie.name} is a member again")
    assert zombie.said("lane_fenced") or zombie.said("partitions_revoked"), zombie.words()
