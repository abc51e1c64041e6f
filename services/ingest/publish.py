"""What ingest puts into `contacts.events`: readings sealed, keyed by contact, and confirmed by the log."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import asyncpg

from services.contracts.app import Reading
from services.contracts.envelope import event_key, headers, seal
from services.contracts.events import Event, ScanFinished
from services.runtime.log import EVENTS, LogUnavailableError, Message
from services.runtime.suppression import Asked, Suppressed, Suppressions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 250_000_000_000_000_000  # the year 9892; `datetime` ends with 9999
_STORE_SECONDS = 2.0
_AT_ONCE = 500
"""Messages of one publication: a page of thousands shouldn't have to fit into one confirmation."""


def moment(microseconds: int) -> datetime:
    """Return the UTC time that is `microseconds` after 1970; the nearest one there is for a clock gone wild."""
    return _EPOCH + timedelta(microseconds=min(max(microseconds, 0), _LATEST))


def sealed(event: Event, *, id: str, contact_id: str, time: datetime, traceparent: str | None = None) -> Message:
    """Return the log message for an event. `contact_id` is empty for events about a whole account."""
    envelope = seal(event, id=id, source=event.account, subject=contact_id, time=time, traceparent=traceparent)
    return Message(key=event_key(event.account, contact_id), headers=headers(envelope), value=envelope.data)


def contact_of(reading: Reading) -> str:
    """Return the id of the contact that a reading is about."""
    match reading.event:
        case ScanFinished():
            return ""  # apps don't read these, ingest itself says them
        case event:
            return event.contact_id


class Appends(Protocol):
    """The half of the `Log` port that ingest writes through."""

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        """As `Log.publish`."""
        ...

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        """As `Log.publish_everywhere`."""
        ...


class Publisher:
    """Publishes events, except those about people who were forgotten, and knows how many are under way.

    `limit` bounds publications for deliveries (`busy`); `timeout` is how many seconds the log gets to confirm.
    `store` knows who was forgotten.
    """

    def __init__(self, log: Appends, *, store: Asked | None = None, limit: int = 256, timeout: float = 10.0) -> None:
        self._log = log
        self._store = store
        self._suppressions = Suppressions()
        self._reading = asyncio.Lock()
        self._readings = 0
        self._limit = limit
        self._timeout = timeout
        self.in_flight = 0

    def busy(self) -> bool:
        """Whether so many publications wait for the log that another delivery had better come later."""
        return self.in_flight >= self._limit

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when all messages are durable. Raises `LogUnavailableError`; publishing again is safe."""
        self.in_flight += 1
        try:
            messages = (await self._suppressed()).kept(messages)
            for first in range(0, len(messages), _AT_ONCE):
                async with asyncio.timeout(self._timeout):
                    await self._log.publish(EVENTS, messages[first : first + _AT_ONCE])
        except TimeoutError as error:
            raise LogUnavailableError(f"the log didn't confirm within {self._timeout:g} s") from error
        finally:
            self.in_flight -= 1

    async def _suppressed(self) -> Suppressed:
        """Who was forgotten; as of the last reading while the store is away, and sync looks once more.

        Publications that come while it is being read share the next reading.
        """
        if self._store is None:
            return Suppressed()
        begun = self._readings
        try:
            async with asyncio.timeout(_STORE_SECONDS), self._reading:
                if self._readings > begun:  # it began after this call did
                    return self._suppressions.last
                self._readings += 1
                return await self._suppressions.current(self._store)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return self._suppressions.last  # whatever the store's trouble is, a delivery is taken in

    async def publish_everywhere(self, message: Message) -> None:
        """Return when the message is durable in every partition. Raises `LogUnavailableError`."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._log.publish_everywhere(EVENTS, message)
        except TimeoutError as error:
            raise LogUnavailableError(f"the log didn't confirm within {self._timeout:g} s") from error
