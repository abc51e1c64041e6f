"""People at work: does what the schedule says they do, when it says so, and has the model note it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.accounts import Account
from tests.faults.model import FIELDS, Model, number_in, worded
from tests.faults.schedule import Change, Delete, Edit, Make, Schedule, Side

_AT_ONCE = 20


def address(pair: int, person: int) -> str:
    """The e-mail address of a person of a connection."""
    return f"p{pair}-{person}@example.com"


class Generator:
    """Changes contacts in `pairs` of accounts."""

    def __init__(self, pairs: Sequence[tuple[Account, Account]], model: Model) -> None:
        self._pairs = pairs
        self._model = model
        self._numbers = itertools.count(1)
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.counts: Counter[str] = Counter()
        """Values given (`changes`), saves, contacts made, deleted, brought back, and saves of contacts not there."""
        self.first = 1
        """The number after those of the values that were there in the beginning."""
        self.made: set[tuple[int, int]] = set()
        """(pair, person) of everybody who was ever made."""
        self.gone: dict[tuple[int, int], str] = {}
        """Those deleted on the right: their account."""
        self._backs: set[asyncio.Task[None]] = set()

    async def settle_in(self, schedule: Schedule) -> None:
        """Make those who are there in the beginning, equal where they are on both sides."""
        for pair, people in enumerate(schedule.first):
            for person, sides in enumerate(people):
                await self._make(Make(0, pair, person, sides), same=True)
        self.counts.clear()
        self.first = next(self._numbers)

    async def run(self, changes: Sequence[Change], begun: float) -> None:
        """Make the changes, each at its time after `begun` (the loop's time)."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for change in changes:
                if (rest := begun + change.at - loop.time()) > 0:
                    await asyncio.sleep(rest)
                await self._room.acquire()
                group.create_task(self._one(change)).add_done_callback(lambda _: self._room.release())
        await asyncio.gather(*self._backs)

    async def _one(self, change: Change) -> None:
        match change:
            case Edit():
                await self._edit(change)
            case Make():
                await self._make(change)
            case Delete():
                await self._delete(change)

    async def _edit(self, edit: Edit) -> None:
        """Change the contact on the side meant; where it isn't there, on the other; else somebody else's."""
        sides: tuple[Side, Side] = (edit.side, "right" if edit.side == "left" else "left")
        people = len({person for pair, person in self.made if pair == edit.pair})
        for step in range(people):
            person = (edit.person + step) % people
            for side in sides:
                # A new contact's first seconds are its pairing's; a link whose contact is gone takes no edits in.
                if (edit.pair, person) in self.gone or (edit.pair, person) not in self.made:
                    continue
                if await self._save(edit.pair, person, side, edit.fields):
                    return
        self.counts["nobody"] += 1

    async def _save(self, pair: int, person: int, side: Side, fields: tuple[str, ...]) -> bool:
        account = self._pairs[pair][side == "right"]
        email = address(pair, person)
        numbers = {name: next(self._numbers) for name in fields}

        def looked(before: Mapping[str, str]) -> None:
            for name, number in numbers.items():
                cell = account.name, email, name
                self._model.saw(cell, number_in(name, before.get(name, "")))
                self._model.edited(cell, number)

        if not await account.edit(email, {name: worded(name, number) for name, number in numbers.items()}, looked):
            return False
        self.counts["saves"] += 1
        self.counts["changes"] += len(numbers)
        self.counts[f"changes of {side}"] += len(numbers)
        return True

    async def _make(self, make: Make, *, same: bool = False) -> None:
        email = address(make.pair, make.person)
        numbers: dict[str, int] = {}
        for side in make.sides:
            account = self._pairs[make.pair][side == "right"]
            if not numbers or not same:
                numbers = {name: next(self._numbers) for name in FIELDS}
            for name, number in numbers.items():
                # Who makes a contact has seen nothing of another one's.
                self._model.edited((account.name, email, name), number)
            await account.make(email, {name: worded(name, number) for name, number in numbers.items()})
            self.counts["made"] += 1
            self.counts["changes"] += len(FIELDS)
        self.made.add((make.pair, make.person))

    async def _delete(self, delete: Delete) -> None:
        account = self._pairs[delete.pair][1]
        key = delete.pair, delete.person
        email = address(*key)
        rows = {row.email for row in await self._pairs[delete.pair][0].everybody()}
        if email not in rows:
            return  # it was never seen on the other side: there is nobody to tag
        if not await account.delete(email):
            return
        self.gone[key] = account.name
        self.counts["deleted"] += 1
        if delete.back is not None:
            task = asyncio.create_task(self._bring_back(key, account, delete.back))
            self._backs.add(task)

    async def _bring_back(self, key: tuple[int, int], account: Account, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if await account.bring_back(address(*key)):
            self.gone.pop(key, None)
            self.counts["brought back"] += 1
