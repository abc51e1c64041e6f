"""P1, one unsettled write: until its receipt, a write's lines aren't decided, whatever is observed meanwhile."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace as changed

from services.contracts.contact import SIDES
from services.runtime.log import EVENTS
from services.sync.core import step
from services.sync.core.mapping import Config
from services.sync.core.slice import Slice
from services.sync.core.state import Link, Record
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """A pair is decided as if none of its writes were under way; a newer one takes the older one's place."""

    def hasty(live: Any) -> Any:
        def decide(state: Slice, config: Config, link: Link, left: Record, right: Record) -> None:
            free = link
            for side in SIDES:
                free = free.with_half(side, changed(free.half(side), pending=None))
            live(state, config, free, left, right)
            after = state.links[link.id]
            for side in SIDES:
                if after.half(side).pending is None:
                    after = after.with_half(side, changed(after.half(side), pending=link.half(side).pending))
            state.put_link(after)

        return decide

    replace(step, "live", hasty)


async def story(stage: Stage) -> None:
    """The right is edited, that goes to the left, the right is edited again; the left's echo precedes its receipt."""
    await stage.make("left", "right")
    await stage.rest()
    await stage.edit("right", "phone")
    await stage.see("r0")
    await stage.take(EVENTS)
    await stage.send()
    await stage.edit("right", "phone")
    await stage.see("r0")
    await stage.take(EVENTS)
    await stage.hear()
    await stage.take(EVENTS)


REMEDY = Remedy("unsettled_write", take_away, story)
