"""P7, the scan barrier: nothing is created before the first scans of both sides have passed.

The apps are asked before anything is created, too, and that covers most of it. It doesn't where an app's question is
narrower than our comparison: Stripe's filter by e-mail address tells upper from lower case.
"""

from __future__ import annotations

from typing import Any

from services.runtime.store import Connection
from services.sync import transact
from tests.faults.generator import address
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage


def take_away() -> None:
    """Every account counts as scanned."""

    def open_at_once(_: Any) -> Any:
        async def scanned_accounts(_: Connection, accounts: list[str]) -> frozenset[str]:
            return frozenset(accounts)

        return scanned_accounts

    replace(transact, "scanned_accounts", open_at_once)


async def story(stage: Stage) -> None:
    """The same contact is on both sides, spelt in capitals in Stripe; the other side is scanned first."""
    await stage.make("left", "right")
    (customer,) = await stage.shops[0].everybody()
    stage.shops[0].sandbox.dashboard.update(customer.id, email=address(0, 0).upper())
    await stage.see("r0")
    await stage.go_on()


REMEDY = Remedy("scan_barrier", take_away, story)
