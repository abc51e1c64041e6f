"""One bundled PostgreSQL for the whole session, and a fresh, migrated database for every test that asks.

And one Kafka for the whole session, or one of its own for a test that kills brokers.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from services.demo.kafka import Cluster, KafkaMissingError, broker_cluster
from services.runtime.store import Store
from services.runtime.store.embedded import EmbeddedPostgres
from services.runtime.store.migrate import migrate
from tests import kafka as brokers

T = TypeVar("T")
TEMPLATE = "contactsync_template"
# Nothing here has to outlive a power cut. Tests that kill a server start their own, with the product's
# settings.
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Postgres:
    """The session's server. It runs on a thread and loop of its own, so no test's loop matters to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tests-postgres", daemon=True)
        self._server = EmbeddedPostgres(folder, settings=FAST)

    def start(self) -> None:
        self._thread.start()
        self.run(self._server.__aenter__())

    def stop(self) -> None:
        self.run(self._server.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def prepare(self) -> None:
        """Migrate the database that tests' own are copied from."""
        self.run(self._admin(f"CREATE DATABASE {TEMPLATE}"))
        self.run(_migrate(self.dsn(TEMPLATE)))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=120)

    def dsn(self, database: str) -> str:
        return self._server.dsn.replace("/contactsync?", f"/{database}?")

    def create(self, template: str = TEMPLATE) -> str:
        """A new database's address; `template1` gives an empty one."""
        name = f"test_{next(self._numbers)}"
        self.run(self._admin(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return self.dsn(name)

    def drop(self, dsn: str) -> None:
        name = dsn.rpartition("/test_")[2].partition("?")[0]
        self.run(self._admin(f"DROP DATABASE IF EXISTS test_{name} WITH (FORCE)"))

    async def _admin(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _migrate(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await migrate(connection)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may pass through (pytest's own temporary folders are private)."""
    folder = Path(tempfile.mkdtemp(prefix="contactsync-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(open_folder: Path) -> Iterator[Postgres]:
    """The session's server: `postgres.create()` makes a database, `postgres.drop(dsn)` removes it."""
    server = Postgres(open_folder / "session")
    server.start()
    try:
        server.prepare()
        yield server
    finally:
        server.stop()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The address of a fresh, migrated database, for tests that open several stores on it."""
    dsn = postgres.create()
    yield dsn
    postgres.drop(dsn)


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    """The address of a database without any of our schema."""
    dsn = postgres.create("template1")
    yield dsn
    postgres.drop(dsn)


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A store on a fresh, migrated database of its own."""
    async with Store.open(database) as opened:
        yield opened


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Gives a function that polls an async condition until it is true, or fails after some seconds."""

    async def wait(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - the condition lies in another process
                await asyncio.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def kafka_here(request: pytest.FixtureRequest) -> None:
    """This machine can run brokers; otherwise the test is skipped, and the session's end says so."""
    try:
        brokers.fetched()
    except KafkaMissingError as error:
        (pytest.fail if brokers.required() else pytest.skip)(brokers.told(str(error)))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[brokers.Kafka]:
    """The session's Kafka, at `kafka.bootstrap`; everyone shares it, so topics and groups have names of their own."""
    if address := os.environ.get(brokers.ADDRESS):
        yield brokers.Kafka(address)
        return
    request.getfixturevalue("kafka_here")
    broker = brokers.OwnBroker()
    try:
        cluster = broker.start()
    except BaseException:
        broker.close()
        raise
    try:
        yield brokers.Kafka(cluster.bootstrap)
    finally:
        broker.stop()


@pytest.fixture
async def kafka_broker(kafka_here: None, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A fresh broker, `kafka_broker.nodes[0]`, that the test may kill, pause and start again."""
    async with broker_cluster(tmp_path / "kafka") as cluster:
        yield cluster


@pytest.fixture
async def kafka_cluster(kafka_here: None, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A fresh cluster of three brokers that the test may kill, pause and start again."""
    async with broker_cluster(tmp_path / "kafka", nodes=3) as cluster:
        yield cluster


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, loudly, that tests had no Kafka: whichever process of the session skipped them."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if reason := next((line for line in skipped if brokers.LOUD in line), None):
        said = reason[reason.index(brokers.LOUD) :].rstrip("'\")")
        terminalreporter.write_line(said, red=True, bold=True)
