"""Setting a stage: the accounts over real HTTP, the installation, and the connections between them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import httpx2
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services import main
from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.served import serve
from services.connectors.stripe.app import Stripe
from services.connectors.stripe.sandbox import StripeSandbox
from services.contracts.app import Manifest
from services.ingest.body import Bodies, Room
from services.ingest.hooks import Hooks
from services.ingest.registry import Accounts, loader, opener
from services.ingest.wish import Wishes
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import Applied, apply
from services.runtime.registry.check import check
from services.runtime.settings import Settings
from tests.end_to_end.three_apps import PACE, BriskBook, BriskGoogle
from tests.faults.accounts import Account, Book
from tests.faults.house import WATCH
from tests.faults.schedule import RightApp
from tests.faults.without.faces import Desktop, Till
from tests.faults.without.stage import Stage


class BriskStripe(Stripe):
    """Stripe at the pace of an account that nobody else uses."""

    @property
    def manifest(self) -> Manifest:
        return msgspec.structs.replace(super().manifest, pace=PACE)


@contextlib.asynccontextmanager
async def stage(dsn: str, folder: Path, right: RightApp, lefts: int) -> AsyncIterator[Stage]:
    """Everything on an empty, migrated database; nobody is in the accounts yet, and nothing was read."""
    async with contextlib.AsyncExitStack() as stack:
        settings = Settings(store_url=dsn, data_dir=folder, secret_key="the tests' own key, of no use elsewhere")
        opened = await stack.enter_async_context(main.installed(settings))
        brisk = {"stripe": BriskStripe(), "google_contacts": BriskGoogle(), "carddav": BriskBook()}
        made = Stage(msgspec.structs.replace(opened, apps={**opened.apps, **brisk}), stack)
        await made.store.execute(WATCH)
        lines = [await _shop(made, stack, f"l{at}") for at in range(lefts)]
        lines.append(await _other(made, stack, folder, right))
        lines.append("connections:")
        lines += [f"  c{at}: {{left: l{at}, right: r0}}" for at in range(lefts)]
        text = "\n".join(["accounts:", *lines, ""])
        checked = check(text, {name: app.manifest for name, app in made.installation.apps.items()}, {})
        assert checked.config is not None, checked.problems
        vault, now = opened.vault, SystemClock().now()
        assert isinstance(await apply(made.store, vault, checked.config, by="test", now=now), Applied)
        await made.open()
        yield made


async def _shop(made: Stage, stack: contextlib.AsyncExitStack, name: str) -> str:
    key, secret = f"sk_test_{name}xxxxxxxxxxxxxxxx", f"whsec_{name}"
    sandbox = await stack.enter_async_context(
        StripeSandbox(key, secret, rng=Random(name), clock=made.clock, webhook_transport=_hooked(made))
    )
    sandbox.webhooks.endpoints.add(f"http://ingest.test/hooks/{name}", secret=secret)
    sandbox.webhooks.hold()
    made.shops.append(Till(name, sandbox))
    url = await stack.enter_async_context(serve(sandbox))
    # Its webhooks are all that is heard of it: the list of its events would say each of them again and again.
    return f'  {name}: {{app: stripe, api_base: "{url}", api_key: {key}, webhook_secrets: [{secret}], events: off}}'


async def _other(made: Stage, stack: contextlib.AsyncExitStack, folder: Path, app: RightApp) -> str:
    account: Account
    if app == "google_contacts":
        office = GoogleSandbox(rng=Random("r0"))
        url = await stack.enter_async_context(serve(office))
        account = Desktop("r0", office)
        client = f"client_id: {office.oauth.client_id}, client_secret: {office.oauth.client_secret}"
        where = f'api_base: "{url}", token_url: "{url}/token", certificates_url: "{url}/certs"'
        line = f"  r0: {{app: {app}, {where}, {client}, refresh_token: {office.refresh_token}}}"
    else:
        server = await stack.enter_async_context(CarddavSandbox(folder / "radicale"))
        login = httpx2.BasicAuth(server.username, server.password)
        http = await stack.enter_async_context(httpx2.AsyncClient(auth=login, timeout=20, trust_env=False))
        account = Book("r0", server, http)
        line = f'  r0: {{app: carddav, url: "{server.url}", username: {server.username}, password: {server.password}}}'
    made.pairs = [(shop, account) for shop in made.shops]
    return line


def _hooked(made: Stage) -> httpx2.AsyncBaseTransport:
    """What carries webhooks to ingest."""
    running = made.installation
    hooks = Hooks(
        running.apps,
        Accounts(loader(made.store, opener(running.vault))),
        made.publisher,
        Bodies(limit=1 << 20, seconds=5, room=Room(1 << 24)),
        running.metrics,
        access=made.access,
        wish=Wishes(made.store),
        now=made.clock,
    )

    async def deliver(request: Request) -> Response:
        return await hooks(request)

    return httpx2.ASGITransport(app=Starlette(routes=[Route("/hooks/{account}", deliver, methods=["POST"])]))
