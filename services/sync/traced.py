"""The middle steps of a change's trace: sync decided, and its command went into the log.

A transaction takes several inputs in. Each has a `decide` of its own, in its own trace; where there are several, one
`fold` stands for the transaction and links them all.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from services.contracts.commands import Command, Find, Look
from services.contracts.contact import Side
from services.contracts.receipts import Absent, Found, Receipt
from services.runtime import tracing
from services.runtime.log import Message
from services.runtime.tracing import Span
from services.runtime.tracing.carried import carried, carrying
from services.sync.core.take import Input, Reconsider, Restored
from services.sync.journal import Journalled

_WAITED = 60_000_000_000
"""Nanoseconds for which a decision counts as the continuation of the link's last one."""


class Origin(Protocol):
    """An input as its trace sees it."""

    @property
    def item(self) -> Input:
        """What is folded."""
        ...

    @property
    def type(self) -> str:
        """The message's type, or why there is none."""
        ...

    @property
    def id(self) -> str:
        """The message's id."""
        ...

    @property
    def traceparent(self) -> str | None:
        """The step of a trace that it came from."""
        ...


class Waited:
    """Which trace a link's last decision of this process was in: what comes about by waiting goes on there.

    For a minute; what comes about later begins a trace that is linked to it. `most` links are remembered.
    """

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._last: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def note(self, links: Iterable[str], traceparent: str | None, at: int) -> None:
        """Remember what a decision about these links was traced by, at a `tracing.moment`."""
        for link in links:
            if link and traceparent is not None:
                self._last.pop(link, None)
                self._last[link] = traceparent, at
        while len(self._last) > self._most:
            self._last.popitem(last=False)

    def of(self, origin: Origin, at: int) -> tuple[str | None, str | None]:
        """Return the parent of a decision at that moment, and what it is linked to."""
        if origin.traceparent is not None or not isinstance(origin.item, Reconsider):
            return origin.traceparent, None
        last, since = self._last.get(origin.item.link, (None, 0))
        return (last, None) if at - since < _WAITED else (None, last)


_waited = Waited()


@contextmanager
def decided(
    origins: Sequence[Origin],
    journal: Sequence[Journalled],
    commands: Sequence[tuple[Command, str]],
    *,
    began: int,
) -> Iterator[Sequence[str | None]]:
    """Trace what was decided; gives the traceparent of each command.

    To surround the saving of it. `began`: when the inputs began to be folded (`tracing.moment`). What came without a
    trace, such as time that has passed, begins one if it leads to a command.
    """
    if not tracing.on():
        yield [None] * len(commands)
        return
    whose = [_origin(command, origins, journal) for command, _ in commands]
    spans: list[Span] = []
    fold = _fold(origins, began)
    parents: dict[int, str | None] = {}
    for at, origin in enumerate(origins):
        if origin.traceparent is None and at not in whose:
            continue
        rows = [row for row in journal if row.cause == origin.id]
        told = rows[-1].decision if rows else None
        parent, earlier = _waited.of(origin, began)
        span = tracing.span(
            "decide",
            parent,
            kind="consumer",
            links=(earlier, fold.traceparent if fold else None),
            began=began,
            type=origin.type,
            link=told.link if told else None,
            connection=told.connection if told else None,
            outcome=told.outcome if told else None,
            count=whose.count(at),
        )
        spans.append(span)
        parents[at] = span.traceparent
        _waited.note((row.decision.link for row in rows), span.traceparent, began)
    with tracing.ending([*spans, *([fold] if fold else [])]):
        yield [parents.get(at) if at is not None else None for at in whose]


@contextmanager
def relayed(topics: Mapping[str, Sequence[Message]]) -> Iterator[Mapping[str, Sequence[Message]]]:
    """Trace messages from the outbox; gives them with their traceparent. To surround their publication."""
    if not tracing.on():
        yield topics
        return
    spans: list[Span] = []
    traced: dict[str, list[Message]] = {}
    for topic, messages in topics.items():
        for message in messages:
            parent = carried(message.headers)
            kept = traced.setdefault(topic, [])
            if parent is None:
                kept.append(message)
                continue
            span = tracing.span("relay", parent, kind="producer", topic=topic)
            spans.append(span)
            kept.append(carrying(message, span.traceparent))
    with tracing.ending(spans):
        yield traced


def _fold(origins: Sequence[Origin], began: int) -> Span | None:
    """Begin the span of a transaction with several inputs, in the first trace that is kept."""
    kept = [origin.traceparent for origin in origins if tracing.sampled(origin.traceparent)]
    if len(origins) == 1 or not kept:
        return None
    return tracing.span("fold", kept[0], links=kept, began=began, count=len(origins))


def _origin(command: Command, origins: Sequence[Origin], journal: Sequence[Journalled]) -> int | None:
    """Return which of the inputs led to the command; None if that can't be told."""
    if len(origins) == 1:
        return 0
    if isinstance(command, Look):
        return next((at for at, each in enumerate(origins) if _about(each.item, command)), None)
    link, side = (command.link, None) if isinstance(command, Find) else (command.aim.link, command.aim.side)
    rows = [row for row in journal if row.decision.link == link]
    # The row that says so, or the link's last one: a find, and what is sent once more, are no row's write.
    issued = [row for row in rows if _issued(row, side)]
    causes = {row.cause for row in (issued or rows)[-1:]}
    return next((at for at, each in enumerate(origins) if each.id in causes), None)


def _issued(row: Journalled, side: Side | None) -> bool:
    return any(side in {None, write.side} for write in row.decision.writes)


def _about(item: Input, look: Look) -> bool:
    match item:
        case Receipt() | Found() | Absent() | Reconsider() | Restored():
            return False
        case _:
            return (item.account, item.contact_id) == (look.account, look.contact_id)
