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

import httpx2
import msgspec

from services.demo import caption, servers
from services.demo.book import Book
from services.demo.child import Child, DemoError
from services.demo.follow import Follower, following
from services.demo.google import QuickGoogle
from services.demo.house import House
from services.demo.office import Office
from services.demo.scene import NotInStep, Scene
from services.demo.screen import Screen
from services.demo.shop import Shop
from services.demo.story import STEPS
from services.demo.tap import Exchange, Tap
from services.ingest.poll import Timing
from services.ingest.server import bound
from services.main import ROLES, Installation, installed, serve_roles
from services.runtime import telemetry
from services.runtime.clock import SystemClock
from services.runtime.registry.apply import NotApplicable, apply
from services.runtime.registry.check import Config, check, rendered
from services.runtime.settings import Settings

_PORTS = {"hooks": 8420, "shop": 8421, "book": 8422, "office": 8423, "kafka": 8424}
"""Where the demo is found if nobody else is there."""
_FOLLOW_SECONDS = 0.05
_WHO = """
Stripe is localstripe and the address book Radicale, both other people's programs. Google is a sandbox of ours that
enforces the People API's rules; it is asked more often than Google would allow.
"""


async def run(settings: Settings, *, exit_: bool, with_burst: bool = False, kafka: bool = False) -> int:
    """Play the demo; the exit status is 0 if every step was in step, or if it was stopped before one wasn't.

    `exit_` ends it with the story; `with_burst` plays a burst after the story, and ends it, too. Raises `DemoError`,
    and what `installed` raises, each with a sentence.
    """
    servers.require()
    telemetry.configure(settings.log_format, "error")  # the screen tells what is refused
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop.set)
    demo = Demo(settings, kafka=kafka)
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

    def __init__(self, settings: Settings, *, kafka: bool = False) -> None:
        self._kafka = kafka
        # Its own data beside the real one's, its own PostgreSQL, a free port: a demo never meets an installation.
        self._settings = settings.model_copy(
            update={
                "data_dir": settings.data_dir / ("demo-kafka" if kafka else "demo"),
                "store_url": None,
                "secret_key": None,
                "log_url": "postgres:",
                "member": None,
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
            if self._kafka:
                self.screen.say("Starting Apache Kafka (the first time it is fetched) …", "dim")
                kafka = await stack.enter_async_context(servers.kafka_server(self._folder / "kafka", _PORTS["kafka"]))
                self._settings = self._settings.model_copy(update={"log_url": f"kafka://{kafka}"})
            opened = await stack.enter_async_context(installed(self._settings))
            installation = msgspec.structs.replace(opened, apps={**opened.apps, "google_contacts": QuickGoogle()})
            http = await stack.enter_async_context(httpx2.AsyncClient(timeout=30, trust_env=False))
            urls, children = await self._servers(stack, http)
            listener = bound(self._settings)
            urls["hooks"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            hooks, to_shop, to_book, to_office = [
                await stack.enter_async_context(
                    Tap(name, urls[name], self._heard).open(_PORTS["hooks"] if name == "hooks" else 0)
                )
                for name in ("hooks", "shop", "book", "office")
            ]
            shop = Shop(http, urls["shop"])
            await shop.send_webhooks_to(f"{hooks.url}/hooks/shop")
            self.screen.say("The connections file that is put into force:\n", "dim")
            self.screen.say(_connections())
            self.screen.say(_WHO, "dim")
            config = await self._apply(installation, urls["office"], to_shop, to_book, to_office)
            ended = asyncio.Event()
            timing = Timing(watch=0.5)
            roles = asyncio.create_task(serve_roles(installation, ROLES, ended, listener=listener, timing=timing))
            stack.push_async_callback(_end_roles, roles, ended)
            google = installation.apps["google_contacts"].manifest
            scene = Scene(
                run=self._begin_run(),
                installation=installation,
                patience=next(google.of(each.settings).patience for each in config.accounts if each.name == "office"),
                shop=shop,
                book=Book(http, urls["book"]),
                office=Office(http, urls["office"]),
                hooks=hooks,
                to_shop=to_shop,
                to_book=to_book,
                to_office=to_office,
                house=House(installation, tuple(each.name for each in config.accounts)),
                http=http,
            )
            watching = {asyncio.create_task(each.watch()) for each in children}
            for watcher in watching:
                stack.push_async_callback(_cancel, watcher)
            follower = await stack.enter_async_context(following(installation, self.screen))
            told = asyncio.create_task(self._tell(scene, follower, begun))
            stack.push_async_callback(_cancel, told)
            await _first_end({told, roles} | watching)
            self.scene.set_result(scene)
            if exit_:
                self._note_run(scene.run, finished=True)
            else:
                await self._invite(scene)
                showing = asyncio.create_task(self._follow(follower))
                stack.push_async_callback(_cancel, showing)
                await _first_end({showing, roles} | watching)

    async def _servers(
        self, stack: contextlib.AsyncExitStack, http: httpx2.AsyncClient
    ) -> tuple[dict[str, str], list[Child]]:
        """Start the three other servers; gives their addresses by account, and their processes."""
        kinds = {
            "shop": servers.stripe_server(self._folder / "localstripe", http, _PORTS["shop"]),
            "book": servers.book_server(self._folder / "radicale", http, _PORTS["book"]),
            "office": servers.office_server(self._folder / "google", http, _PORTS["office"]),
        }
        async with asyncio.TaskGroup() as starting:
            up = {name: starting.create_task(stack.enter_async_context(kind)) for name, kind in kinds.items()}
        return {name: task.result()[0] for name, task in up.items()}, [task.result()[1] for task in up.values()]

    async def _tell(self, scene: Scene, follower: Follower, begun: float) -> None:
        house, screen = scene.house, self.screen
        if scene.run > 1 and not self._finished:
            screen.say("The last run was stopped in the midst: all accounts are read again from start to end.\n")
            await house.scan_again()
        await house.ready()
        await follower.skip()
        screen.say(f"Run {scene.run} on {self._folder}, up in {time.perf_counter() - begun:.1f} s.", "dim")
        showing = asyncio.create_task(self._follow(follower))
        try:
            scene.started = time.perf_counter()
            for number, step in enumerate(STEPS, 1):
                await screen.settle(follower.follow)
                screen.say(f"\n{number:>2}  {step.title}", "bold")
                scene.begun = time.perf_counter()
                try:
                    note = await step.play(scene)
                except (NotInStep, httpx2.HTTPError, LookupError) as error:
                    self.failures += 1
                    await screen.settle(follower.follow)
                    screen.say(f"    NOT in step: {str(error) or type(error).__name__}", "bold red")
                else:
                    await screen.settle(follower.follow)
                    screen.say(f"    in step: {note}", "green")
        finally:
            await _cancel(showing)
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

    async def _apply(self, installation: Installation, google: str, shop: Tap, book: Tap, office: Tap) -> Config:
        environ = {
            "DEMO_STRIPE_KEY": servers.STRIPE_KEY,
            "DEMO_STRIPE_WEBHOOK_SECRET": servers.WEBHOOK_SECRET,
            "DEMO_STRIPE_URL": shop.url,
            "DEMO_BOOK_URL": f"{book.url}/{servers.BOOK_USER}/contacts/",
            "DEMO_BOOK_PASSWORD": servers.BOOK_PASSWORD,
            **{f"DEMO_GOOGLE_{key.upper()}": value for key, value in servers.OFFICE.items()},
            "DEMO_GOOGLE_URL": office.url,
            "DEMO_GOOGLE_TOKEN_URL": f"{google}/token",  # no tap before it: asking for a token is no write
        }
        checked = check(_connections(), {name: app.manifest for name, app in installation.apps.items()}, environ)
        if checked.config is None:
            raise DemoError(rendered(checked.problems, "connections.yaml"))
        now = SystemClock().now()
        made = await apply(installation.store, installation.vault, checked.config, by="demo", now=now)
        if isinstance(made, NotApplicable):
            raise DemoError("\n".join(made.reasons))
        return checked.config

    async def _follow(self, follower: Follower) -> None:
        while True:
            await follower.follow()
            self.screen.flush()
            await asyncio.sleep(_FOLLOW_SECONDS)

    def _heard(self, exchange: Exchange) -> None:
        """Show what a tap saw."""
        line = caption.line(exchange)
        if line is not None:
            self.screen.add(line)

    async def _invite(self, scene: Scene) -> None:
        folder, card, google = self._folder, scene.book.url, f"{scene.office.url}/v1/people"
        bearer = f"-H 'authorization: Bearer {await scene.office.token()}'"
        self.screen.say(
            f"""
The demo stays up; Ctrl-C ends it, the data is kept in {folder}.
  Stripe        {scene.shop.url}/v1/customers   (key {servers.STRIPE_KEY})
  address book  {card}   (user {servers.BOOK_USER}, password {servers.BOOK_PASSWORD})
  Google        {google}/me/connections   (the token below, for an hour)
  webhooks      {scene.hooks.url}/hooks/shop, health {scene.hooks.url}/readyz, metrics {scene.hooks.url}/metrics
Try, in another window:
  curl -u {servers.STRIPE_KEY}: {scene.shop.url}/v1/customers -d name='Emmy Noether' -d email=emmy@example.com
  curl -u {servers.STRIPE_KEY}: {scene.shop.url}/v1/customers/{scene.ids.get("Ada", "ID")} -d phone='+1 202 555 0199'
  curl -u {servers.BOOK_USER}:{servers.BOOK_PASSWORD} {card}
  curl {bearer} '{google}/me/connections?personFields=names,emailAddresses'
  curl {bearer} -X DELETE {google.removesuffix("people")}{scene.contacts.get("Alan", "people/ID")}:deleteContact
  CONTACTSYNC_DATA_DIR={shlex.quote(str(folder))} {shlex.quote(sys.argv[0])} status"""
        )


def _connections() -> str:
    return resources.files("services.demo").joinpath("connections.yaml").read_text(encoding="utf-8")


async def _first_end(tasks: set[asyncio.Task[Any]]) -> None:
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
