"""Runs that wait at the same time are folded together, and nobody fails or waits for another one's sake."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from services.runtime.log import EVENTS, FencedError, LogUnavailableError
from services.runtime.store import Store
from services.sync.gathering import Gathering
from tests.integration.sync_messages import changed, shop
from tests.integration.sync_rig import rig


class Fold:
    """Notes what it is given; `stop` holds a share, `bad` ones fail, `short` ones ask for fewer."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.committed: list[str] = []
        self.stop: dict[str, asyncio.Event] = {}
        self.bad: dict[str, Exception] = {}
        self.short: set[str] = set()

    async def __call__(self, shares: Sequence[str]) -> bool:
        self.calls.append(list(shares))
        for share in shares:
            if share in self.stop:
                await self.stop[share].wait()
            if share in self.bad:
                raise self.bad[share]
        if self.short & set(shares):
            return False
        self.committed += shares
        return True


@pytest.fixture
def fold() -> Fold:
    return Fold()


@pytest.fixture
async def gathering(fold: Fold) -> AsyncIterator[Gathering[str]]:
    made = Gathering(fold, most=10)
    async with asyncio.timeout(10):
        yield made
    await made.close()


@contextlib.asynccontextmanager
async def held(fold: Fold, gathering: Gathering[str]) -> AsyncIterator[asyncio.Task[bool]]:
    """One fold is under way in the block, and goes on at its end."""
    fold.stop["first"] = asyncio.Event()
    task = asyncio.create_task(gathering.put("first", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert fold.calls == [["first"]]
    try:
        yield task
    finally:
        fold.stop["first"].set()


def put(gathering: Gathering[str], *shares: str, size: int = 1) -> list[asyncio.Task[bool]]:
    return [asyncio.create_task(gathering.put(share, size)) for share in shares]


async def test_what_comes_while_a_fold_is_under_way_goes_together_into_the_next(
    fold: Fold, gathering: Gathering[str]
) -> None:
    async with held(fold, gathering) as first:
        others = put(gathering, "a", "b", "c")
        await asyncio.sleep(0)
    assert await asyncio.gather(first, *others) == [True] * 4
    assert fold.calls == [["first"], ["a", "b", "c"]]


async def test_a_fold_holds_so_many_inputs_or_one_share(fold: Fold, gathering: Gathering[str]) -> None:
    async with held(fold, gathering):
        others = [*put(gathering, "a", "b", size=5), *put(gathering, "c", size=1), *put(gathering, "d", size=200)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*others) == [True] * 4
    assert fold.calls[1:] == [["a", "b"], ["c"], ["d"]]


async def test_a_share_that_fails_fails_alone(fold: Fold, gathering: Gathering[str]) -> None:
    fold.bad["b"] = ValueError("b is bad")
    async with held(fold, gathering):
        a, b, c = put(gathering, "a", "b", "c")
        await asyncio.sleep(0)
    assert await a
    assert await c
    with pytest.raises(ValueError, match="b is bad"):
        await b
    assert fold.calls[1:] == [["a", "b", "c"], ["a"], ["b"], ["c"]]
    assert fold.committed == ["first", "a", "c"]


async def test_an_outage_is_told_to_all_and_tried_by_none(fold: Fold, gathering: Gathering[str]) -> None:
    fold.bad["b"] = LogUnavailableError("away")
    async with held(fold, gathering):
        others = put(gathering, "a", "b", "c")
        await asyncio.sleep(0)
    told = await asyncio.gather(*others, return_exceptions=True)
    assert [type(each) for each in told] == [LogUnavailableError] * 3
    assert fold.calls[1:] == [["a", "b", "c"]]


async def test_what_locks_fell_short_for_is_tried_alone_before_it_is_said(
    fold: Fold, gathering: Gathering[str]
) -> None:
    fold.short.add("b")
    async with held(fold, gathering):
        others = put(gathering, "a", "b")
        await asyncio.sleep(0)
    assert await asyncio.gather(*others) == [True, False]
    assert fold.calls[1:] == [["a", "b"], ["a"], ["b"]]


async def test_a_fold_that_takes_long_keeps_nobody_waiting(fold: Fold, gathering: Gathering[str]) -> None:
    async with held(fold, gathering) as first:
        assert await gathering.put("a", 1)
        assert await gathering.put("b", 1)
        assert not first.done()
    assert await first


async def test_whoever_is_cancelled_has_undone_it_and_is_not_folded_later(
    fold: Fold, gathering: Gathering[str]
) -> None:
    async with held(fold, gathering) as first:
        (waits,) = put(gathering, "a")
        await asyncio.sleep(0)
        for task in (waits, first):
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        assert await gathering.put("b", 1)
    assert fold.committed == ["b"]


async def test_who_is_folded_beside_somebody_cancelled_is_folded(fold: Fold, gathering: Gathering[str]) -> None:
    fold.stop["b"] = asyncio.Event()
    async with held(fold, gathering):
        a, b = put(gathering, "a", "b")
        await asyncio.sleep(0)
    while len(fold.calls) < 2:  # noqa: ASYNC110 - until the next fold has begun
        await asyncio.sleep(0)
    a.cancel()
    await asyncio.wait({a})
    fold.stop["b"].set()
    assert await b
    assert fold.committed == ["first", "a", "b"]


async def test_who_is_cancelled_before_its_turn_alone_has_none(fold: Fold, gathering: Gathering[str]) -> None:
    fold.bad["a"] = ValueError("a is bad")
    fold.stop["a"] = asyncio.Event()
    async with held(fold, gathering):
        a, b = put(gathering, "a", "b")
        await asyncio.sleep(0)
    while len(fold.calls) < 2:  # noqa: ASYNC110 - until the next fold has begun
        await asyncio.sleep(0)
    b.cancel()
    await asyncio.wait({b})
    fold.stop["a"].set()
    with pytest.raises(ValueError, match="a is bad"):
        await a
    assert await gathering.put("c", 1)
    assert fold.calls[1:] == [["a", "b"], ["a"], ["c"]]


async def test_closing_ends_what_is_under_way(fold: Fold, gathering: Gathering[str]) -> None:
    fold.stop["a"] = asyncio.Event()
    (task,) = put(gathering, "a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await gathering.close()
    await asyncio.wait({task})
    assert task.cancelled()
    assert fold.committed == []


async def test_partitions_share_a_transaction_and_keep_their_own_progress(store: Store) -> None:
    async with rig(store) as made:
        owners = [await made.own(EVENTS, number) for number in range(3)]
        async with asyncio.TaskGroup() as group:
            for n, owner in enumerate(owners):
                group.create_task(owner.take(changed("shop", f"cus_{n}", shop("Ada", f"ada{n}@example.com"))))
        assert [owner.position for owner in owners] == [1, 1, 1]
        assert len(await made.links()) == 3
        numbers = await store.fetch("SELECT number FROM sync.input")
        assert len(numbers) == 2  # the first alone, and what came meanwhile


async def test_who_lost_a_partition_is_fenced_and_the_others_beside_it_go_on(store: Store) -> None:
    async with rig(store) as made:
        first, lost, third = [await made.own(EVENTS, number) for number in range(3)]
        await made.own(EVENTS, 1)
        tasks = [
            asyncio.create_task(owner.take(changed("shop", f"cus_{n}", shop("Ada", f"ada{n}@example.com"))))
            for n, owner in enumerate((first, lost, third))
        ]
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in told] == [type(None), FencedError, type(None)]
        assert {link.left.contact_id for link in await made.links()} == {"cus_0", "cus_2"}
