"""Two Stripe accounts, or one and an address book, kept in step by an installation that is processes on Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.stripe.sandbox import StripeSandbox, serve
from services.runtime.log import EVENTS, RECEIPTS, LogUnavailableError, Partition, commands_topic
from services.runtime.log.open import ManagedLog, open_log
from services.runtime.store import Store
from tests.end_to_end.processes import Process, Processes, until
from tests.end_to_end.two_stripes import KEYS, SECRETS, comparable, live

SESSION = 6
"""Seconds for which a member may be silent here: the least that a broker takes by itself."""
BOOK_POLL = "0.2"
RETRIES = (0.1, 0.2, 0.4, *(0.5,) * 200)
"""Seconds between two tries of a webhook: Stripe has hours, and as much patience."""
QUIET = 0.3
_SETTLED = """
SELECT NOT EXISTS (SELECT FROM sync.outbox) AND NOT EXISTS (SELECT FROM sync.wake)
   AND NOT EXISTS (SELECT FROM sync.link WHERE unsettled > 0 OR reconsider_at IS NOT NULL)
   AND NOT EXISTS (SELECT FROM sync.contact WHERE looking)
   AND NOT EXISTS (SELECT FROM connectors.ledger WHERE state <> 'settled')
   AND NOT EXISTS (SELECT FROM connectors.read) AND NOT EXISTS (SELECT FROM connectors.report)
"""
_COUNTS = """
SELECT (SELECT count(*) FROM sync.outbox) AS outbox, (SELECT count(*) FROM sync.wake) AS wake,
    (SELECT count(*) FROM sync.contact WHERE looking) AS looking, (SELECT count(*) FROM connectors.read) AS read,
    (SELECT count(*) FROM connectors.report) AS report
