"""B8: how often the apps are called for a change, and for a contact that is to be made, by the sandboxes' own count."""

from __future__ import annotations

import asyncio
import fnmatch
import re
from collections import Counter
from random import Random
from typing import Any

from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.journal import Received
from tests.bench.place import Bench, BrokenError
from tests.bench.row import Measured, Row, Run, Target
from tests.end_to_end.two_stripes import House, alike, house, live

EDITS, QUICK_EDITS = 1_000, 25
PEOPLE, QUICK_PEOPLE = 100, 30
CREATES, QUICK_CREATES = 100, 5
TOGETHER = 25
"""Edits at once, of contacts of which nobody else edits another field meanwhile: each needs a call of its own."""
_POLLS = ("/v1/events*", "/v1/webhook_endpoints*")
"""What the feed's poller asks at its own rhythm, whether anything changed or not."""
_SECONDS = 120
_APART = 2.5
"""Seconds after which two of Stripe's times, each of a whole second, are told apart (P5)."""


async def rows(bench: Bench) -> list[Row]:
    """Calls per change and per create, between two Stripe accounts with everything in one process."""
    edits, people, creates = (QUICK_EDITS, QUICK_PEOPLE, QUICK_CREATES) if bench.quick else (EDITS, PEOPLE, CREATES)

    def seed(left: StripeSandbox, right: StripeSandbox) -> None:
        for number in range(people):
            for shop in (left, right):
                shop.dashboard.create(name=f"P {number}", email=f"p{number}@example.com", description="0")

    async with bench.database() as dsn, house(dsn, bench.folder / "house", seed=seed) as home:
        await home.rest(_SECONDS)
        await asyncio.sleep(_APART)  # an edit in the second in which its contact was first read can't be told from it
        kinds: Counter[str] = Counter()
        changed = await _edited(home, edits, Random(1), kinds)
        made = await _made(home, creates, 1 if bench.quick else bench.runs)
    apart = "the feed's polls aside, which come at their own rhythm whether anything changed or not"
    return [
        Row(
            id="B8",
            workload=f"API calls per change, {edits} random edits in {people} contacts of two Stripe accounts",
            unit="calls",
            ours=Measured(name="contactsync", runs=changed),
            limit=Measured(name="one call", runs=(Run(1.0),)),
            target=Target(most=1.02),
            notes=(
                f"runs: every {TOGETHER} edits, no contact twice within {_APART:g} s; calls to both accounts, {apart}",
                f"in all: {_told(kinds)}",
            ),
        ),
        Row(
            id="B8",
            workload=f"API calls per create, {creates} new contacts in one Stripe account",
            unit="calls",
            ours=Measured(name="contactsync", runs=made),
            limit=Measured(name="one call", runs=(Run(1.0),)),
            target=Target(most=2.0),
            notes=(f"with the search for somebody who is there already (C1); {apart}",),
        ),
    ]


async def _edited(home: House, edits: int, rng: Random, kinds: Counter[str]) -> tuple[Run, ...]:
    runs: list[Run] = []
    loop = asyncio.get_running_loop()
    free = {body["email"]: loop.time() for body in live(home.left)}
    for first in range(0, edits, TOGETHER):
        home.forget()
        count = min(TOGETHER, edits - first)
        # Stripe tells time in seconds: two edits of a contact within one can't be ordered, and ask for a look (P5).
        await asyncio.sleep(sorted(free.values())[count - 1] - loop.time())
        people = rng.sample([address for address, since in free.items() if since <= loop.time()], count)
        for at, address in enumerate(people):
            shop = rng.choice(home.both)
            customer = next(body for body in live(shop) if body["email"] == address)
            shop.dashboard.update(customer["id"], **_edit(rng, first + at))
        await home.rest(_SECONDS)
        if not alike(home):
            raise BrokenError("an edit didn't arrive")
        free |= dict.fromkeys(people, loop.time() + _APART)
        asked = _asked(home)
        kinds.update(f"{each.method} {_kind(each.path)}" for each in asked)
        runs.append(Run(len(asked) / count))
    return tuple(runs)


def _told(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _kind(path: str) -> str:
    return re.sub(r"/cus_[^/]+", "/…", path)


def _edit(rng: Random, number: int) -> dict[str, Any]:
    kind = rng.choice(("name", "phone", "description"))
    values = {"name": f"Ada Nr{number}", "phone": f"+1202555{number % 10_000:04d}", "description": f"note {number}"}
    return {kind: values[kind]}


async def _made(home: House, creates: int, runs: int) -> tuple[Run, ...]:
    found = []
    share = max(1, creates // runs)
    for number in range(runs):
        home.forget()
        for at in range(share):
            home.left.dashboard.create(name=f"N {number}-{at}", email=f"n{number}-{at}@example.com")
        await home.rest(_SECONDS)
        if not alike(home):
            raise BrokenError("a new contact didn't arrive")
        found.append(Run(len(_asked(home)) / share))
    return tuple(found)


def _asked(home: House) -> list[Received]:
    """What both accounts were asked, without what people did themselves and without polls."""
    return [
        each
        for shop in home.both
        for each in shop.requests
        if not any(fnmatch.fnmatchcase(each.path, path) for path in _POLLS)
    ]
