"""aiokafka's own log lines: none with a contact's data, and no flood of them while a cluster is away."""

from __future__ import annotations

import logging

_SECONDS = 30.0
_LOGGERS = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)


class Seldom(logging.Filter):
    """Lets a kind of line through twice a minute: a client that looks for its cluster writes dozens a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is that kind's turn."""
        kind = str(record.msg)
        if record.created - self._last.get(kind, -_SECONDS) < _SECONDS:
            return False
        self._last[kind] = record.created
        return True


def calm() -> None:
    """Set the library's loggers up; once or often."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        # On its debug level it logs whole messages, and on the info level every rebalance of every group.
        logger.setLevel(logging.WARNING)
        if not any(isinstance(one, Seldom) for one in logger.filters):
            logger.addFilter(Seldom())
