"""The poller of one account: its first scan, then its change feed, for as long as the lease is held."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec
import structlog

from services.contracts.app import Ability, CursorLost, Page, Reading, Trouble
from services.contracts.connection import Account
from services.contracts.events import ContactChanged, ScanFinished
from services.ingest.cursor import Cursor, Cursors
from services.ingest.lease import LeaseLostError
from services.ingest.patience import Pace, growing, pause_after
from services.ingest.publish import Publisher, contact_of, moment, sealed
from services.ingest.traced import polled
from services.runtime import tracing
from services.runtime.app import Access, App
from services.runtime.log import LogUnavailableError, Message
from services.runtime.metrics import Metrics

_LOOK_AGAIN = 5.0
"""Seconds after which a resting poller reads its row again, should the news of a wish have been lost."""
_ANSWER = 180.0
"""Seconds for one request of an app, above the HTTP client's own limits."""

Answer: TypeAlias = Page | CursorLost | Trouble


def interval(app: App, account: Account) -> float | None:
    """Return the seconds between two polls of the account's feed, or None if it has no feed."""
    if Ability.POLL not in app.manifest.abilities:
        return None
    seconds = app.manifest.of(account.settings).poll_interval
    return seconds if seconds > 0 else None


class Poller:
    """Reads one account and publishes what it reads.

    `woken` is set by whoever knows that somebody changed the row.
    """

    def __init__(  # noqa: PLR0913 - what one account needs, each by its name
        self,
        app: App,
        account: Account,
        access: Access,
        *,
        publisher: Publisher,
        cursors: Cursors,
        woken: asyncio.Event,
        metrics: Metrics,
        pace: Pace,
        reconcile: float = 0.0,
    ) -> None:
        """`reconcile`: seconds after a full scan's end at which the next one begins; 0 for never."""
        self._app = app
        self._account = account
        self._access = access
        self._publisher = publisher
        self._cursors = cursors
        self._woken = woken
        self._metrics = metrics
        self._pace = pace
        self._reconcile = reconcile
        self._interval = interval(app, account)
        self._since: datetime | None = None
        """When the pages being read were due: another time in the row by their end is somebody's wish."""
        self._log = structlog.get_logger().bind(account=account.name, app=account.app)

    async def run(self) -> None:
        """Read until cancelled. Raises `LeaseLostError`, and asyncpg's errors when the database is away."""
        while True:
            self._woken.clear()  # before the row is read: what changes it later is heard
            cursor = await self._cursors.read()
            if self._is_old(cursor):
                self._log.info("reconcile_started", scan=cursor.scan_number + 1)
                await self._cursors.again(cursor)
                continue
            feedless = cursor.state == "live" and self._interval is None
            if not feedless and cursor.due <= 0:
                await self._request()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN if feedless else min(cursor.due, _LOOK_AGAIN)):
                    await self._woken.wait()

    def _is_old(self, cursor: Cursor) -> bool:
        """Whether everybody is to be read anew: what no webhook and no feed told of is found by that."""
        if not self._reconcile or cursor.scan_age is None or cursor.trouble_count or self._since is not None:
            return False
        return cursor.state == "live" and cursor.scan_age >= self._reconcile

    async def _request(self) -> None:
        await self._pace.turn()
        cursor = await self._cursors.begin()
        self._since = self._since or cursor.next_poll_at
        if cursor.state == "scanning" and cursor.page_cursor is None:
            self._log.info("scan_started", scan=cursor.scan_number)
        asked = tracing.moment()
        answer = await self._answer(cursor)
        if not self._cursors.held:
            raise LeaseLostError(self._account.name)
        match answer:
            case Page():
                try:
                    await self._page(cursor, answer, asked)
                except LogUnavailableError:
                    await self._log_away(cursor)
                    return
                if cursor.trouble_count:
                    self._log.info("poll_back", attempts=cursor.trouble_count)
            case CursorLost() if cursor.state == "scanning" and cursor.page_cursor is None:
                # There was no cursor to lose: starting over again and again would help nobody.
                await self._trouble(cursor, Trouble(key="cursor", detail=answer.reason))
            case CursorLost():
                self._since = None
                self._log.warning("cursor_lost", scan=cursor.scan_number)
                await self._cursors.lost(cursor, answer.reason)
            case Trouble():
                await self._trouble(cursor, answer)

    async def _answer(self, cursor: Cursor) -> Answer:
        try:
            async with asyncio.timeout(_ANSWER):
                if cursor.state == "scanning":
                    return await self._app.scan(self._access, cursor.page_cursor)
                return await self._app.poll(self._access, cursor.feed_cursor or "")
        except TimeoutError:
            return Trouble(key="unanswered", detail=f"no answer within {_ANSWER:g} s")
        except Exception as error:  # noqa: BLE001 - a fault in one app's reader is that account's trouble alone
            return Trouble(
                key=type(error).__name__,
                detail=f"a fault in reading this app ({type(error).__name__}): update contactsync, or report it",
            )

    async def _page(self, cursor: Cursor, page: Page, asked: int) -> None:
        scanning = cursor.state == "scanning"
        webhooks = Ability.WEBHOOK in self._app.manifest.abilities
        messages = numbered(cursor, page.readings, events_have_ids=webhooks)
        if messages:
            with polled(messages, self._account.name, self._account.app, began=asked) as traced:
                await self._publisher.publish(traced)
        for reading in page.readings:
            self._metrics.events_published.labels(type(reading.event).__name__).inc()
        count = sum(isinstance(reading.event, ContactChanged) for reading in page.readings)
        if page.more:
            await (self._cursors.scanned(cursor, page, count) if scanning else self._cursors.passed(cursor, page))
            return
        since, pause = self._since or cursor.next_poll_at, self._interval or 0.0
        if not scanning:
            await self._cursors.polled(cursor, page, since, pause)
            self._since = None
            return
        await self._publisher.publish_everywhere(finished(cursor, cursor.scan_count + count))
        await self._cursors.live(cursor, page, count, since, pause)
        self._since = None
        self._log.info(
            "scan_finished",
            scan=cursor.scan_number,
            page=cursor.scan_pages + 1,
            count=cursor.scan_count + count,
        )

    async def _trouble(self, cursor: Cursor, trouble: Trouble) -> None:
        self._since = None
        pause = pause_after(trouble, self._app.manifest.verdicts, cursor.trouble_count + 1)
        if not cursor.trouble_count:
            self._log.warning("poll_trouble", reason=str(trouble.key))
        await self._cursors.trouble(trouble.detail, pause)

    async def _log_away(self, cursor: Cursor) -> None:
        self._since = None
        if not cursor.trouble_count:
            self._log.warning("poll_trouble", reason="log_away")
        await self._cursors.trouble(
            "The log doesn't confirm what was read. It is read again once the log is back.",
            growing(cursor.trouble_count + 1),
        )


