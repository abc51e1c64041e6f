"""A burst: many changes at the same moment, and how long each took to be asked of the other server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx2
import msgspec

from services.connectors.stripe.app import Stripe
from services.connectors.stripe.manifest import MANIFEST
from services.connectors.stripe.sandbox import StripeSandbox, serve
from services.contracts.app import Manifest, Pace
from services.demo.child import DemoError
from services.demo.figures import percentile
from services.demo.house import House
from services.demo.tap import Exchange, Tap
from services.ingest.poll import Timing
from services.ingest.server import bound
from services.main import ROLES, Installation, installed, serve_roles
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import NotApplicable, apply
from services.runtime.registry.check import check, rendered
from services.runtime.settings import Settings

_PATIENCE = 120.0
_APART = 3.0
_FILE = """
accounts:
  left: {app: stripe, api_base: ${LEFT_URL}, api_key: ${LEFT_KEY}, webhook_secrets: ["${LEFT_SECRET}"]}
  right: {app: stripe, api_base: ${RIGHT_URL}, api_key: ${RIGHT_KEY}, webhook_secrets: ["${RIGHT_SECRET}"]}
connections:
  left-right: {left: left, right: right}
"""


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """A burst's figures, in milliseconds from a webhook's arrival to its request at the other server."""

    changes: int
    median: float
    p99: float
    maximum: float
    seconds: float
    """From the first webhook's arrival to the last request."""

    def told(self) -> str:
        """A sentence about it."""
        return (
            f"a burst of {self.changes} changes at once, webhook → request: median {self.median:.0f} ms, "
            f"p99 {self.p99:.0f} ms, maximum {self.maximum:.0f} ms; all sent within {self.seconds:.1f} s"
        )


class _Unpaced(Stripe):
    """Stripe without its limits: with them a burst measures nothing but 20 writes a second."""

    @property
    def manifest(self) -> Manifest:
        return msgspec.structs.replace(MANIFEST, pace=Pace(poll=1000, read=1000, write=1000, burst=1000))


async def burst(settings: Settings, changes: int = 500, *, paced: bool = False) -> Took:
    """Change `changes` linked customers at once between two sandboxes, and measure.

    It has a PostgreSQL of its own in a temporary folder. `paced` keeps Stripe's documented limits.
    Raises `DemoError` when the burst doesn't arrive, and what `installed` raises.
    """
    keys = {side: f"sk_test_{side}_{secrets.token_hex(8)}" for side in ("left", "right")}
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="contactsync-burst-", ignore_cleanup_errors=True)
        )
        own = {"data_dir": Path(folder) / "data", "store_url": None, "secret_key": None}
        settings = settings.model_copy(update={**own, "log_url": "postgres:", "listen": "127.0.0.1:0"})
        if os.geteuid() == 0:
            os.chmod(folder, 0o711)  # noqa: S103, PTH101 - PostgreSQL's own user has to pass
        installation = await stack.enter_async_context(installed(settings))
        if not paced:
            installation = msgspec.structs.replace(installation, apps={"stripe": _Unpaced()})
        listener = bound(settings)
        hooks = await _tapped(stack, "hooks", f"http://127.0.0.1:{listener.getsockname()[1]}")
        sides = {
            side: await stack.enter_async_context(StripeSandbox(key, f"whsec_{side}")) for side, key in keys.items()
        }
        urls = {side: await stack.enter_async_context(serve(sandbox)) for side, sandbox in sides.items()}
        target = await _tapped(stack, "right", urls["right"])
        for number in range(changes):
            for sandbox in sides.values():
                sandbox.dashboard.create(name=f"Person {number}", email=f"person.{number}@example.com")
        ids = [str(customer["id"]) for customer in (await _customers(urls["left"], keys["left"]))]
        for side, sandbox in sides.items():
            sandbox.webhooks.endpoints.add(f"{hooks.url}/hooks/{side}", secret=f"whsec_{side}")
        await _applied(installation, keys, {"LEFT_URL": urls["left"], "RIGHT_URL": target.url})
        ended = asyncio.Event()
        timing = Timing(watch=0.5)
        roles = asyncio.create_task(serve_roles(installation, ROLES, ended, listener=listener, timing=timing))
        try:
            await House(installation, tuple(keys)).ready()
            # Answers are dated by the second: what changes right after the scan would have to be looked at first.
            await asyncio.sleep(_APART)
            begun = time.perf_counter()
            for id in ids:
                sides["left"].dashboard.update(id, name=f"Changed {id}")
            return await _measured(hooks, target, ids, begun)
        finally:
            ended.set()
            await asyncio.wait({roles})


async def _measured(hooks: Tap, target: Tap, ids: list[str], begun: float) -> Took:
    deadline = begun + _PATIENCE
    while len(sent := _by_id(target, ids, begun)) < len(ids):
        if time.perf_counter() > deadline:
            raise DemoError(f"Of the burst of {len(ids)} changes {len(sent)} arrived within {_PATIENCE:.0f} s.")
        await asyncio.sleep(0.1)
    heard = _by_id(hooks, ids, begun)
    taken = [(sent[id] - heard[id]) * 1000 for id in ids]
    return Took(
        changes=len(ids),
        median=percentile(taken, 0.5),
        p99=percentile(taken, 0.99),
        maximum=max(taken),
        seconds=max(sent.values()) - min(heard.values()),
    )


def _by_id(tap: Tap, ids: list[str], since: float) -> dict[str, float]:
    """When the first request that names a customer of the left side came, by that customer's id."""
    wanted, found = set(ids), dict[str, float]()
    for exchange in tap.exchanges:
        if exchange.arrived >= since and exchange.is_write and (id := _named(exchange)) in wanted:
            found.setdefault(id, exchange.arrived)
    return found


def _named(exchange: Exchange) -> str:
    """The left customer's id: the new name tells it, in the webhook and in the form."""
    _, found, rest = exchange.body.partition(b"Changed")
    return rest[1:].split(b'"')[0].split(b"&")[0].decode() if found else ""


async def _tapped(stack: contextlib.AsyncExitStack, name: str, upstream: str) -> Tap:
    return await stack.enter_async_context(Tap(name, upstream, lambda _: None).open())


async def _customers(url: str, key: str) -> list[Mapping[str, object]]:
    found: list[Mapping[str, object]] = []
    async with httpx2.AsyncClient(trust_env=False, auth=(key, "")) as http:
        while True:
            after = f"&starting_after={found[-1]['id']}" if found else ""
            page = (await http.get(f"{url}/v1/customers?limit=100{after}")).raise_for_status().json()
            found += page["data"]
            if not page["has_more"]:
                return found


async def _applied(installation: Installation, keys: Mapping[str, str], urls: Mapping[str, str]) -> None:
    environ = {f"{side.upper()}_KEY": key for side, key in keys.items()}
    environ |= {"LEFT_SECRET": "whsec_left", "RIGHT_SECRET": "whsec_right", **urls}
    checked = check(_FILE, {name: app.manifest for name, app in installation.apps.items()}, environ)
    if checked.config is None:
        raise DemoError(rendered(checked.problems, "the burst's file"))
    now = SystemClock().now()
    made = await apply(installation.store, installation.vault, checked.config, by="demo", now=now)
    if isinstance(made, NotApplicable):
        raise DemoError("\n".join(made.reasons))
