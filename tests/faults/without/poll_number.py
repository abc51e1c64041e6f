"""P6, the poll number: raised and committed before each request, so that no two answers share their events' ids."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from services.ingest import cursor
from services.runtime.log import Log, Message
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage

_SAVED = ("_SCANNED", "_LIVE", "_PASSED", "_POLLED")


def take_away() -> None:
    """The number is raised with the saving of the page, when it has been published."""

    def raising(statement: str) -> str:
        return re.sub(r"(UPDATE ingest\.cursor\s+SET)", r"\1 poll_number = poll_number + 1,", statement)

    replace(cursor, "_BEGIN", lambda _: cursor._READ)
    for name in _SAVED:
        replace(cursor, name, raising)


class _EndError(Exception):
    """The process ends here."""


class _Last:
    """The log, and the process that publishes there ends as soon as it has."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await self._log.publish(topic, messages)
        raise _EndError

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        await self._log.publish_everywhere(topic, message)


async def story(stage: Stage) -> None:
    """A page is published, the process ends before that is saved, the contact changes, the page is read again."""
    await stage.make("left", "right")
    await stage.rest()
    await stage.edit("right", "phone")
    with contextlib.suppress(_EndError):
        await stage.poller("r0", _Last(stage.log))._request()
    await stage.edit("right", "phone")
    await stage.see("r0")


REMEDY = Remedy("poll_number", take_away, story)
