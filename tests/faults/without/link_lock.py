"""P0, the link's lock: two transactions that decide about one link come one after the other, and read after locking.

Mostly the address rows do it, which are locked before: what concerns one link has its contacts' addresses in common. A
link whose contacts have lost theirs has nothing in common but itself.
"""

from __future__ import annotations

import asyncio

from services.runtime.log import EVENTS, RECEIPTS
from services.sync import load
from tests.faults.without.remedy import Remedy, replace
from tests.faults.without.stage import Stage

_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_PATIENCE = 10.0


def take_away() -> None:
    """Links are read without being locked."""
    replace(load, "_LOCK_LINKS", lambda text: text.replace(" FOR UPDATE", ""))


async def story(stage: Stage) -> None:
    """A link's receipt is folded in one partition while its contact's next edit is taken in in another."""
    await stage.make("left", "right")
    await stage.rest()
    await stage.forget_addresses()
    await stage.rest()
    await stage.edit("left", "phone")
    await stage.hear()
    await stage.take(EVENTS)
    await stage.send()
    await stage.see("r0")
    await stage.take(EVENTS)  # our own write is seen: nothing will come by later
    await stage.edit("left", "phone")
    await stage.hear()
    async with asyncio.timeout(_PATIENCE), stage.store.transaction() as somebody:
        await somebody.execute("SELECT FROM sync.link FOR UPDATE")
        receipt = asyncio.create_task(stage.take(RECEIPTS))
        await _waiting(stage, 1)
        event = asyncio.create_task(stage.take(EVENTS))
        await _waiting(stage, 2)
    assert sum(await asyncio.gather(receipt, event)) == 2


async def _waiting(stage: Stage, sessions: int) -> None:
    """Wait until so many sessions wait for locks."""
    while await stage.store.fetchval(_WAITING) < sessions:  # noqa: ASYNC110 - the server knows, and doesn't tell
        await asyncio.sleep(0.005)


REMEDY = Remedy("link_lock", take_away, story)
