"""Wake-ups: NOTIFY as a reason to look sooner, over connections that come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Self

import asyncpg
import structlog

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


class Wakeups:
    """Notifications of some channels, merged into one flag, and what they named. Waiting clears the flag."""

    def __init__(self, dsn: str, channels: Sequence[str]) -> None:
        self._dsn = dsn
        self._channels = channels
        self._flag = asyncio.Event()
        self._named: set[str] | None = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, dsn: str, channels: Sequence[str]) -> AsyncIterator[Self]:
        """Listen until the block ends. Entered as soon as the channels are listened to; raises if that fails."""
        wakeups = cls(dsn, channels)
        task = asyncio.create_task(wakeups._run(await wakeups._connect()), name="store-wakeups")
        try:
            yield wakeups
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds; True when somebody notified, or might have while we were disconnected."""
        try:
            async with asyncio.timeout(timeout):
                await self._flag.wait()
        except TimeoutError:
            return False
        self._flag.clear()
        return True

    def named(self) -> frozenset[str] | None:
        """Return the payloads that came since this was last asked; None if some may have been missed."""
        named, self._named = self._named, set()
        return None if named is None else frozenset(named)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(self._dsn, timeout=10, server_settings={"application_name": "wakeups"})
        try:
            for channel in self._channels:
                await connection.add_listener(channel, self._notified)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _notified(self, _: object, __: int, ___: str, payload: object) -> None:
        if self._named is not None:
            self._named.add(str(payload))
        self._flag.set()

    async def _run(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        log = structlog.get_logger()
        while True:
            await _until_closed(connection)
            log.warning("wakeups_lost")
            pause = _FIRST_PAUSE
            while True:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    connection = await self._connect()
                    break
            self._named = None
            self._flag.set()
            log.info("wakeups_back")


async def _until_closed(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    try:
        if not connection.is_closed():
            await closed.wait()
    finally:
        connection.terminate()
