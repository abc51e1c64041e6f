"""Many people at work at a steady rate, whatever becomes of it (open loop), and how long their edits take."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.idempotency import IdempotencyKeys
from tests.faults.accounts import Account, Shop
from tests.faults.generator import address

KEPT = 900.0
"""Seconds for which the accounts keep what is over: events, answers, requests. Nobody asks for older ones here."""
_TICK = 0.02


@dataclass(frozen=True)
class Given:
    """An edit on its way: who gave it, on which side, and when (the loop's time)."""

    pair: int
    person: int
    side: int
    at: float


@dataclass
class Crowd:
    """The people of all pairs of Stripe accounts. They take their turns: each contact is edited once in a round."""

    pairs: Sequence[tuple[Account, Account]]
    people: int
    rng: Random = field(default_factory=lambda: Random(1))
    given: int = 0
    carried: int = 0
    coalesced: int = 0
    """Edits whose contact was edited again before they were written."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When an edit was given (the loop's time), and the seconds until its write came to the other side."""
    late: float = 0.0
    """The longest that an edit was given after its time: what makes the edits couldn't keep up."""

    def __post_init__(self) -> None:
        self._open: dict[str, Given] = {}
        self._value: dict[tuple[int, int], str] = {}
        self._ids: dict[tuple[int, int, int], str] = {}
        turns = [(pair, person) for pair in range(len(self.pairs)) for person in range(self.people)]
        self.rng.shuffle(turns)
        self._turns = itertools.cycle(turns)

    @property
    def shops(self) -> list[Shop]:
        """All accounts."""
        return [account for pair in self.pairs for account in pair if isinstance(account, Shop)]

    @property
    def waiting(self) -> int:
        """How many edits aren't written yet."""
        return len(self._open)

    def oldest(self, now: float) -> float:
        """Return the seconds for which the oldest edit waits."""
        return now - next(iter(self._open.values())).at if self._open else 0.0

    def settle_in(self) -> None:
        """Make everybody, equal on both sides; the first scans tell of them, no webhook does."""
        for shop in self.shops:
            shop.sandbox.webhooks.hold()
        for at, pair in enumerate(self.pairs):
            for person in range(self.people):
                for side, account in enumerate(pair):
                    assert isinstance(account, Shop)
                    made = account.sandbox.dashboard.create(email=address(at, person), name=f"Ada Nr{person}")
                    self._ids[at, person, side] = made["id"]
        for shop in self.shops:
            shop.sandbox.webhooks.discard()
            shop.sandbox.webhooks.release()

    async def work(self, rate: float, seconds: float) -> float:
        """Edit `rate` contacts a second for so long, and note what is written; return when it began."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        made = 0
        while (passed := loop.time() - begun) < seconds:
            while made < rate * passed:
                self.late = max(self.late, passed - made / rate)
                self._edit(loop.time())
                made += 1
            self.note()
            await asyncio.sleep(_TICK)
        return begun

    def note(self) -> None:
        """Take from the accounts' journals what came."""
        loop = asyncio.get_running_loop()
        for shop in self.shops:
            journal = shop.sandbox.requests
            ahead = shop.sandbox.clock() - loop.time()
            for request in journal:
                if request.outcome != "open" and request.executed and request.method == "POST":
                    self._written(str(request.params.get("description")), request.at - ahead)
            journal._received[:] = [request for request in journal if request.outcome == "open"]

    def forget(self) -> None:
        """Have the accounts forget what is long over, which they would keep for days: a run is to be flat."""
        for shop in self.shops:
            sandbox = shop.sandbox
            old = sandbox.clock() - KEPT
            events, keys = sandbox.events, _answers(sandbox)._entries
            for id in [id for id, each in events._recorded.items() if each.body["created"] < old]:
                del events._recorded[id]
                events._shelf.take(id)
            for key in [key for key, each in keys.items() if each.at < old]:
                del keys[key]
            hooks = sandbox.webhooks
            hooks.deliveries[:] = [each for each in hooks.deliveries if each.state == "waiting"]

    def between(self, start: float, end: float) -> list[float]:
        """Return the waits of the edits given from `start` to `end` (the loop's time), sorted."""
        return sorted(wait for at, wait in self.waits if start <= at < end)

    def _edit(self, now: float) -> None:
        pair, person = next(self._turns)
        self.given += 1
        value = f"note {self.given}"
        before = self._open.pop(self._value.get((pair, person), ""), None)
        side = self.rng.randrange(2)
        if before is not None:
            self.coalesced += 1
            # On the other side it might lose against the edit that is on its way, and never be written.
            side = before.side
        shop = self.pairs[pair][side]
        assert isinstance(shop, Shop)
        self._value[pair, person] = value
        self._open[value] = Given(pair, person, side, now)
        shop.sandbox.dashboard.update(self._ids[pair, person, side], description=value)

    def _written(self, value: str, at: float) -> None:
        given = self._open.pop(value, None)
        if given is not None:
            self.carried += 1
            self.waits.append((given.at, max(0.0, at - given.at)))


def _answers(sandbox: StripeSandbox) -> IdempotencyKeys:
    (route,) = sandbox.app.routes
    keys = route.endpoint.__self__.keys  # type: ignore[attr-defined]
    assert isinstance(keys, IdempotencyKeys)
    return keys


def share(waits: Sequence[float], part: float) -> float:
    """Return the percentile `part` (0 to 1) of sorted seconds; 0 if there are none."""
    return waits[min(len(waits) - 1, int(part * len(waits)))] if waits else 0.0
