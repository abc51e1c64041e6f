"""The embedded log's writer: group commit without a timer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
import structlog

from services.runtime.log import LogUnavailableError
from services.runtime.log.doorbell import Doorbell

_APPEND = "SELECT log.append($1::text[], $2::int[], $3::int[], $4::bytea[], $5::bytea[], $6::bytea[])"
_CONNECT_SECONDS = 5.0
_FLUSH_MESSAGES = 5_000
_FLUSH_BYTES = 8 << 20
_AWAY = "The log did not confirm the publication; publish again."


class Row(NamedTuple):
    """One message on its way into one partition."""

    topic: str
    number: int
    key: bytes
    headers: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Sequence[Row]
    size: int
    done: asyncio.Future[None]


class Writer:
    """Takes publications into a bounded queue; writes what is queued as soon as the previous commit returned.

    A failed commit fails everybody who was in it and nobody else; it isn't repeated here, because only the
    publisher knows whether it still wants it.
    """

    def __init__(self, dsn: str, bell: Doorbell, *, max_messages: int, max_bytes: int, timeout: float) -> None:
        self._dsn = dsn
        self._bell = bell
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._queue: deque[_Waiting] = deque()
        self._messages = 0
        self._bytes = 0
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @property
    def full(self) -> bool:
        """Whether a publication would be refused now."""
        return self._closed or self._messages >= self._max_messages or self._bytes >= self._max_bytes

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write until the block ends; what is queued by then is still written, within the time-out."""
        task = asyncio.create_task(self._run(), name="log-writer")
        try:
            yield
        finally:
            self._closed = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await self._idle.wait()
            task.cancel()
            await asyncio.wait({task})
            self._hang_up()

    async def put(self, rows: Sequence[Row]) -> None:
        """Return when all `rows` are durable, in one transaction; raise `LogUnavailableError` otherwise."""
        size = sum(len(row.key) + len(row.headers) + len(row.value) for row in rows)
        if self._closed:
            raise LogUnavailableError("The log is closing; publish again after the restart.")
        # What alone is larger than the bounds may pass alone.
        if self._messages and (self._messages + len(rows) > self._max_messages or self._bytes + size > self._max_bytes):
            raise LogUnavailableError(
                f"The log is behind: {self._messages} messages ({self._bytes} bytes) wait to be written. Publish "
                "again in a moment; if this lasts, look at the database's disk."
            )
        waiting = _Waiting(rows, size, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._messages += len(rows)
        self._bytes += size
        self._filled.set()
        self._idle.clear()
        await waiting.done

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        messages = size = 0
        while self._queue:
            messages += len(self._queue[0].rows)
            size += self._queue[0].size
            if taken and (messages > _FLUSH_MESSAGES or size > _FLUSH_BYTES):
                break
            taken.append(self._queue.popleft())
        return taken

    async def _run(self) -> None:
        taken: list[_Waiting] = []
        try:
            while True:
                await self._filled.wait()
                taken = self._take()
                await self._write(taken)
                for waiting in taken:
                    self._messages -= len(waiting.rows)
                    self._bytes -= waiting.size
                if not self._queue:
                    self._filled.clear()
                    self._idle.set()
        finally:
            for waiting in (*taken, *self._queue):
                if not waiting.done.done():
                    waiting.done.set_exception(LogUnavailableError(_AWAY))

    async def _write(self, taken: Sequence[_Waiting]) -> None:
        rows = [row for waiting in taken for row in waiting.rows]
        try:
            async with asyncio.timeout(self._timeout):
                await self._flush(rows)
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody was told that it is durable
            self._hang_up()
            structlog.get_logger().warning("log_write_failed", messages=len(rows), error=type(error).__name__)
            for waiting in taken:
                if not waiting.done.done():
                    unavailable = LogUnavailableError(_AWAY)
                    unavailable.__cause__ = error
                    waiting.done.set_exception(unavailable)
            return
        for topic in {row.topic for row in rows}:
            self._bell.ring(f"topic:{topic}")
        for waiting in taken:
            if not waiting.done.done():
                waiting.done.set_result(None)

    async def _flush(self, rows: Sequence[Row]) -> None:
        connection = self._connection
        if connection is None or connection.is_closed():
            # A connection of its own: publications don't wait for the store's pool, nor pay for its resets.
            connection = self._connection = await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_SECONDS,
                server_settings={"application_name": "contactsync-log-writer"},
            )
            self._bell.deaf_to = connection.get_server_pid()
        counts: Counter[tuple[str, int]] = Counter()
        ranks: list[int] = []
        for row in rows:
            ranks.append(counts[row.topic, row.number])
            counts[row.topic, row.number] += 1
        topics, numbers, keys, headers, values = zip(*rows, strict=True)
        await connection.fetchval(_APPEND, topics, numbers, ranks, keys, headers, values)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
