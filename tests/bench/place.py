"""Where a part of the bench runs: the servers that all its competitors share, and how durable they are."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
from aiokafka.admin import AIOKafkaAdminClient

from services.runtime.log.kafka import KafkaLog

TEMPLATE = "bench_template"
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_POLL_SECONDS = 0.05
_ALL = -1
"""`acks=all`, as the protocol writes it."""
_numbers = itertools.count(1)


class BrokenError(Exception):
    """The measurement is worth nothing: the bench ends with a status other than 0."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What a part is given.

    `quick`: a taste, for which a part has about five seconds. `runs`: how many runs a row is to have.
    """

    quick: bool
    runs: int
    folder: Path
    """A folder of this part's own that every user may pass through; it goes in the end."""
    postgres: str = ""
    """The address of a server with the product's own settings; "" if the part didn't ask for one."""
    kafka: str = ""
    """`host:port` of a fresh broker; "" if the part didn't ask for one, or …"""
    kafka_missing: str = ""
    """… why there is none."""
    peers: str = ""
    """The Python of the peers' environment; "" if there is none, and …"""
    peers_missing: str = ""
    """… why."""

    @contextlib.asynccontextmanager
    async def database(self, template: str = TEMPLATE) -> AsyncIterator[str]:
        """Give the address of a fresh, migrated database on a server that was found durable; it goes in the end.

        `template1` gives an empty one. Raises `BrokenError` if the server may forget what it acknowledged.
        """
        name = f"bench_{os.getpid()}_{next(_numbers)}"
        admin = await asyncpg.connect(self.postgres)
        try:
            await assert_durable(admin)
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            try:
                yield address_of(self.postgres, name)
            finally:
                await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await admin.close()


def address_of(dsn: str, database: str) -> str:
    """The address of another database of the same server."""
    head, _, options = dsn.partition("?")
    return f"{head.rpartition('/')[0]}/{database}" + (f"?{options}" if options else "")


async def sweep(bootstrap: str) -> None:
    """Delete all topics, for a database that knows nothing of them; return once they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        while topics := [name for name in await admin.list_topics() if not name.startswith("__")]:
            await admin.delete_topics(topics)
            await asyncio.sleep(_POLL_SECONDS)  # the broker says nothing when it is done
    finally:
        await admin.close()


async def assert_durable(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Raise `BrokenError` unless what this connection commits outlives a power cut."""
    found = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _DURABLE}
    if found != _DURABLE:
        raise BrokenError(f"PostgreSQL isn't durable here: {found}")


async def assert_acks(log: KafkaLog) -> None:
    """Raise `BrokenError` unless what the log publishes is acknowledged by all copies. It has to have published."""
    producer = log._producer._producer
    sender = producer and producer._sender
    if sender is None or sender._acks != _ALL or sender._txn_manager is None:
        raise BrokenError("The log's producer doesn't wait for all copies, or isn't idempotent.")
