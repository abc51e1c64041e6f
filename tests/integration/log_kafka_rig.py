"""A shared broker, and a way to it that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from services.runtime.log import LogUnavailableError
from services.runtime.log.errors import (
    TopicSettingsError,
    UnknownTopicError,
)
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.kafka_access import addresses
from tests.kafka import Kafka
from tests.log_suite import SECONDS

SESSION = timedelta(seconds=6)
"""The least that a broker allows by default."""


class KafkaLogs:
    def __init__(self, bootstrap: str, *, static: bool = False) -> None:
        self.hosts = addresses(f"kafka://{bootstrap}")
        self.static = static

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[KafkaLog]:
        async with KafkaLog.open(self.hosts, static=self.static, session=SESSION) as log:
            yield log


class Line:
    """A way to the broker that can be cut, and that the broker's own answers lead back to."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.behind = host, port
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._up = asyncio.Event()
        self._up.set()
        self._silent = False
        self.refused = 0
        """How many connections came to nothing."""

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[Line]:
        server = await asyncio.start_server(self._serve, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._up.set()
            self.cut()
            server.close()

    @property
    def hosts(self) -> list[tuple[str, int]]:
        return [(self.host, self.port)]

    def cut(self) -> None:
        """Every connection breaks, and new ones end at once."""
        self._up.clear()
        for writer in self._writers:
            writer.close()

    def refuse(self) -> None:
        """Connections stay, and new ones end at once."""
        self._up.clear()

    def hush(self) -> None:
        """Connections stay, and nothing comes back any more."""
        self._silent = True

    def mend(self) -> None:
        self._silent = False
        self._up.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up.is_set():
            self.refused += 1
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(self.host, self.behind)
        self._writers |= {writer, far_writer}
        tasks = {
            asyncio.create_task(self._there(reader, far_writer)),
            asyncio.create_task(self._back(far_reader, writer)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._writers -= {writer, far_writer}
            writer.close()
            far_writer.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told, ours = (self.host.encode() + struct.pack(">i", port) for port in (self.behind, self.port))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await reader.readexactly(4)
                frame = await reader.readexactly(struct.unpack(">i", size)[0])
                if not self._silent:
                    writer.write(size + frame.replace(told, ours))
                    await writer.drain()


@pytest.fixture(name="name")
def fresh_name() -> str:
    """A name for a topic and a group that no other test has."""
    return f"kafka.{secrets.token_hex(6)}"


@pytest.fixture(name="log")
async def opened_log(kafka: Kafka) -> AsyncIterator[KafkaLog]:
    async with KafkaLogs(kafka.bootstrap).open() as opened:
        yield opened


@pytest.fixture(name="admin")
async def started_admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    yield client
    await client.close()


@pytest.fixture(name="line")
async def laid_line(kafka: Kafka) -> AsyncIterator[Line]:
    [(host, port), *_] = addresses(f"kafka://{kafka.bootstrap}")
    async with Line(host, port).laid() as laid:
        yield laid


async def make_anew(admin: AIOKafkaAdminClient, log: KafkaLog, name: str, partitions: int) -> None:
    """Delete the topic and create it again, as somebody with Kafka's own tools would."""
    await admin.delete_topics([name])
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(TopicSettingsError, LogUnavailableError, UnknownTopicError):
                await log.create_topics({name: partitions})
                return
            await asyncio.sleep(0.05)
