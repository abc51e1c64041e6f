"""A message as aiokafka reads it, as the port's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.runtime.log import Partition, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record(place: Partition, message: Any) -> Record:
    """Return it; what others wrote without a key, a value or a header's value has empty ones."""
    return Record(
        partition=place,
        offset=message.offset,
        key=message.key or b"",
        headers=tuple((name, value or b"") for name, value in message.headers),
        value=message.value or b"",
        time=_EPOCH + timedelta(milliseconds=message.timestamp),
    )
