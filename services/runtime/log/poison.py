"""A stream that is mostly poison: then it isn't the messages' fault, and setting aside all of them helps nobody."""

from collections import defaultdict, deque
from collections.abc import Sequence

LAST = 200
"""Messages of a topic that are looked back upon."""
LEAST = 20
"""Unreadable ones that are set aside before anything is made of it."""


class PoisonedError(Exception):
    """Most of what a topic holds can't be read. The text says which, and what to do."""


class Poison:
    """Counts, for each topic, how many of its last messages couldn't be read."""

    def __init__(self) -> None:
        self._last: dict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=LAST))

    def count(self, topic: str, unreadable: Sequence[bool]) -> None:
        """Count messages of a topic, before any of them is set aside. Raises `PoisonedError`."""
        last = self._last[topic]
        last.extend(unreadable)
        if (bad := sum(last)) > LEAST and 2 * bad > len(last):
            raise PoisonedError(
                f"{bad} of the last {len(last)} messages in {topic} can't be read, so this process stops instead of "
                "setting all of them aside: nothing is lost, they stay in the log. Is an older contactsync running "
                "beside a newer one, or does something else write into that topic?"
            )
