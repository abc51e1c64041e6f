"""When to look at the log again: rung within the process, and by other processes through NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

import asyncpg
import structlog

CHANNEL = "contactsync_log"
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Doorbell:
    """Bells by name. Only reasons to look sooner: whoever waits for one looks again after a while anyway."""

    def __init__(self) -> None:
        self.deaf_to: int | None = None
        """The server process whose notifications need no second ring: our own writer's."""
        self._bells: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, dsn: str) -> AsyncIterator[Doorbell]:
        """Listen to `dsn` until the block ends, over connections that may come and go."""
        bell = cls()
        task = asyncio.create_task(bell._listen(dsn), name="log-doorbell")
        try:
            yield bell
        finally:
            task.cancel()
            await asyncio.wait({task})

    @contextlib.contextmanager
    def hear(self, *names: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever one of `names` is rung; who waits clears it."""
        event = asyncio.Event()
        for name in names:
            self._bells[name].add(event)
        try:
            yield event
        finally:
            for name in names:
                self._bells[name].discard(event)

    def ring(self, name: str) -> None:
        """Wake everybody in this process who hears `name`."""
        for event in self._bells.get(name, ()):
            event.set()

    def _notified(self, _: object, pid: int, __: str, payload: object) -> None:
        if pid != self.deaf_to:
            self.ring(str(payload))

    async def _listen(self, dsn: str) -> None:
        log = structlog.get_logger()
        pause = _FIRST_PAUSE
        lost = False
        while True:
            try:
                connection = await asyncpg.connect(
                    dsn, timeout=10, server_settings={"application_name": "contactsync-log-doorbell"}
                )
            except _LOST:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            try:
                closed = asyncio.Event()
                connection.add_termination_listener(lambda _, closed=closed: closed.set())
                await connection.add_listener(CHANNEL, self._notified)
                if lost:
                    log.info("log_doorbell_back")
                # What was rung while nobody listened.
                for name in list(self._bells):
                    self.ring(name)
                pause = _FIRST_PAUSE
                await closed.wait()
            except _LOST:
                await asyncio.sleep(pause)
            finally:
                connection.terminate()
            lost = True
            log.warning("log_doorbell_lost")
