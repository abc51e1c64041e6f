"""What a burst took goes back to the system, and what stays costs no collection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os

import pytest

from services.runtime.heap import keep_small, settle, trimmer
from tests.faults.growth import held

BURST_MIB = 60
KEPT_EACH = 50
"""Of so many pieces one stays: no hole reaches the heap's end, where it would go back by itself."""


@pytest.mark.skipif(trimmer() is None, reason="this C library has nothing to give free memory back with")
async def test_what_a_burst_took_goes_back_though_something_of_it_stays() -> None:
    size = 20_000
    pieces = [bytes([number % 256]) * size for number in range(BURST_MIB * 1024 * 1024 // size)]
    staying = pieces[::KEPT_EACH]
    del pieces
    burst = held(os.getpid())
    assert burst is not None
    keeping = asyncio.create_task(keep_small(0.01))
    try:
        async with asyncio.timeout(10):
            while (held(os.getpid()) or burst) > burst - BURST_MIB * 0.7:  # noqa: ASYNC110 - the system's figure
                await asyncio.sleep(0.01)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    assert len(staying) > 1


def test_what_was_there_at_the_start_is_no_part_of_a_collection() -> None:
    before = len(gc.get_objects())
    settle()
    try:
        assert len(gc.get_objects()) < before / 10
        assert gc.isenabled()
    finally:
        gc.unfreeze()
