"""The composition root: the only module that knows every service. Puts the roles together and runs them."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, NoReturn

import httpx2
import msgspec
import structlog

from services.connectors import discover
from services.connectors.gauges import ConnectorGauges, tell_pace
from services.connectors.runner import Runner
from services.ingest.app import application
from services.ingest.body import Bodies, Room
from services.ingest.gauges import IngestGauges
from services.ingest.hooks import Hooks
from services.ingest.poll import Pollers, Timing
from services.ingest.publish import Publisher
from services.ingest.registry import Accounts, Registered, loader, opener
from services.ingest.server import Server, bound
from services.ingest.wish import Wishes
from services.runtime import gauges, health, http, telemetry
from services.runtime.app import Access, App
from services.runtime.clock import DatabaseClock
from services.runtime.health import Health
from services.runtime.heap import keep_small, settle
from services.runtime.log.open import ManagedLog, log_of
from services.runtime.log.topics import RETENTION, topics
from services.runtime.metrics import Metrics
from services.runtime.parting import CANCEL_SECONDS, Parting, until_the_end
from services.runtime.secrets import Vault, vault
from services.runtime.settings import Settings
from services.runtime.store import Store
from services.runtime.store.embedded import AlreadyRunning, EmbeddedPostgres
from services.runtime.store.migrate import check, migrate
from services.runtime.tokens import StoreKeeper
from services.runtime.tracing.export import exported
from services.runtime.upkeep import keep_log, keep_time, measure
from services.sync.service import Sync

ROLES = frozenset({"ingest", "sync", "connectors"})
_PATIENCE_SECONDS = 3.0
_GRACE_SECONDS = 15
"""For webhooks that are being answered when the process is to end."""
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
        store = await stack.enter_async_context(Store.open(dsn, min_size=4, max_size=20, plan_once=True))
        async with store.pool.acquire() as connection:
            await (migrate(connection) if settings.bundled_store else check(connection))
        log = await stack.enter_async_context(log_of(settings, store))
        # A Kafka cluster has people who look after it: there, topics are made when they say so.
        ready = log.check_topics if settings.kafka_log and not settings.bundled_store else log.create_topics
        await ready(topics(apps))
        clock = DatabaseClock()
        await measure(clock, store)
        client = await stack.enter_async_context(http.client(reach=settings.reach))
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


async def serve_roles(
    installation: Installation,
    roles: frozenset[str],
    stop: asyncio.Event,
    *,
    apps: frozenset[str] | None = None,
    listener: socket.socket | None = None,
    health_listener: socket.socket | None = None,
    timing: Timing | None = None,
) -> None:
    """Run the roles until `stop` is set or one of them fails; then end them all in good order.

    From then on the process isn't ready any more; what it has begun is finished, and health checks are answered until
    that is done.
    """
    store, log, metrics = installation.store, installation.log, installation.metrics
    holder = holder_of(installation.settings)
    questions = {"log": log.ready, "schema": health.schema_check(store)}
    # Deliveries are taken while the database is away; nothing else is done then.
    asked = Health(metrics, questions if roles == {"ingest"} else {**questions, "store": health.store_check(store)})
    readings: dict[str, gauges.Reading] = {}
    tasks = {asyncio.create_task(keep_time(installation.clock, store), name="clock")}
    tasks.add(asyncio.create_task(gauges.keep(metrics, readings), name="gauges"))
    tasks.add(asyncio.create_task(gauges.beat(metrics), name="loop-delay"))
    tasks.add(asyncio.create_task(keep_small(), name="heap"))
    ending: set[asyncio.Task[Any]] = set()  # those that end by `stop`
    if installation.watch is not None:
        tasks.add(asyncio.create_task(installation.watch(), name="postgres"))
    if "sync" in roles:
        sync = Sync(store, log, {name: app.manifest for name, app in installation.apps.items()}, metrics)
        tasks.add(asyncio.create_task(sync.run(holder), name="sync"))
        retention = dict.fromkeys(topics(installation.apps), RETENTION)
        tasks.add(asyncio.create_task(keep_log(log, retention), name="log-retention"))
        readings["sync"] = sync.measure
    if "connectors" in roles:
        ending.add(asyncio.create_task(_runner(installation, holder).run(stop, apps), name="connectors"))
        served = {name: app.manifest for name, app in installation.apps.items() if apps is None or name in apps}
        tell_pace(metrics, served)
        readings["connectors"] = ConnectorGauges(store, log, metrics, served)
    if "ingest" in roles:
        ending |= _ingest(installation, holder, stop, listener or bound(installation.settings), asked, timing)
        readings["ingest"] = IngestGauges(store, metrics, installation.apps)
    async with _health_served(asked, health_listener):
        await until_the_end(tasks, ending, stop, asked)


@contextlib.asynccontextmanager
async def _health_served(asked: Health, listener: socket.socket | None) -> AsyncIterator[None]:
    """Answer health checks on a socket of their own, if there is one, until the block ends."""
    if listener is None:
        yield
        return
    over = asyncio.Event()
    serving = asyncio.create_task(_web(Server(health.application(asked), grace=1), listener, over), name="health")
    try:
        yield
    finally:
        over.set()
        await asyncio.wait({serving}, timeout=CANCEL_SECONDS)


async def _web(server: Server, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve until `stop` is set and what is under way is answered."""

    async def end() -> None:
        await stop.wait()
        server.should_exit = True

    ending = asyncio.create_task(end())
    try:
        await server.serve(sockets=[listener])
    finally:
        ending.cancel()
        listener.close()


def holder_of(settings: Settings) -> str:
    """Return the name under which this process is a member of groups and holds leases."""
    if settings.member is not None:
        return settings.member
    # The data folder's lock proves that nobody else works on a bundled store: its next process is the same member.
    return "embedded" if settings.bundled_store else f"{socket.gethostname()}-{os.getpid()}"


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
    installation: Installation,
    holder: str,
    stop: asyncio.Event,
    listener: socket.socket,
    asked: Health,
    timing: Timing | None,
) -> set[asyncio.Task[Any]]:
    store, settings = installation.store, installation.settings
    accounts = Accounts(loader(store, opener(installation.vault)))
    publisher = Publisher(installation.log, store=store)

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
    server = Server(application(hooks, asked), grace=_GRACE_SECONDS)
    return {
        asyncio.create_task(_web(server, listener, stop), name="http"),
        asyncio.create_task(pollers.run(stop), name="pollers"),
    }


async def run(settings: Settings, roles: frozenset[str], apps: frozenset[str] | None = None) -> int:
    """Run the roles until SIGINT or SIGTERM; return the exit status.

    Raises `PortTakenError`, `HealthPortError` and what `installed` raises, each with a sentence for a person, and what
    ended a role.
    """
    telemetry.configure(settings.log_format, settings.log_level)
    listener = bound(settings) if "ingest" in roles else None
    health_listener = None if settings.health_listen is None else health.listening(settings.health_listen)
    stop = Parting()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    try:
        async with (
            exported(settings.traces, ratio=settings.traces_ratio, instance=holder_of(settings)),
            installed(settings) as installation,
        ):
            structlog.get_logger().info("started", roles=",".join(sorted(roles)), listen=settings.listen)
            settle()
            await serve_roles(installation, roles, stop, apps=apps, listener=listener, health_listener=health_listener)
    finally:
        stop.over()
    structlog.get_logger().info("stopped")
    return 0
