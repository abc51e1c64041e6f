"""The composition root: the only module that knows every service. Puts the roles together and runs them."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, NoReturn

import httpx2
import msgspec
import structlog

from services.connectors import discover
from services.connectors.runner import Runner
from services.ingest.app import application
from services.ingest.body import Bodies, Room
from services.ingest.hooks import Hooks
from services.ingest.poll import Pollers, Timing
from services.ingest.probes import Probes, schema_check
from services.ingest.publish import Publisher
from services.ingest.registry import Accounts, Registered, loader, opener
from services.ingest.server import Server, bound
from services.ingest.wish import Wishes
from services.runtime import http, telemetry
from services.runtime.app import Access, App
from services.runtime.clock import DatabaseClock
from services.runtime.log.errors import is_passing
from services.runtime.log.open import ManagedLog, log_of
from services.runtime.log.topics import RETENTION, topics
from services.runtime.metrics import Metrics
from services.runtime.secrets import Vault, vault
from services.runtime.settings import Settings
from services.runtime.store import Store
from services.runtime.store.embedded import AlreadyRunning, EmbeddedPostgres
from services.runtime.store.migrate import check, migrate
from services.runtime.tokens import StoreKeeper
from services.sync.service import Sync

ROLES = frozenset({"ingest", "sync", "connectors"})
_CLOCK_SECONDS = 60.0
_HOUR_SECONDS = 3600.0
_PATIENCE_SECONDS = 3.0
_GRACE_SECONDS = 15
_BODY_SECONDS = 10.0
_BODY_ROOM = 64 * 1024 * 1024
"""Bytes of deliveries being read at once: beyond it they are told to come later."""


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What every role of this process shares."""

    settings: Settings
    store: Store
    log: ManagedLog
    vault: Vault
    clock: DatabaseClock
    client: httpx2.AsyncClient
    apps: Mapping[str, App]
    metrics: Metrics
    keeper: StoreKeeper
    watch: Callable[[], Coroutine[Any, Any, NoReturn]] | None = None
    """Ends by an exception when the bundled PostgreSQL can't be kept running."""


@contextlib.asynccontextmanager
async def installed(settings: Settings) -> AsyncIterator[Installation]:
    """Open the store, the log and what else the roles share. A bundled store is migrated by the way.

    Raises what its parts raise, each with a sentence for a person: `AlreadyRunning`, `SchemaBehind`, `SecretsError`,
    `LogUrlError`.
    """
    apps = discover()
    async with contextlib.AsyncExitStack() as stack:
        watch = None
        if settings.store_url is None:
            postgres = await _bundled(settings, stack)
            dsn, watch = postgres.dsn, postgres.watch
        else:
            dsn = settings.store_url.get_secret_value()
        key = None if settings.secret_key is None else settings.secret_key.get_secret_value()
        safe = vault(key, settings.data_dir, bundled_store=settings.bundled_store)
        store = await stack.enter_async_context(Store.open(dsn, min_size=4, max_size=20))
        async with store.pool.acquire() as connection:
            await (migrate(connection) if settings.bundled_store else check(connection))
        log = await stack.enter_async_context(log_of(settings, store))
        # A Kafka cluster has people who look after it: there, topics are made when they say so.
        ready = log.check_topics if settings.kafka_log and not settings.bundled_store else log.create_topics
        await ready(topics(apps))
        clock = DatabaseClock()
        await clock.measure(_ask(store))
        client = await stack.enter_async_context(http.client())
        keeper = StoreKeeper(store, safe)
        stack.push_async_callback(keeper.aclose)
        yield Installation(
            settings=settings,
            store=store,
            log=log,
            vault=safe,
            clock=clock,
            client=client,
            apps=apps,
            metrics=Metrics(),
            keeper=keeper,
            watch=watch,
        )


