"""`contactsync demo`: everything is started, the story is played, and the result is told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Coroutine
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
import msgspec

from services.demo import servers
from services.demo.book import Book
from services.demo.child import DemoError
from services.demo.house import House
from services.demo.scene import NotInStep, Scene
from services.demo.screen import Line, Screen
from services.demo.shop import Shop
from services.demo.story import STEPS
from services.demo.tap import Exchange, Tap
from services.ingest.poll import Timing
from services.main import ROLES, Installation, bound, installed, serve_roles
from services.runtime import telemetry
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import NotApplicable, apply
from services.runtime.registry.check import check, rendered
from services.runtime.settings import Settings

_PORTS = {"hooks": 8420, "shop": 8421, "book": 8422}
"""Where the demo is found if nobody else is there."""
_FOLLOW_SECONDS = 0.05
_SCAN_SECONDS = 60.0


async def run(settings: Settings, *, exit_: bool) -> int:
    """Play the demo; the exit status is 0 if every step was in step, or if it was stopped before one wasn't.

    `exit_` ends it with the story. Raises `DemoError`, and what `installed` raises, each with a sentence.
    """
    servers.require()
    # Its own data beside the real one's, its own PostgreSQL, a free port: a demo never meets an installation.
    settings = settings.model_copy(
        update={
            "data_dir": settings.data_dir / "demo",
            "store_url": None,
            "secret_key": None,
            "log_url": "postgres:",
            "listen": "127.0.0.1:0",
        }
    )
    telemetry.configure(settings.log_format, "warning")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop.set)
    return await _until(stop, _Demo(settings, stop).play(exit_=exit_))


async def _until(stop: asyncio.Event, play: Coroutine[Any, Any, int]) -> int:
    """Play until it is over or somebody stops it."""
    playing, stopping = asyncio.create_task(play), asyncio.create_task(stop.wait())
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not playing.done():
        playing.cancel()
        await asyncio.wait({playing})
    return 0 if playing.cancelled() else playing.result()


class _Demo:
    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings = settings
        self._folder = settings.data_dir.resolve()
        self._stop = stop
        self._screen = Screen()
        self._failures = 0

    async def play(self, *, exit_: bool) -> int:
        begun = time.perf_counter()
        async with contextlib.AsyncExitStack() as stack:
            installation = await stack.enter_async_context(installed(self._settings))
            house = House(installation.store, self._screen)
            await house.take_over()
            http = await stack.enter_async_context(httpx2.AsyncClient(timeout=30, trust_env=False))
            (shop_url, shop_child), (book_url, book_child) = await asyncio.gather(
                stack.enter_async_context(servers.stripe_server(self._folder / "localstripe", http)),
                stack.enter_async_context(servers.book_server(self._folder / "radicale", http)),
            )
            listener = bound(self._settings)
            ingest = f"http://127.0.0.1:{listener.getsockname()[1]}"
            hooks, to_shop, to_book = [
                await stack.enter_async_context(Tap(name, upstream, self._heard).open(_PORTS[name]))
                for name, upstream in (("hooks", ingest), ("shop", shop_url), ("book", book_url))
            ]
            shop, book = Shop(http, shop_url), Book(http, book_url)
            await shop.send_webhooks_to(f"{hooks.url}/hooks/shop")
            self._screen.say(_connections())
            await self._apply(installation, to_shop.url, f"{to_book.url}/{servers.BOOK_USER}/contacts/")
            ended = asyncio.Event()
            timing = Timing(watch=0.5)
            roles = asyncio.create_task(serve_roles(installation, ROLES, ended, listener=listener, timing=timing))
            stack.push_async_callback(_end_roles, roles, ended)
            scene = Scene(self._begin_run(), installation, shop, book, hooks, to_shop, to_book, house, http)
            told = asyncio.create_task(self._tell(scene, begun))
            stack.push_async_callback(_cancel, told)
            watching = {asyncio.create_task(each.watch()) for each in (shop_child, book_child)}
            for watcher in watching:
                stack.push_async_callback(_cancel, watcher)
            await _first_end({told, roles} | watching)
            status = 0 if self._failures == 0 else 1
            if not exit_:
                self._invite(scene)
                follower = asyncio.create_task(self._follow(house))
                stack.push_async_callback(_cancel, follower)
                await _first_end({follower, roles} | watching)
        return status

    async def _tell(self, scene: Scene, begun: float) -> None:
        house, screen = scene.house, self._screen
        if scene.run > 1 and not self._finished:
            screen.say("The run before this one was cut short: both accounts are read again from start to end.\n")
            await house.scan_again()
        async with asyncio.timeout(_SCAN_SECONDS):
            while not (await house.scanned() and await house.quiet()):
                await asyncio.sleep(_FOLLOW_SECONDS)
        await house.begin()
        screen.say(f"Run {scene.run} on {self._folder}, up in {time.perf_counter() - begun:.1f} s.", "dim")
        following = asyncio.create_task(self._follow(house))
        try:
            scene.started = time.perf_counter()
            for number, step in enumerate(STEPS, 1):
                await screen.settle(house.follow)
                screen.say(f"\n{number:>2}  {step.title}", "bold")
                scene.begun = time.perf_counter()
                try:
                    note = await step.play(scene)
                except (NotInStep, httpx2.HTTPError, LookupError, StopIteration, RuntimeError) as error:
                    self._failures += 1
                    await screen.settle(house.follow)
                    screen.say(f"    NOT in step: {error or type(error).__name__}", "bold red")
                else:
                    await screen.settle(house.follow)
                    screen.say(f"    in step: {note}", "green")
        finally:
            await _cancel(following)
        (self._folder / "run.json").write_bytes(msgspec.json.encode({"run": scene.run, "finished": True}))
        screen.say(f"\n{scene.figures.told()}")
        screen.say(f"the story took {time.perf_counter() - scene.started:.0f} s")
        screen.say(f"demo: {len(STEPS) - self._failures} of {len(STEPS)} steps in step", "bold")

    def _begin_run(self) -> int:
        """Count this run: its people are its own, whatever became of the ones before."""
        file = self._folder / "run.json"
        before = {"run": 0, "finished": True}
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            before = msgspec.json.decode(file.read_bytes(), type=dict[str, int | bool])
        self._finished = bool(before["finished"])
        half = file.with_suffix(".new")
        half.write_bytes(msgspec.json.encode({"run": before["run"] + 1, "finished": False}))
        half.replace(file)
        return int(before["run"]) + 1

    async def _apply(self, installation: Installation, shop: str, book: str) -> None:
        environ = {
            "DEMO_STRIPE_KEY": servers.STRIPE_KEY,
            "DEMO_STRIPE_WEBHOOK_SECRET": servers.WEBHOOK_SECRET,
            "DEMO_STRIPE_URL": shop,
            "DEMO_BOOK_URL": book,
            "DEMO_BOOK_PASSWORD": servers.BOOK_PASSWORD,
        }
        checked = check(_connections(), {name: app.manifest for name, app in installation.apps.items()}, environ)
        if checked.config is None:
            raise DemoError(rendered(checked.problems, "connections.yaml"))
        now = SystemClock().now()
        made = await apply(installation.store, installation.vault, checked.config, by="demo", now=now)
        if isinstance(made, NotApplicable):
            raise DemoError("\n".join(made.reasons))

    async def _follow(self, house: House) -> None:
        while True:
            await house.follow()
            self._screen.flush()
            await asyncio.sleep(_FOLLOW_SECONDS)

    def _heard(self, exchange: Exchange) -> None:
        """Show what a tap saw: writes that reached the other servers, and webhooks that were refused."""
        took = f"{(exchange.answered - exchange.arrived) * 1000:.0f} ms"
        if exchange.place == "hooks" and exchange.status >= 400:
            self._screen.add(Line(exchange.at, "refused", "shop", "webhook", _refusal(exchange), took))
        elif exchange.place != "hooks" and exchange.is_write:
            kind = "written" if exchange.status < 300 else "refused"
            who, what = _written(exchange)
            if kind == "refused":
                what = f"{what} ({exchange.status})"
            self._screen.add(Line(exchange.at, kind, exchange.place, who, what, took))

    def _invite(self, scene: Scene) -> None:
        folder, card = self._folder, f"{scene.to_book.url}/{servers.BOOK_USER}/contacts/"
        self._screen.say(
            f"""
