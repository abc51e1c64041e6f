"""A sync worker in a process of its own, to be killed: `python -m tests.integration.sync_child DSN MEMBER`."""

import asyncio
import sys

from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Store
from services.sync.worker import Worker
from tests.integration.sync_rig import MANIFESTS


async def run(dsn: str, member: str) -> None:
    async with Store.open(dsn, name="sync-child") as store, PostgresLog.open(store) as log:
        await Worker(store, log, MANIFESTS, lambda: None).run(member)


asyncio.run(run(sys.argv[1], sys.argv[2]))
