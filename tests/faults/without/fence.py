"""P12 and DESIGN section 3, the fence: progress moves only under the last claim, from where it is."""

from __future__ import annotations

import contextlib
from typing import Any

from services.runtime.log import EVENTS, FencedError
from services.runtime.log.progress import Progress
from services.runtime.store import Connection
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage

_CONDITION = "epoch = $4 AND next_offset = $5"


def take_away() -> None:
    """Whoever handled a batch moves the progress to its end, whoever the owner is and wherever it stands."""

    def unconditional(_: Any) -> Any:
        async def advance(
            self: Progress, connection: Connection, group: str, partition: Any, *, epoch: int, start: int, upto: int
        ) -> None:
            if _CONDITION not in self._advance:
                raise LookupError("the fence is elsewhere now")
            statement = self._advance.replace(_CONDITION, "$4::bigint + $5::bigint IS NOT NULL")
            await connection.execute(statement, group, *partition, epoch, start, upto)

        return advance

    replace(Progress, "advance", unconditional)


async def story(stage: Stage) -> None:
    """A process stands still with a batch in its hands; another one takes over and goes on; the first one wakes."""
    await stage.make("left", "right")
    await stage.rest()
    store, worker = await stage.another("zombie")
    owned = await stage.own(EVENTS, store, worker)
    await stage.edit("left", "phone")
    await stage.hear()
    held = [(share, records) for share in owned if (records := await share.fetch())]
    assert held
    await stage.take_over(EVENTS)
    await stage.take(EVENTS)
    await stage.edit("left", "phone")
    await stage.hear()
    await stage.take(EVENTS)
    for share, records in held:
        with contextlib.suppress(FencedError):
            await share.handle(records)


REMEDY = Remedy("fence", take_away, story)