async def _bundled(settings: Settings, stack: contextlib.AsyncExitStack) -> EmbeddedPostgres:
    """Start the bundled PostgreSQL; a short command that has it at this moment gets the time to end."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        try:
            return await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))
        except AlreadyRunning:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.2)


def _ask(store: Store) -> Callable[[], Coroutine[Any, Any, datetime]]:
    async def ask() -> datetime:
        now: datetime = await store.fetchval("SELECT clock_timestamp()")
        return now

    return ask


async def _keep_time(installation: Installation) -> NoReturn:
    while True:
        await asyncio.sleep(_CLOCK_SECONDS)
        try:
            await installation.clock.measure(_ask(installation.store))
        except Exception as error:
            if not is_passing(error):
                raise


async def _keep_log(installation: Installation) -> NoReturn:
    """Let the log forget what is past its time, every hour."""
    while True:
        try:
            await installation.log.expire(dict.fromkeys(topics(installation.apps), RETENTION))
        except Exception as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(_HOUR_SECONDS)


async def serve_roles(
    installation: Installation,
    roles: frozenset[str],
    stop: asyncio.Event,
    *,
    apps: frozenset[str] | None = None,
    listener: socket.socket | None = None,
    timing: Timing | None = None,
) -> None:
    """Run the roles until `stop` is set or one of them fails; then end them all in good order."""
    holder = holder_of(installation.settings)
    async with contextlib.AsyncExitStack() as stack:
        tasks: set[asyncio.Task[Any]] = {asyncio.create_task(_keep_time(installation), name="clock")}
        if installation.watch is not None:
            tasks.add(asyncio.create_task(installation.watch(), name="postgres"))
        if "sync" in roles:
            manifests = {name: app.manifest for name, app in installation.apps.items()}
            sync = Sync(installation.store, installation.log, manifests)
            tasks.add(asyncio.create_task(sync.run(holder), name="sync"))
            tasks.add(asyncio.create_task(_keep_log(installation), name="log-retention"))
        if "connectors" in roles:
            runner = _runner(installation, holder)
            tasks.add(asyncio.create_task(runner.run(stop, apps), name="connectors"))
        if "ingest" in roles:
            tasks |= _ingest(installation, holder, stop, listener or bound(installation.settings), timing)
        stopping = asyncio.create_task(stop.wait(), name="stop")
        stack.push_async_callback(_ended, tasks | {stopping})
        done, _ = await asyncio.wait(tasks | {stopping}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        failed = [task for task in done if task is not stopping and not task.cancelled() and task.exception()]
        if failed:
            failed[0].result()
        parting = {task for task in tasks if task.get_name() in ("http", "pollers", "connectors")}
        if parting:
            await asyncio.wait(parting, timeout=_GRACE_SECONDS)


def holder_of(settings: Settings) -> str:
    """Return the name under which this process is a member of groups and holds leases."""
    if settings.member is not None:
        return settings.member
    # The data folder's lock proves that nobody else works on a bundled store: its next process is the same member.
    return "embedded" if settings.bundled_store else f"{socket.gethostname()}-{os.getpid()}"


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=_GRACE_SECONDS)


def _runner(installation: Installation, holder: str) -> Runner:
    return Runner(
        installation.apps,
        installation.store,
        installation.log,
        installation.clock,
        unseal=opener(installation.vault),
        http=installation.client,
        holder=holder,
        metrics=installation.metrics,
        keeper=installation.keeper,
    )


def _ingest(
    installation: Installation, holder: str, stop: asyncio.Event, listener: socket.socket, timing: Timing | None
) -> set[asyncio.Task[Any]]:
    store, settings = installation.store, installation.settings
    accounts = Accounts(loader(store, opener(installation.vault)))
    publisher = Publisher(installation.log)

    def access(registered: Registered) -> Access:
        return Access(
            account=registered.account.name,
            settings=registered.account.settings,
            credentials=registered.credentials,
            http=installation.client,
            clock=installation.clock,
            keeper=installation.keeper,
        )

    pollers = Pollers(
        store,
        accounts,
        installation.apps,
        access,
        publisher,
        installation.metrics,
        holder=holder,
        timing=timing or Timing(reconcile=settings.reconcile_hours * 3600),
    )
    hooks = Hooks(
        installation.apps,
        accounts,
        publisher,
        Bodies(limit=settings.body_limit, seconds=_BODY_SECONDS, room=Room(_BODY_ROOM)),
        installation.metrics,
        access=access,
        wish=Wishes(store),
    )
    probes = Probes(installation.log, schema_check(store), installation.metrics)
    server = Server(application(hooks, probes), grace=_GRACE_SECONDS)

    async def web() -> None:
        ending = asyncio.create_task(_stop_server(server, probes, stop))
        try:
            await server.serve(sockets=[listener])
        finally:
            ending.cancel()
            listener.close()

    return {
        asyncio.create_task(web(), name="http"),
        asyncio.create_task(pollers.run(stop), name="pollers"),
    }


async def _stop_server(server: Server, probes: Probes, stop: asyncio.Event) -> None:
    await stop.wait()
    probes.draining = True
    server.should_exit = True


async def run(settings: Settings, roles: frozenset[str], apps: frozenset[str] | None = None) -> int:
    """Run the roles until SIGINT or SIGTERM; return the exit status.

    Raises `PortTakenError` and what `installed` raises, each with a sentence for a person.
    """
    telemetry.configure(settings.log_format, settings.log_level)
    listener = bound(settings) if "ingest" in roles else None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with installed(settings) as installation:
        structlog.get_logger().info("started", roles=",".join(sorted(roles)), listen=settings.listen)
        await serve_roles(installation, roles, stop, apps=apps, listener=listener)
    structlog.get_logger().info("stopped")
    return 0
