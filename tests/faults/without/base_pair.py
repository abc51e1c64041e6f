"""P2, the base pair: what both sides last agreed on says which of them has changed."""

from __future__ import annotations

from typing import Any

from services.contracts.contact import Contact
from services.sync.core import live
from services.sync.core.mapping import Config, Line
from services.sync.core.state import Base
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """Every decision is taken as if both sides had never agreed on anything."""

    def forgetful(merge: Any) -> Any:
        def first(config: Config, line: Line, left: Contact, right: Contact, base: Base | None, *more: Any) -> Any:
            return merge(config, line, left, right, None, *more)

        return first

    replace(live, "merge", forgetful)


async def story(stage: Stage) -> None:
    """A contact in step is changed on the side that doesn't win."""
    await stage.make("left", "right")
    await stage.rest()
    await stage.edit("right", "phone")


REMEDY = Remedy("base_pair", take_away, story)
