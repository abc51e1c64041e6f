"""P12, the ledger: a side's command is claimed only if its version is above what was settled there.

Where an app has idempotency keys, the create's key covers this (Stripe answers the second create with the first one's
answer); where it has a lock, the guard covers updates. A create in Google has neither.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from services.connectors import intake
from services.connectors.entry import Entry, Task
from services.runtime.log import Log, LogUnavailableError, Message
from services.sync.relay import Relay
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """Every command is taken in as the first one of its side."""

    def forgetful(accept: Any) -> Any:
        def first(entry: Entry | None, task: Task, **named: Any) -> Any:
            return accept(None, task, **named)

        return first

    replace(intake, "accept", forgetful)


class _Unheard:
    """The log, whose confirmation never comes."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(self, topic: str, messages: Sequence[Message]) -> None:
        await self._log.publish(topic, messages)
        raise LogUnavailableError("nobody heard that it is there")


async def story(stage: Stage) -> None:
    """A create's command is in the log, its relay doesn't hear of that, and publishes it again after it was done."""
    await stage.rest()
    await stage.make("left")
    await stage.hear()
    await stage.decide()
    unheard: Any = _Unheard(stage.log)
    with contextlib.suppress(LogUnavailableError):
        await Relay(stage.store, unheard).move()
    await stage.accept()
    await stage.work()
    assert await stage.relayed() == 1
    await stage.accept()
    await stage.work()


REMEDY = Remedy("ledger", take_away, story)
