"""B2: a signed delivery to its 2xx once its event is durable, beside an empty endpoint and a FastStream service."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path

from services.runtime.log import EVENTS, Message
from services.runtime.log.kafka import KafkaLog
from services.runtime.log.open import ManagedLog, open_log
from services.runtime.store import Store
from tests.bench.deliveries import SECRET
from tests.bench.endpoints import CONNECTIONS, MANY_CONNECTIONS, Endpoint, ingest, other
from tests.bench.place import Bench, BrokenError, assert_acks
from tests.bench.posting import Round
from tests.bench.rounds import rounds
from tests.bench.row import Measured, Row, Run, Target
from tests.faults.crowd import share

COUNT, QUICK_COUNT = 3_000, 300
SECONDS, QUICK_SECONDS = 5.0, 0.5
"""Of a run at a steady rate."""
BURST = 10
STEADY_SECONDS = 2.0
"""Before and after the burst, which takes one."""
PARTITIONS = 12
_ACKS, _PEERS = "bench.accepted.acks", "bench.accepted.peer"
_PEER = Path(__file__).with_name("peer_accept.py")
_LIMIT = "an empty Starlette endpoint, same server"
_MILLI, _MICRO = 1_000, 1_000_000


async def rows(bench: Bench) -> list[Row]:
    """For each log: as many as it takes, the latency at half of that, and a burst."""
    made = await _rows(bench, "embedded log", "postgres:")
    if bench.kafka:
        made += await _rows(bench, "Kafka", f"kafka://{bench.kafka}")
    else:
        made.append(_missing(bench.kafka_missing))
    return made


def _missing(why: str) -> Row:
    ours = Measured(name="contactsync", missing=why)
    return Row(id="B2", workload="signed POST to 2xx, Kafka", unit="deliveries/s", ours=ours)


async def _rows(bench: Bench, where: str, url: str) -> list[Row]:
    async with contextlib.AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(bench.database())
        store = await stack.enter_async_context(Store.open(dsn, min_size=1, max_size=2))
        log = await stack.enter_async_context(open_log(url, store))
        if isinstance(log, KafkaLog):
            await log.create_topics(dict.fromkeys((_ACKS, _PEERS), PARTITIONS))
            await log.publish(_ACKS, [Message(key=b"", headers=(), value=b"{}")])
            await assert_acks(log)
        folder = bench.folder / url.partition(":")[0]
        those = {"ours": await stack.enter_async_context(ingest(folder, dsn, url, log))}
        limit = other(sys.executable, "-m", "tests.bench.empty_endpoint")
        those["limit"] = await stack.enter_async_context(limit)
        if isinstance(log, KafkaLog) and bench.peers:
            peer = other(bench.peers, str(_PEER), more=(bench.kafka, _PEERS, SECRET))
            those["peer"] = await stack.enter_async_context(peer)
        missing = bench.peers_missing if isinstance(log, KafkaLog) else "it writes to Kafka"
        return await _compared(bench, where, those, log, missing)


async def _compared(bench: Bench, where: str, those: dict[str, Endpoint], log: ManagedLog, missing: str) -> list[Row]:
    count, seconds, runs = (QUICK_COUNT, QUICK_SECONDS, 1) if bench.quick else (COUNT, SECONDS, bench.runs)
    for each in those.values():
        await each.most(max(count // 10, CONNECTIONS))
    before, taken = await _end(log), those["ours"].taken
    most = _named(await rounds(runs, **{name: partial(each.most, count) for name, each in those.items()}), missing)
    held = most["ours"].median or 0.0
    waits = await rounds(runs, **{name: partial(each.steady, held / 2, seconds) for name, each in those.items()})
    late = _named(waits, missing)
    burst = await _burst(where, those["ours"], held / 5, seconds=0.2 if bench.quick else 1.0)
    taken, logged = those["ours"].taken - taken, await _end(log) - before
    if taken != logged:
        raise BrokenError(f"{taken} deliveries were answered with 200, and {logged} are in the log")
    cause = _cause(most)
    return [
        Row(
            id="B2",
            workload=f"signed POST of 2.6 KB to 2xx once its event is durable, {CONNECTIONS} connections, {where}",
            unit="deliveries/s",
            ours=most["ours"],
            limit=most["limit"],
            peer=most["peer"],
            target=Target(least=0.6),
            notes=(
                "the sender and the log's server share the machine's processors with ours, the limit's with the sender",
                f"all {taken:,} deliveries of these three rows that were answered with 200 are in the log, once each",
            ),
            cause=cause,
        ),
        Row(
            id="B2",
            workload=f"signed POST to 2xx at {held / 2:,.0f}/s, half of that, {where}",
            unit="ms p99",
            ours=late["ours"],
            limit=late["limit"],
            peer=late["peer"],
            target=Target(most=3),
            notes=("from when a delivery was due: an open loop",),
            cause=cause,
        ),
        burst,
    ]


def _named(runs: dict[str, tuple[Run, ...]], missing: str) -> dict[str, Measured]:
    names = {"ours": "contactsync", "limit": _LIMIT, "peer": "FastStream, same check of the signature"}
    return {
        who: Measured(name=name, runs=runs.get(who, ()), missing="" if who in runs else missing)
        for who, name in names.items()
    }


async def _burst(where: str, ours: Endpoint, rate: float, *, seconds: float) -> Row:
    calm = (rate, STEADY_SECONDS * seconds)
    stretches = (calm, (BURST * rate, seconds), calm)
    posted, cpu = await ours.post(Round(connections=MANY_CONNECTIONS, stretches=stretches))
    if set(posted.answers) - {200, 503} or posted.retry_after != posted.answers.get(503, 0):
        raise BrokenError(f"a burst was answered with {posted.answers}, {posted.retry_after} with Retry-After")
    return Row(
        id="B2",
        workload=f"{rate:,.0f}/s, for a second {BURST} times as many, {where}",
        unit="ms p99",
        ours=Measured(name="contactsync", runs=(Run(_MILLI * share(posted.waits, 0.99), cpu),)),
        notes=(
            f"twice what is held, over {MANY_CONNECTIONS} connections; the wait for a free one counts",
            f"{posted.answers[200]:,} answered with 200, {posted.retry_after:,} with 503 and when to come again",
            f"p50 {_MILLI * share(posted.waits, 0.5):.0f} ms",
        ),
    )


def _cause(most: dict[str, Measured]) -> str:
    ours, limit = (_MICRO * (most[who].cpu or 0.0) for who in ("ours", "limit"))
    return (
        f"one process has one core: a delivery takes {ours:.0f} µs of it, the empty endpoint's {limit:.0f}. What it "
        "does besides: the signature and the body read and normalized (B1), the bounds on what a sender may cost, "
        "metrics and a trace's step, and the log's client"
    )


async def _end(log: ManagedLog) -> int:
    return sum(end for _, end in (await log.bounds(EVENTS)).values())