"""
_HANDLED = """
SELECT topic, partition, next_offset FROM sync.progress
UNION ALL SELECT topic, partition, next_offset FROM connectors.progress
"""
_SCANNED = "SELECT count(*) FROM sync.account WHERE scanned_at IS NOT NULL"
_POLLED = "SELECT poll_number FROM ingest.cursor WHERE account = 'book'"
_TAKEN = "SELECT topic, partition FROM sync.progress WHERE grp = 'sync'"


class Front(httpx2.AsyncBaseTransport):
    """Sends each request to the next of several ports, as a load balancer would; knows nothing of their health."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._turns = itertools.cycle(ports)
        self._inner = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass the request on; what becomes of it is the sender's to deal with."""
        request.url = request.url.copy_with(port=next(self._turns))
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class House:
    """The accounts, the processes between them, and a view into their database and log."""

    def __init__(
        self, left: StripeSandbox, right: StripeSandbox | CarddavSandbox, processes: Processes, ports: Sequence[int]
    ) -> None:
        self.left = left
        self.processes = processes
        self.ports = ports
        self.store: Store
        self.log: ManagedLog
        self._right = right
        self._view = contextlib.AsyncExitStack()

    @property
    def right(self) -> StripeSandbox:
        """The right account, if it is Stripe's."""
        assert isinstance(self._right, StripeSandbox)
        return self._right

    @property
    def book(self) -> CarddavSandbox:
        """The right account, if it is an address book."""
        assert isinstance(self._right, CarddavSandbox)
        return self._right

    @property
    def both(self) -> tuple[StripeSandbox, StripeSandbox]:
        return self.left, self.right

    @property
    def shops(self) -> list[StripeSandbox]:
        return [each for each in (self.left, self._right) if isinstance(each, StripeSandbox)]

    async def look(self, dsn: str, log_url: str) -> None:
        """Look into this database and log from now on, and not into the former."""
        await self.look_away()
        self.store = await self._view.enter_async_context(Store.open(dsn, max_size=3, name="test"))
        self.log = await self._view.enter_async_context(open_log(log_url, self.store))

    async def look_away(self) -> None:
        """Have no connection to the database and the log any more."""
        await self._view.aclose()

    async def ready(self, *processes: Process, seconds: float = 60) -> None:
        """Wait until these processes have taken up what they are there for."""
        for process in processes:

            async def up(process: Process = process) -> bool:
                assert process.running, f"{process.name} ended:\n{process.words()}"
                return bool(process.said("started"))

            await until(up, seconds, f"{process.name} is ready")

    async def scanned(self, seconds: float = 60) -> None:
        """Wait until both first scans have passed, and all partitions have an owner."""

        async def done() -> bool:
            return bool(await self.store.fetchval(_SCANNED) == 2)

        await until(done, seconds, "both accounts are scanned")

    async def quiet(self) -> bool:
        """Whether nothing is on its way inside."""
        if not await self.store.fetchval(_SETTLED):
            return False
        handled = {Partition(row["topic"], row["partition"]): row["next_offset"] for row in await self._rows()}
        # The ends are asked last: what was published since the other answers shows as not handled.
        topics = (EVENTS, RECEIPTS, commands_topic("stripe"), commands_topic("carddav"))
        try:
            bounds = [await self.log.bounds(topic) for topic in topics]
        except LogUnavailableError:
            return False
        return all(end <= handled.get(place, 0) for each in bounds for place, (_, end) in each.items())

    async def rest(self, seconds: float = 60) -> None:
        """Wait until all webhooks are delivered, the feeds read, nothing is to be done and nobody has written.

        Raises `AssertionError` that says what is still to be done.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            left = deadline - asyncio.get_running_loop().time()
            assert left > 0, f"no rest within {seconds:g} s: {await self._unrest()}"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    for shop in self.shops:
                        await shop.webhooks.drain()
                    await self._polled()
                    before = await self.moves()
                    idle = await self.quiet()
                    await asyncio.sleep(QUIET if idle else 0.05)
                    if idle and await self.moves() == before and await self.quiet():
                        return

    def alike(self) -> bool:
        """Whether both Stripe accounts hold the same customers."""
        left, right = (sorted(map(comparable, live(each)), key=str) for each in self.both)
        return left == right

    async def moves(self) -> tuple[object, ...]:
        """What changes whenever somebody writes, or sends a webhook."""
        shops = [(len(shop.requests.writes()), len(shop.webhooks.deliveries)) for shop in self.shops]
        return (*shops, *await self.cards()) if isinstance(self._right, CarddavSandbox) else tuple(shops)

    async def cards(self) -> list[str]:
        """The texts of the cards in the book."""
        return [await self.book.get(name) or "" for name in await self.book.names()]

    async def parked(self) -> int:
        """How many messages were set aside."""
        count: int = await self.store.fetchval("SELECT count(*) FROM sync.parked")
        return count

    async def incoming(self, topic: str = EVENTS) -> dict[Partition, int]:
        """Where the next message of each partition will stand."""
        return {place: end for place, (_, end) in (await self.log.bounds(topic)).items()}

    async def _rows(self) -> list[Any]:
        return list(await self.store.fetch(_HANDLED))

    async def _polled(self) -> None:
        """Wait for a poll of the book that begins after now and ends."""
        if isinstance(self._right, CarddavSandbox):
            before = await self.store.fetchval(_POLLED)
            while await self.store.fetchval(_POLLED) < before + 2:  # noqa: ASYNC110 - it lies in another process
                await asyncio.sleep(0.05)

    async def _unrest(self) -> str:
        waiting = [len([d for d in shop.webhooks.deliveries if d.state == "waiting"]) for shop in self.shops]
        links = await self.store.fetch(
            "SELECT id, status, unsettled, wait_reason, reconsider_at FROM sync.link "
            "WHERE unsettled > 0 OR reconsider_at IS NOT NULL LIMIT 3"
        )
        ledger = await self.store.fetch(
            "SELECT link, side, state, type FROM connectors.ledger WHERE state <> 'settled'"
        )
        handled = {(row["topic"], row["partition"]): row["next_offset"] for row in await self._rows()}
        behind = [
            (topic, place.number, end - handled.get((topic, place.number), 0))
            for topic in (EVENTS, RECEIPTS, commands_topic("stripe"), commands_topic("carddav"))
            for place, end in (await self.incoming(topic)).items()
            if end > handled.get((topic, place.number), 0)
        ]
        counts = await self.store.fetchrow(_COUNTS)
        told = {} if counts is None else dict(counts)
        return f"webhooks {waiting}, links {links}, ledger {ledger[:3]}, unhandled {behind}, rows {told}"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        # Below the ports that systems give to outgoing connections: a process that is down for a moment keeps its own.
        ports: list[int] = []
        while len(ports) < count:
            with contextlib.suppress(OSError):
                port = random.SystemRandom().randrange(16_384, 32_768)
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports


@contextlib.asynccontextmanager
async def house(
    folder: Path, dsn: str, log_url: str, *, ingests: int = 1, book: bool = False, seed: int = 0, session: int = SESSION
) -> AsyncIterator[House]:
    """The accounts, and an installation with its topics and connections in which nothing runs yet.

    `seed`: so many people are in both Stripe accounts before anybody looks. `session`: seconds.
    """
    async with contextlib.AsyncExitStack() as stack:
        ports = _free_ports(ingests)
        front = Front(ports)
        shops = [
            await stack.enter_async_context(
                StripeSandbox(
                    key,
                    secret,
                    rng=random.Random(at),
                    webhook_retries=RETRIES,
                    webhook_timeout=15,
                    webhook_transport=front,
                )
            )
            for at, (key, secret) in enumerate(zip(KEYS[: 1 if book else 2], SECRETS, strict=False))
        ]
        stack.push_async_callback(front.aclose)
        for number in range(seed):
            for shop in shops:
                shop.dashboard.create(name=f"P {number}", email=f"p{number}@example.com")
        right = await stack.enter_async_context(CarddavSandbox(folder / "radicale")) if book else shops[1]
        urls = [await stack.enter_async_context(serve(shop)) for shop in shops]
        for shop, account, secret in zip(shops, ("shop", "other"), SECRETS, strict=False):
            shop.webhooks.endpoints.add(f"http://127.0.0.1:{ports[0]}/hooks/{account}", secret=secret)
        processes = await stack.enter_async_context(
            Processes(folder / "processes", dsn, log_url, CONTACTSYNC_KAFKA_SESSION_SECONDS=str(session))
        )
        made = House(shops[0], right, processes, ports)
        for at, port in enumerate(ports):
            processes.role(f"ingest-{at}", "ingest", CONTACTSYNC_LISTEN=f"127.0.0.1:{port}")
        await processes.command("migrate")
        file = folder / "connections.yaml"
        file.write_text(_connections(urls, right if isinstance(right, CarddavSandbox) else None))
        await processes.command("apply", str(file))
        stack.push_async_callback(made.look_away)
        await made.look(dsn, log_url)
        yield made


def _connections(urls: Sequence[str], book: CarddavSandbox | None) -> str:
    shop = f'shop: {{app: stripe, api_base: "{urls[0]}", api_key: {KEYS[0]}, webhook_secrets: [{SECRETS[0]}]}}'
    if book is None:
        other = f'other: {{app: stripe, api_base: "{urls[1]}", api_key: {KEYS[1]}, webhook_secrets: [{SECRETS[1]}]}}'
        # A slow machine edits these few people so often that they would count as a loop.
        pair = "shop-other: {left: shop, right: other, options: {sync_deletions: both, most_writes: 0}}"
    else:
        login = f'username: {book.username}, password: "{book.password}", poll_seconds: {BOOK_POLL}'
        other = f'book: {{app: carddav, url: "{book.url}", {login}}}'
        pair = "shop-book: {left: shop, right: book, options: {avoid_duplicates: true, sync_deletions: right_to_left}}"
    return f"accounts:\n  {shop}\n  {other}\nconnections:\n  {pair}\n"
