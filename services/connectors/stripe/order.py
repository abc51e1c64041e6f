"""When an observation of Stripe's was true: closed intervals in microseconds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from services.contracts.contact import Order
from services.runtime.clock import Clock

SECOND = 1_000_000


def of_event(created: int) -> Order:
    """The order of an event: its `created` has a resolution of one second."""
    return Order(created * SECOND, created * SECOND + SECOND)


def of_answer(headers: Mapping[str, str], duration: float, clock: Clock) -> Order:
    """The order of an answer that took `duration` seconds, from its Date header or, without one, from `clock`.

    It may have been read from the database at any moment of the request; Date counts whole seconds.
    """
    date = _date(headers.get("date", "")) or clock.now()
    at = microseconds(date)
    return Order(at - round(max(duration, 0.0) * SECOND) - SECOND, at + SECOND)


def microseconds(moment: datetime) -> int:
    """An aware moment in microseconds since 1970."""
    return round(moment.timestamp() * SECOND)


def _date(header: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
