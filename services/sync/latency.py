"""How long changes take, from the event in the log to the target's answer, per connection and direction.

Which event a receipt answers is in the journal: the write was issued by the newest decision before the receipt that
issued one, about the newest event before that. Both moments are the log's own, so no two clocks are compared. A
process measures where it took in both: with several, that is a part of all changes, and no choice among them. What a
person, a pause or the sweeper held back isn't measured: no event issued it.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Sequence
from uuid import UUID

import msgspec

from services.contracts.contact import Side
from services.contracts.envelope import Envelope, from_headers, unseal
from services.contracts.receipts import Receipt, Written
from services.runtime.log import EVENTS, RECEIPTS, Record
from services.runtime.metrics import Metrics
from services.runtime.store import Store

_AT_ONCE = 500
_EVENTS_OF = """
SELECT answer.n::int AS n, event.partition, event.position, event.connection
FROM unnest($1::uuid[], $2::int[], $3::bigint[]) WITH ORDINALITY AS answer (link, partition, position, n)
CROSS JOIN LATERAL (
    SELECT j.number FROM sync.journal j
    WHERE j.day >= current_date - 1 AND j.link = answer.link
      AND (j.topic, j.partition, j.position) = ($4, answer.partition, answer.position)
    ORDER BY j.number LIMIT 1
) AS receipt
CROSS JOIN LATERAL (
    SELECT j.number, j.topic FROM sync.journal j
    WHERE j.day >= current_date - 1 AND j.link = answer.link AND j.number < receipt.number
      AND string_to_array(j.outcome, '+') && '{create,update,act,tag,untag}'
    ORDER BY j.number DESC LIMIT 1
) AS issue
CROSS JOIN LATERAL (
    SELECT j.partition, j.position, j.connection FROM sync.journal j
    WHERE j.day >= current_date - 1 AND j.link = answer.link AND j.number <= issue.number AND j.topic = $5
    ORDER BY j.number DESC LIMIT 1
) AS event
WHERE issue.topic IS NOT NULL
"""


class _Answer(msgspec.Struct, frozen=True):
    """What is kept of a receipt until it is measured: a record whole would be kilobytes."""

    link: str
    side: Side
    partition: int
    offset: int
    time: float


class _Times:
    """When the log took the newest events of a partition: a ring by offset, whose size never changes."""

    def __init__(self, most: int) -> None:
        self._offsets = array("q", [-1]) * most
        self._times = array("d", [0.0]) * most

    def put(self, offset: int, time: float) -> None:
        at = offset % len(self._times)
        self._offsets[at], self._times[at] = offset, time

    def get(self, offset: int) -> float | None:
        at = offset % len(self._times)
        return self._times[at] if self._offsets[at] == offset else None


class Latency:
    """Remembers when events came, and measures when their receipts do.

    `most` events of each partition are remembered, and `answers` receipts between two measurements; the newest ones.
    """

    def __init__(self, store: Store, metrics: Metrics, *, most: int = 4_096, answers: int = 2_000) -> None:
        self._store = store
        self._metrics = metrics
        self._came: defaultdict[int, _Times] = defaultdict(lambda: _Times(most))
        """By partition."""
        self._answers: deque[_Answer] = deque(maxlen=answers)

    def heard(self, records: Sequence[Record]) -> None:
        """Note records that are about to be taken in, once or again."""
        for record in records:
            if record.partition.topic == EVENTS:
                self._came[record.partition.number].put(record.offset, record.time.timestamp())

    def taken(self, records: Sequence[Record]) -> None:
        """Note records that were taken in."""
        for record in records:
            if record.partition.topic == RECEIPTS and (answer := _answer(record)) is not None:
                self._answers.append(answer)

    async def measure(self) -> None:
        """Observe `end_to_end_seconds` of the receipts since the last time. Raises what the store raises."""
        while self._answers:
            answers = [self._answers.popleft() for _ in range(min(_AT_ONCE, len(self._answers)))]
            rows = await self._store.fetch(
                _EVENTS_OF,
                [UUID(answer.link) for answer in answers],
                [answer.partition for answer in answers],
                [answer.offset for answer in answers],
                RECEIPTS,
                EVENTS,
            )
            for row in rows:
                answer = answers[row["n"] - 1]
                came = self._came[row["partition"]].get(row["position"])
                if came is not None:
                    direction = "left_to_right" if answer.side == "right" else "right_to_left"
                    took = answer.time - came
                    self._metrics.end_to_end_seconds.labels(row["connection"], direction).observe(max(0.0, took))


def _answer(record: Record) -> _Answer | None:
    envelope = from_headers(record.headers, record.value)
    message = unseal(envelope) if isinstance(envelope, Envelope) else None
    if not isinstance(message, Receipt) or not isinstance(message.outcome, Written):
        return None
    aim = message.aim
    return _Answer(aim.link, aim.side, record.partition.number, record.offset, record.time.timestamp())
