"""The first steps of a change's trace: it was received, and it was published."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.runtime import tracing
from services.runtime.log import EVENTS, Message
from services.runtime.tracing import Span
from services.runtime.tracing.carried import carrying


@contextmanager
def delivered(account: str, app: str, *, sender: str | None, began: float) -> Iterator[str | None]:
    """Trace what a webhook brought; gives the traceparent that its events travel with.

    `began`: unix seconds. The sender's own trace is linked, not continued: whoever knows the address could else decide
    which traces are kept. Without traces its traceparent travels on.
    """
    if not tracing.on():
        yield sender
        return
    links = () if sender is None else (sender,)
    moment = int(began * 1_000_000_000)
    with (
        tracing.span(
            "receive", None, kind="server", links=links, began=moment, account=account, app=app, delivery="webhook"
        ) as received,
        tracing.span("publish", received.traceparent, kind="producer", topic=EVENTS) as published,
    ):
        yield published.traceparent


@contextmanager
def polled(messages: Sequence[Message], account: str, app: str, *, began: int) -> Iterator[Sequence[Message]]:
    """Trace what a page brought, each contact by itself; gives the messages with their traceparent.

    `began`: when the page was asked for (`tracing.moment`).
    """
    if not tracing.on():
        yield messages
        return
    spans: list[Span] = []
    traced: list[Message] = []
    for message in messages:
        received = tracing.span("receive", None, kind="client", began=began, account=account, app=app, delivery="poll")
        published = tracing.span("publish", received.traceparent, kind="producer", topic=EVENTS)
        spans += (published, received)
        traced.append(carrying(message, published.traceparent))
    with tracing.ending(spans):
        yield traced
