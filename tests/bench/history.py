"""B6: a history audited, beside merely reading and decoding it; both slice by slice, in turns."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from services.sync.replay.audit import Audit, Past
from tests.bench.place import Bench, BrokenError
from tests.bench.replay import APPS, MILLION, TOLD, pasts
from tests.bench.rounds import Watch, resident
from tests.bench.row import Measured, Row, Run, Target

CAUSE = (
    "an audit decides everything again, and takes a fingerprint of all that was written: a decision (B4) costs more "
    "than ten times what reading and decoding its message does, and 0.3 of the limit would leave it about 20 µs."
)
QUICK = 3_000
SLICES = 10
_LATER = 4
"""Slices after which everybody in the history has been seen, and memory should no longer grow."""
_FLAT = 1.1


async def rows(bench: Bench) -> list[Row]:
    """Two rows: how fast, and the memory. The history is told by another process, so that this one's memory is ours."""
    events, slices = (QUICK, bench.runs) if bench.quick else (MILLION, max(SLICES, bench.runs))
    path = bench.folder / "history"
    teller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.replay", "--write", str(path), str(events))
    )
    if await teller.wait():
        raise BrokenError("the history couldn't be told")
    read, audited, memory, counted = _measured(path, events, slices)
    late = memory[_LATER if slices > _LATER + 1 else 0]
    points = ", ".join(f"{each / 1e6:.0f}" for each in memory)
    return [
        Row(
            id="B6",
            workload=f"audit replay of {counted:,} events, in {slices} slices",
            unit="events/s",
            ours=Measured(name="contactsync", runs=audited),
            limit=Measured(name="reading and decoding them", runs=read),
            target=Target(least=0.3),
            cause=CAUSE,
            notes=("by processor time of one core", "no difference found, nothing written"),
        ),
        Row(
            id="B6",
            workload="memory at the end of the audit",
            unit="MB resident",
            ours=Measured(name="contactsync", runs=(Run(memory[-1] / 1e6),)),
            limit=Measured(name="what it had once it had seen every contact", runs=(Run(late / 1e6),)),
            target=None if bench.quick else Target(most=_FLAT),
            notes=(f"MB after each slice: {points}",),
        ),
    ]


def _measured(path: Path, events: int, slices: int) -> tuple[tuple[Run, ...], tuple[Run, ...], list[float], int]:
    reading, auditing = pasts(path), pasts(path)
    audit = Audit(APPS, told={TOLD.fingerprint: TOLD})
    read, audited, memory = [], [], []
    done = 0
    for number in range(slices):
        share = events * (number + 1) // slices - done if number + 1 < slices else None
        with Watch() as watch:
            count = sum(len(past.messages) for past in _some(reading, share))
        read.append(Run(count / watch.cpu, watch.cpu / count))
        with Watch() as watch:
            for past in _some(auditing, share):
                audit.take(past)
        audited.append(Run(count / watch.cpu, watch.cpu / count))
        memory.append(resident())
        done += count
    differences = sum(count for count in audit.counts.values())
    if audit.messages != done or differences or audit.writes:
        raise BrokenError(f"the audit found {differences} differences in {audit.messages} messages")
    return tuple(read), tuple(audited), memory, done


def _some(past: Iterator[Past], messages: int | None) -> Iterator[Past]:
    """Yield transactions until there were so many messages; all that are left without a number."""
    count = 0
    for each in past:
        yield each
        count += len(each.messages)
        if messages is not None and count >= messages:
            return
