"""P8, the reservation: one create at a time per account and address, across connections."""

from __future__ import annotations

from typing import Any

from services.sync.core.slice import Slice
from services.sync.core.state import Link
from tests.faults.generator import address
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """Nothing is reserved, and nothing found taken."""

    def careless(_: Any) -> Any:
        def reserve(state: Slice, link: Link, accounts: tuple[str, ...], addresses: tuple[str, ...]) -> None:
            return None

        return reserve

    replace(Slice, "reserve", careless)


async def story(stage: Stage) -> None:
    """Two shops, each connected to one office, get the same new customer at once."""
    await stage.rest()
    await stage.make("left")
    (customer,) = await stage.shops[0].everybody()
    await stage.shops[1].make(address(0, 0), customer.fields)
    await stage.hear()
    await stage.go_on()


REMEDY = Remedy("reservation", take_away, story, lefts=2)
