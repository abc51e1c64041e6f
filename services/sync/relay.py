"""The relay moves commands from the outbox into the log: published first, deleted after, so at least once."""

import asyncio
from collections import Counter
from typing import NoReturn

import structlog

from services.runtime.log import Log, Message, commands_topic
from services.runtime.log.errors import is_passing
from services.runtime.metrics import Metrics
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.save import decode_headers
from services.sync.traced import relayed

CHUNK = 500
IDLE = 0.5
"""Seconds after which the outbox is looked at without being woken."""

_NEXT = "SELECT id, topic, key, headers, value FROM sync.outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED"
# What a power cut brings back is published once more: not worth a flush of the disk that the next commands wait for.
_SENT = """
DELETE FROM sync.outbox USING (SELECT set_config('synchronous_commit', 'off', true)) unhurried
 WHERE id = ANY($1::bigint[])
"""


class Relay:
    """Several relays share the work: each takes rows that no other holds. Versions make their order harmless."""

    def __init__(self, store: Store, log: Log, metrics: Metrics | None = None) -> None:
        self._store = store
        self._log = log
        self._metrics = metrics or Metrics()
        self.woken = asyncio.Event()

    async def run(self) -> NoReturn:
        """Move rows for ever. Whoever commits rows in this process sets `woken`; other processes move their own."""
        while True:
            await self._pass()

    async def _pass(self) -> None:
        self.woken.clear()
        try:
            moved = await self.move()
        except Exception as error:
            if not is_passing(error):
                raise
            structlog.get_logger().warning("relay_put_off", error=type(error).__name__)
            await asyncio.sleep(IDLE)
            return
        if moved < CHUNK:
            try:
                async with asyncio.timeout(IDLE):  # 3.11's wait_for may swallow the end of a role
                    await self.woken.wait()
            except TimeoutError:
                return

    async def move(self) -> int:
        """Publish one chunk and delete it; return how many messages went."""

        async def work(database: Database) -> Counter[tuple[str, str]]:
            rows = await database.fetch(_NEXT, CHUNK)
            topics: dict[str, list[Message]] = {}
            for row in rows:
                message = Message(key=row["key"], headers=decode_headers(row["headers"]), value=row["value"])
                topics.setdefault(row["topic"], []).append(message)
            with relayed(topics) as traced:
                for topic, messages in traced.items():
                    await self._log.publish(topic, messages)
            if rows:
                await database.execute(_SENT, [row["id"] for row in rows])
            return Counter((topic, _type(message)) for topic, each in topics.items() for message in each)

        moved = await self._store.retrying(work, repeatable=True)
        for (topic, type_), count in moved.items():
            app = topic.removeprefix(commands_topic(""))
            if app != topic:
                self._metrics.commands.labels(app, type_.removeprefix("command.")).inc(count)
        return moved.total()


def _type(message: Message) -> str:
    return next((value.decode() for name, value in message.headers if name == "ce_type"), "")
