"""The place in a trace that a message carries."""

from __future__ import annotations

from msgspec.structs import replace

from services.contracts.envelope import Headers
from services.runtime.log import Message

HEADER = "traceparent"


def carried(headers: Headers) -> str | None:
    """Return the traceparent among a message's headers."""
    return next((value.decode("ascii", "replace") for name, value in headers if name == HEADER), None)


def carrying(message: Message, traceparent: str | None) -> Message:
    """Return the message with this traceparent in place of the one that it has; as it is for None."""
    if traceparent is None:
        return message
    rows = tuple(row for row in message.headers if row[0] != HEADER)
    return replace(message, headers=(*rows, (HEADER, traceparent.encode())))