The demo stays up; Ctrl-C ends it, the data is kept in {folder}.
  Stripe        {scene.to_shop.url}/v1/customers   (key {servers.STRIPE_KEY})
  address book  {card}   (user {servers.BOOK_USER}, password {servers.BOOK_PASSWORD})
  webhooks      {scene.hooks.url}/hooks/shop, health {scene.hooks.url}/readyz, metrics {scene.hooks.url}/metrics
Try, in another window:
  curl -u {servers.STRIPE_KEY}: {scene.to_shop.url}/v1/customers -d name='Emmy Noether' -d email=emmy@example.com
  curl -u {servers.STRIPE_KEY}: {scene.to_shop.url}/v1/customers/{scene.ids.get("Ada", "ID")} -d phone='+1 202 555 0199'
  curl -u {servers.BOOK_USER}:{servers.BOOK_PASSWORD} {card}
  CONTACTSYNC_DATA_DIR={folder} contactsync status"""
        )


def _connections() -> str:
    return resources.files("services.demo").joinpath("connections.yaml").read_text(encoding="utf-8")


def _refusal(exchange: Exchange) -> str:
    with contextlib.suppress(msgspec.DecodeError):
        return str(msgspec.json.decode(exchange.answer, type=dict[str, Any]).get("error", ""))
    return f"status {exchange.status}"


def _written(exchange: Exchange) -> tuple[str, str]:
    """Whom a write was about, and what it wrote."""
    if exchange.place == "book":
        lines = exchange.body.decode("utf-8", "replace").splitlines()
        email = next((line.rpartition(":")[2] for line in lines if line.upper().startswith("EMAIL")), "")
        return email, "a new card" if "if-none-match" in exchange.headers else "its card"
    form = parse_qs(exchange.body.decode("utf-8", "replace"), keep_blank_values=True)
    with contextlib.suppress(msgspec.DecodeError):
        answer = msgspec.json.decode(exchange.answer, type=dict[str, Any])
        fields = dict.fromkeys(key.partition("[")[0] if not key.startswith("metadata") else key for key in form)
        what = ", ".join(fields)
        created = exchange.path.endswith("/v1/customers")
        return str(answer.get("email") or answer.get("id") or ""), f"a new customer: {what}" if created else what
    return "", exchange.path


async def _first_end(tasks: set[asyncio.Task[None]]) -> None:
    """Wait until one of them ends. Raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _end_roles(roles: asyncio.Task[None], ended: asyncio.Event) -> None:
    ended.set()
    await asyncio.wait({roles})
    if not roles.cancelled():
        roles.exception()
