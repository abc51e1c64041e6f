"""Traces: what became of one change, step by step, from the webhook to the target's answer.

A step is a span. Its place in the trace travels between processes as the `traceparent` of messages. Without an
exporter (the default) a span is nothing, and what travels is left as it came. Attributes are those that log lines may
have, so that no contact's data and no secret can be in them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

from structlog.contextvars import bind_contextvars, reset_contextvars

from services.runtime.telemetry import ALLOWED, harmless

Kind: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]
Value: TypeAlias = str | int | float | bool
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""Version 00 of https://www.w3.org/TR/trace-context/#traceparent-header, without the ids it calls invalid."""


class Recording(Protocol):
    """A span where there is an exporter."""

    @property
    def traceparent(self) -> str:
        """Its place in the trace, as it travels."""
        ...

    def tell(self, attributes: dict[str, Value]) -> None:
        """Add attributes."""
        ...

    def fail(self, kind: str) -> None:
        """Say that the step failed, with the name of an exception's class."""
        ...

    def end(self) -> None:
        """The step is over."""
        ...


class Tracer(Protocol):
    """Begins spans. There is one per process, or none."""

    def begin(self, name: str, parent: str | None, kind: Kind, links: Iterable[str], began: int | None) -> Recording:
        """Begin a span under `parent`, or a trace of its own; `began` is nanoseconds since 1970, now without."""
        ...


class Span:
    """One step. As a context manager it ends with the block, and log lines of the block name it."""

    __slots__ = ("_named", "_recording", "traceparent")

    def __init__(self, recording: Recording | None, traceparent: str | None) -> None:
        self._recording = recording
        self._named: Mapping[str, Token[Any]] | None = None
        self.traceparent = traceparent
        """What its successors get as their parent; without traces what this one got."""

    def tell(self, **attributes: object) -> None:
        """Add attributes: what a log line may hold. The rest is left out."""
        if self._recording is not None:
            self._recording.tell(_allowed(attributes))

    def fail(self, error: BaseException) -> None:
        """Say that the step failed. Only the exception's kind is kept: its text may quote data."""
        if self._recording is not None:
            self._recording.fail(type(error).__name__)

    def end(self) -> None:
        """The step is over."""
        if self._recording is not None:
            self._recording.end()

    def __enter__(self) -> Self:
        """Make it the one that log lines name."""
        found = None if self._recording is None else TRACEPARENT.fullmatch(self._recording.traceparent)
        if found is not None:
            self._named = bind_contextvars(trace_id=found[1], span_id=found[2])
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End it."""
        if error is not None:
            self.fail(error)
        if self._named is not None:
            reset_contextvars(**self._named)
            self._named = None
        self.end()


_tracer: Tracer | None = None


def use(tracer: Tracer | None) -> Tracer | None:
    """Let this process's spans go to `tracer`, or nowhere; return where they went before."""
    global _tracer
    before, _tracer = _tracer, tracer
    return before


def on() -> bool:
    """Whether spans go anywhere."""
    return _tracer is not None


def span(
    name: str,
    parent: str | None = None,
    *,
    kind: Kind = "internal",
    links: Iterable[str | None] = (),
    began: int | None = None,
    **attributes: object,
) -> Span:
    """Begin a step. `parent`: the traceparent that came along; without one a trace of its own begins.

    `links` are other traces it has to do with; `began` is when it began (`moment`), if not now. To be used as a context
    manager, or to be ended by `end`.
    """
    if _tracer is None:
        return Span(None, parent)
    recording = _tracer.begin(name, parent, kind, [link for link in links if link], began)
    made = Span(recording, recording.traceparent)
    made.tell(**attributes)
    return made


def untraced() -> Span:
    """Return a step of no trace, for what isn't worth one of its own."""
    return Span(None, None)


@contextmanager
def ending(spans: Sequence[Span]) -> Iterator[None]:
    """End all of them with the block, as failed if it fails."""
    try:
        yield
    except BaseException as error:
        for one in spans:
            one.fail(error)
        raise
    finally:
        for one in spans:
            one.end()


def moment() -> int:
    """Return the time as spans have it: nanoseconds since 1970."""
    return time.time_ns()


def sampled(traceparent: str | None) -> bool:
    """Whether the trace is kept by those who began it."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    return found is not None and bool(int(found[3], 16) & 1)


def _allowed(attributes: dict[str, object]) -> dict[str, Value]:
    kept: dict[str, Value] = {}
    for name, value in attributes.items():
        if name not in ALLOWED:
            raise ValueError(f"{name} is no name of a field that may be shown")
        if isinstance(value, str | int | float | bool) and harmless(value):
            kept[name] = value
    return kept
