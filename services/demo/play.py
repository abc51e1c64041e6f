"""`contactsync demo`: everything is started, the story is played, and the result is told."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
import time
from importlib import resources
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


async def run(settings: Settings, *, exit_: bool, with_burst: bool = False) -> int:
    """Play the demo; the exit status is 0 if every step was in step, or if it was stopped before one wasn't.

    `exit_` ends it with the story; `with_burst` plays a burst after the story, and ends it, too. Raises `DemoError`,
    and what `installed` raises, each with a sentence.
    """
    servers.require()
    telemetry.configure(settings.log_format, "warning")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop.set)
    demo = Demo(settings)
    playing, stopping = (
        asyncio.create_task(_play(demo, settings, exit_=exit_, with_burst=with_burst)),
        asyncio.create_task(stop.wait()),
    )
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await _cancel(stopping)
    if not playing.done():
        await _cancel(playing)
    if not playing.cancelled():
        playing.result()
    return 1 if demo.failures else 0


async def _play(demo: Demo, settings: Settings, *, exit_: bool, with_burst: bool) -> None:
    await demo.play(exit_=exit_ or with_burst)
    if with_burst:
        from services.demo.burst import burst  # noqa: PLC0415 - sandboxes that the story doesn't need

        took = await burst(settings)
        demo.screen.say(took.told())


class _Run(msgspec.Struct, frozen=True):
    run: int = 0
    finished: bool = True


class Demo:
    """One run of the demo on the folder that `settings` name, which nobody else may be using."""

    def __init__(self, settings: Settings) -> None:
        # Its own data beside the real one's, its own PostgreSQL, a free port: a demo never meets an installation.
        self._settings = settings.model_copy(
            update={
                "data_dir": settings.data_dir / "demo",
                "store_url": None,
                "secret_key": None,
                "log_url": "postgres:",
                "listen": "127.0.0.1:0",
            }
        )
        self._folder = self._settings.data_dir.resolve()
        self.screen = Screen()
        self.failures = 0
        """Steps that weren't in step."""
        self.scene: asyncio.Future[Scene] = asyncio.get_running_loop().create_future()
        """What is up, once the story has been told."""

    async def play(self, *, exit_: bool) -> None:
        """Start everything, tell the story, and stay up unless `exit_`. Raises as `run`."""
        begun = time.perf_counter()
        async with contextlib.AsyncExitStack() as stack:
            installation = await stack.enter_async_context(installed(self._settings))
            house = House(installation.store, self.screen)
            http = await stack.enter_async_context(httpx2.AsyncClient(timeout=30, trust_env=False))
            async with asyncio.TaskGroup() as starting:
                shop_up = starting.create_task(
                    stack.enter_async_context(servers.stripe_server(self._folder / "localstripe", http, _PORTS["shop"]))
                )
                book_up = starting.create_task(
                    stack.enter_async_context(servers.book_server(self._folder / "radicale", http, _PORTS["book"]))
                )
            (shop_url, shop_child), (book_url, book_child) = shop_up.result(), book_up.result()
            listener = bound(self._settings)
            ingest = f"http://127.0.0.1:{listener.getsockname()[1]}"
            hooks, to_shop, to_book = [
                await stack.enter_async_context(
                    Tap(name, upstream, self._heard).open(_PORTS["hooks"] if name == "hooks" else 0)
                )
                for name, upstream in (("hooks", ingest), ("shop", shop_url), ("book", book_url))
            ]
            shop, book = Shop(http, shop_url), Book(http, book_url)
            await shop.send_webhooks_to(f"{hooks.url}/hooks/shop")
            self.screen.say("The connections file that is put into force:\n", "dim")
            self.screen.say(_connections())
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
            self.scene.set_result(scene)
            if exit_:
                self._note_run(scene.run, finished=True)
            else:
                self._invite(scene)
                follower = asyncio.create_task(self._follow(house))
                stack.push_async_callback(_cancel, follower)
                await _first_end({follower, roles} | watching)

    async def _tell(self, scene: Scene, begun: float) -> None:
        house, screen = scene.house, self.screen
        if scene.run > 1 and not self._finished:
            screen.say("The last run was stopped in the midst: both accounts are read again from start to end.\n")
            await house.scan_again()
        await house.ready()
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
                    self.failures += 1
                    await screen.settle(house.follow)
                    screen.say(f"    NOT in step: {str(error) or type(error).__name__}", "bold red")
                else:
                    await screen.settle(house.follow)
                    screen.say(f"    in step: {note}", "green")
        finally:
            await _cancel(following)
        screen.say(f"\n{scene.figures.told()}")
        screen.say(f"the story took {time.perf_counter() - scene.started:.0f} s")
        screen.say(f"demo: {len(STEPS) - self.failures} of {len(STEPS)} steps in step", "bold")

    def _begin_run(self) -> int:
        """Count this run: its people are its own, whatever became of the ones before."""
        before = _Run()
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            before = msgspec.json.decode((self._folder / "run.json").read_bytes(), type=_Run)
        self._finished = before.finished
        self._note_run(before.run + 1, finished=False)
        return before.run + 1

    def _note_run(self, run: int, *, finished: bool) -> None:
        """`finished`: every webhook was waited for; those that localstripe hadn't sent when it ended are lost."""
        half = self._folder / "run.new"
        half.write_bytes(msgspec.json.encode(_Run(run, finished)))
        half.replace(self._folder / "run.json")

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
            self.screen.flush()
            await asyncio.sleep(_FOLLOW_SECONDS)

    def _heard(self, exchange: Exchange) -> None:
        """Show what a tap saw: writes that reached the other servers, and webhooks that were refused."""
        took = f"{(exchange.answered - exchange.arrived) * 1000:.0f} ms"
        if exchange.place == "hooks" and exchange.status >= 400:
            self.screen.add(Line(exchange.at, "refused", "shop", "webhook", _refusal(exchange), took))
        elif exchange.place != "hooks" and exchange.is_write:
            kind = "written" if exchange.status < 300 else "refused"
            who, what = _written(exchange)
            if kind == "refused":
                what = f"{what} ({exchange.status})"
            self.screen.add(Line(exchange.at, kind, exchange.place, who, what, took))

    def _invite(self, scene: Scene) -> None:
        folder, card = self._folder, scene.book.url
        self.screen.say(
            f"""
The demo stays up; Ctrl-C ends it, the data is kept in {folder}.
  Stripe        {scene.shop.url}/v1/customers   (key {servers.STRIPE_KEY})
  address book  {card}   (user {servers.BOOK_USER}, password {servers.BOOK_PASSWORD})
  webhooks      {scene.hooks.url}/hooks/shop, health {scene.hooks.url}/readyz, metrics {scene.hooks.url}/metrics
Try, in another window:
  curl -u {servers.STRIPE_KEY}: {scene.shop.url}/v1/customers -d name='Emmy Noether' -d email=emmy@example.com
  curl -u {servers.STRIPE_KEY}: {scene.shop.url}/v1/customers/{scene.ids.get("Ada", "ID")} -d phone='+1 202 555 0199'
  curl -u {servers.BOOK_USER}:{servers.BOOK_PASSWORD} {card}
  CONTACTSYNC_DATA_DIR={shlex.quote(str(folder))} {shlex.quote(sys.argv[0])} status"""
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


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def _end_roles(roles: asyncio.Task[None], ended: asyncio.Event) -> None:
    ended.set()
    await asyncio.wait({roles})
    if not roles.cancelled():
        roles.exception()
