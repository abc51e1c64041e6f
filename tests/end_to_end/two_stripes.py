"""Two Stripe accounts, real HTTP both ways, and the whole of contactsync between them in this process."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services import main
from services.connectors import discover
from services.connectors.stripe.sandbox import StripeSandbox, serve
from services.connectors.stripe.sandbox.journal import Received
from services.ingest.poll import Timing
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import Applied, apply
from services.runtime.registry.check import check
from services.runtime.settings import Settings

KEYS = ("sk_test_left123456789012345", "sk_test_right12345678901234")
SECRETS = ("whsec_left", "whsec_right")
ACCOUNTS = ("shop", "other")
QUIET = 0.3
"""Seconds without a request, a delivery or anything to do that count as rest."""
WAITING = """
SELECT (SELECT count(*) FROM sync.outbox) + (SELECT count(*) FROM sync.wake)
     + (SELECT count(*) FROM sync.link WHERE unsettled > 0 OR reconsider_at IS NOT NULL)
     + (SELECT count(*) FROM sync.contact WHERE looking)
     + (SELECT coalesce(sum(next_offset), 0) FROM log.partition
         WHERE topic IN ('contacts.events', 'contacts.receipts'))
     - (SELECT coalesce(sum(next_offset), 0) FROM sync.progress)
"""


@dataclass
class House:
    """Both accounts and the installation between them."""

    left: StripeSandbox
    right: StripeSandbox
    installation: main.Installation
    base: str
    """Where contactsync listens."""

    @property
    def both(self) -> tuple[StripeSandbox, StripeSandbox]:
        return self.left, self.right

    def writes(self, sandbox: StripeSandbox) -> list[Received]:
        """The writes to customers that an account has carried out."""
        return sandbox.requests.writes("/v1/customers*")

    def forget(self) -> None:
        """Count requests anew."""
        for sandbox in self.both:
            sandbox.requests.clear()

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the accounts lie in another task's hands
                await asyncio.sleep(0.01)

    async def rest(self, seconds: float = 30.0) -> None:
        """Wait until all webhooks are delivered, nothing is to be done and nobody has been asked for a while."""
        async with asyncio.timeout(seconds):
            while True:
                for sandbox in self.both:
                    await sandbox.webhooks.drain()
                before = self._moves()
                idle = await self.installation.store.fetchval(WAITING) == 0
                await asyncio.sleep(QUIET if idle else 0.05)
                if idle and self._moves() == before and await self.installation.store.fetchval(WAITING) == 0:
                    return

    def _moves(self) -> tuple[int, ...]:
        return tuple(len(each.requests) for each in self.both) + tuple(len(s.webhooks.deliveries) for s in self.both)


def live(sandbox: StripeSandbox) -> list[dict[str, Any]]:
    """The customers that aren't deleted."""
    return [body for body in sandbox.customers.values() if not body.get("deleted")]


def comparable(body: dict[str, Any]) -> tuple[Any, ...]:
    """What two customers in step have in common."""
    return tuple(body.get(name) or None for name in ("name", "email", "phone", "description"))


def alike(house: House) -> bool:
    """Whether both accounts hold the same customers."""
    left, right = (sorted(map(comparable, live(each)), key=str) for each in house.both)
    return left == right


@contextlib.asynccontextmanager
async def house(
    dsn: str,
    folder: Path,
    *,
    options: str = "{sync_deletions: both}",
    seed: Callable[[StripeSandbox, StripeSandbox], None] | None = None,
) -> AsyncIterator[House]:
    """Everything running, both first scans ended. `seed` fills the accounts before anybody looks."""
    async with contextlib.AsyncExitStack() as stack:
        sandboxes = [
            await stack.enter_async_context(StripeSandbox(key, secret, rng=random.Random(at)))
            for at, (key, secret) in enumerate(zip(KEYS, SECRETS, strict=True))
        ]
        if seed is not None:
            seed(sandboxes[0], sandboxes[1])
        urls = [await stack.enter_async_context(serve(each)) for each in sandboxes]
        listener = socket.create_server(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for sandbox, account, secret in zip(sandboxes, ACCOUNTS, SECRETS, strict=True):
            sandbox.webhooks.endpoints.add(f"{base}/hooks/{account}", secret=secret)
        settings = Settings(
            store_url=dsn,
            data_dir=folder,
            listen=base.removeprefix("http://"),
            secret_key="the tests' own key, of no use elsewhere",
        )
        installation = await stack.enter_async_context(main.installed(settings))
        await _apply(installation, urls, options)
        stop = asyncio.Event()
        roles = asyncio.create_task(
            main.serve_roles(installation, main.ROLES, stop, listener=listener, timing=Timing(watch=0.2))
        )
        made = House(sandboxes[0], sandboxes[1], installation, base)
        try:
            await _scanned(made, roles)
            yield made
        finally:
            stop.set()
            await roles


async def _apply(installation: main.Installation, urls: Sequence[str], options: str) -> None:
    text = f"""
accounts:
  shop: {{app: stripe, api_base: "{urls[0]}", api_key: {KEYS[0]}, webhook_secrets: [{SECRETS[0]}]}}
  other: {{app: stripe, api_base: "{urls[1]}", api_key: {KEYS[1]}, webhook_secrets: [{SECRETS[1]}]}}
connections:
  shop-other: {{left: shop, right: other, options: {options}}}
"""
    checked = check(text, {name: app.manifest for name, app in discover().items()}, {})
    assert checked.config is not None, checked.problems
    applied = await apply(installation.store, installation.vault, checked.config, by="test", now=SystemClock().now())
    assert isinstance(applied, Applied)


async def _scanned(made: House, roles: asyncio.Task[None]) -> None:
    count = "SELECT count(*) FROM sync.account WHERE scanned_at IS NOT NULL"
    async with asyncio.timeout(30):
        while await made.installation.store.fetchval(count) < 2:
            if roles.done():
                roles.result()
            await asyncio.sleep(0.02)
