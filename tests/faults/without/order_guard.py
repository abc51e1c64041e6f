"""P5, the order guard: an observation that is earlier than what is known changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from services.ingest.cursor import scan_again
from services.runtime.log import Log, Message
from services.sync.core import observe
from services.sync.core.observe import Folded
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """What comes last counts as the latest."""

    def blind(_: Any) -> Any:
        return lambda record, sight: Folded(record=observe._moved(observe._apply(record, sight)), effect="later")

    replace(observe, "_ordered", blind)


class _Slow:
    """The log, which a process reaches only when the gate opens."""

    def __init__(self, log: Log) -> None:
        self.asked, self.gate = asyncio.Event(), asyncio.Event()
        self._log = log

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        self.asked.set()
        await self.gate.wait()
        await self._log.publish(topic, messages)

    async def publish_everywhere(self, topic: str, message: Message) -> None:
        await self._log.publish_everywhere(topic, message)


async def story(stage: Stage) -> None:
    """A scan's page is read, then the contact is edited and its webhook taken in, and then the page is published."""
    await stage.make("left", "right")
    await stage.rest()
    async with stage.store.transaction() as database:
        await scan_again(database, "l0")
    slow = _Slow(stage.log)
    scan = asyncio.create_task(stage.poller("l0", slow)._request())
    await slow.asked.wait()
    await stage.edit("left", "phone")
    await stage.hear()
    await stage.go_on()
    slow.gate.set()
    await scan


REMEDY = Remedy("order_guard", take_away, story)
