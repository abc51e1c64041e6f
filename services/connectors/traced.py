"""The last steps of a change's trace: the app was asked to write, and its answer was recorded."""

from services.connectors.desk import Desk
from services.connectors.entry import Entry
from services.connectors.reads import Read
from services.contracts.app import Trouble
from services.contracts.receipts import Outcome
from services.runtime import tracing
from services.runtime.tracing import Span


def sending(desk: Desk, entry: Entry) -> Span:
    """The app's API is called: what `entry` wants is written."""
    return _call("send", desk, entry)


def asking(desk: Desk, entry: Entry) -> Span:
    """The app's API is called: it is asked what became of a write of unknown outcome."""
    return _call("ask", desk, entry)


def finding(desk: Desk, read: Read) -> list[Span]:
    """The app's API is called: it is asked for a contact, or who has an address, once for all who want to know.

    One span per asker, in their order.
    """
    return [
        tracing.span(
            read.kind,
            asker.traceparent,
            kind="client",
            app=desk.app.manifest.name,
            account=desk.account,
            link=asker.link or None,
            attempt=read.tries,
        )
        if asker.traceparent
        else tracing.untraced()
        for asker in read.askers
    ]


def settling(desk: Desk, entry: Entry, outcome: Outcome) -> Span:
    """The answer is recorded, and the receipt written that goes back to sync."""
    return tracing.span(
        "settle",
        entry.task.traceparent,
        app=desk.app.manifest.name,
        account=desk.account,
        link=entry.link,
        side=entry.side,
        outcome=type(outcome).__name__.lower(),
    )


def outcome_of(answer: object) -> str:
    """Return the word for an app's answer: its class, or the key of its trouble."""
    return f"{answer.key}" if isinstance(answer, Trouble) else type(answer).__name__.lower()


def _call(name: str, desk: Desk, entry: Entry) -> Span:
    return tracing.span(
        name,
        entry.task.traceparent,
        kind="client",
        app=desk.app.manifest.name,
        account=desk.account,
        connection=entry.aim.connection,
        link=entry.link,
        side=entry.side,
        command=entry.task.type,
        attempt=entry.attempt,
    )
