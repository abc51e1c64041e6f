"""P14, compare-and-set: a write goes out under the version of what it was decided on."""

from __future__ import annotations

from typing import Any

from services.connectors.carddav import writing
from services.connectors.carddav.vcard import Card
from services.runtime.app import Access
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """Cards are written whatever stands in their place."""

    def bold(put: Any) -> Any:
        async def unguarded(access: Access, path: str, card: Card, condition: dict[str, str]) -> Any:
            return await put(access, path, card, {key: text for key, text in condition.items() if key != "if-match"})

        return unguarded

    replace(writing, "_put", bold)


async def story(stage: Stage) -> None:
    """While the left's new phone number is on its way, somebody writes a note into the card on the right."""
    await stage.make("left", "right")
    await stage.rest()
    await stage.edit("left", "phone")
    await stage.hear()
    await stage.decide()
    await stage.edit("right", "note")
    await stage.send()


REMEDY = Remedy("compare_and_set", take_away, story, right="carddav")