def numbered(cursor: Cursor, readings: Sequence[Reading], *, events_have_ids: bool) -> list[Message]:
    """Return the messages for a page's readings.

    Ids are made of the account, the number of the request and the contact; a contact that the page shows again gets
    a counter, because its facts differ. `events_have_ids`: where the feed lists the very events that webhooks carry
    (a reading named by something else than its contact), they keep the app's id, and what came both ways collapses.
    """
    seen: Counter[str] = Counter()
    messages = []
    for reading in readings:
        contact_id, event = contact_of(reading), reading.event
        if cursor.state == "scanning" and isinstance(event, ContactChanged):
            event = msgspec.structs.replace(event, scan=cursor.scan_number)
        again = f".{seen[contact_id]}" if seen[contact_id] else ""
        seen[contact_id] += 1
        id = f"{cursor.account}:{cursor.request}{again}:{contact_id}"
        if events_have_ids and cursor.state == "live" and reading.id != contact_id:
            id = reading.id
        messages.append(sealed(event, id=id, contact_id=contact_id, time=moment(reading.time)))
    return messages


def finished(cursor: Cursor, count: int) -> Message:
    """Return the message that says that the scan is over, `count` contacts in all."""
    event = ScanFinished(account=cursor.account, number=cursor.scan_number, start=cursor.scan_start, count=count)
    return sealed(event, id=f"{cursor.account}:scan:{cursor.scan}", contact_id="", time=moment(cursor.scan_start))
