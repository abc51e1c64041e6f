"""P4, the create's key: one per link, side and attempt, and another one only on proof that nothing was made."""

from __future__ import annotations

from typing import Any

from services.connectors.entry import Entry
from services.connectors.stripe.sandbox import Where
from services.contracts.commands import Create
from services.contracts.envelope import derived
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """Each sending of a create has a key of its own."""

    def fresh(key: Any) -> property:
        def of(entry: Entry) -> str:
            if not isinstance(entry.task.command, Create):
                return str(key.fget(entry))
            return derived("sending", key.fget(entry), entry.attempt)

        return property(of)

    replace(Entry, "key", fresh)


async def story(stage: Stage) -> None:
    """Stripe makes the customer, and the answer is lost."""
    await stage.rest()
    stage.shops[0].sandbox.faults.drop(Where("POST", "/v1/customers"))
    await stage.make("right")


REMEDY = Remedy("create_key", take_away, story)
