"""P12, the stored receipt: a version that is settled is answered again with what came of it."""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import replace as changed

from services.connectors import intake
from services.connectors.entry import Entry, Task
from services.runtime.log.postgres import PostgresLog
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage
from tests.integration.sync_rig import Rig

_LONG = 700.0
"""Seconds: longer than sync waits for a receipt before it sends the command again."""


def take_away() -> None:
    """The ledger knows that a version is settled, and no longer how."""

    def forgetful(accept: Any) -> Any:
        def answer(entry: Entry | None, task: Task, **named: Any) -> Any:
            return accept(None if entry is None else changed(entry, receipt=None), task, **named)

        return answer

    replace(intake, "accept", forgetful)


async def story(stage: Stage) -> None:
    """A write's receipt is lost; who sees what it wrote changes that; the command is sent again."""
    await stage.make("left", "right")
    await stage.rest()
    await stage.edit("left", "phone")
    await stage.hear()
    await stage.decide()
    await stage.relayed()
    await stage.accept()
    await stage.work(publish=False)
    await stage.store.execute("DELETE FROM connectors.report")
    await stage.edit("right", "phone")
    await stage.see("r0")
    await stage.take()
    await Rig(stage.store, cast("PostgresLog", stage.log)).pass_time(_LONG)


REMEDY = Remedy("stored_receipt", take_away, story)
