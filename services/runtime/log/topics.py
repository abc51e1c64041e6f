"""The topics of an installation."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from services.runtime.log import EVENTS, PARKED, RECEIPTS, commands_topic

RETENTION = timedelta(days=35)
"""How long the log keeps everything: longer than the 30 days for which Stripe lists its own events."""
PARTITIONS = 4
"""Of events and of receipts: so many processes of sync can share the work."""
_COMMAND_PARTITIONS = 2


def topics(apps: Iterable[str]) -> Mapping[str, int]:
    """Return every topic with its number of partitions, for an installation that has these apps."""
    commands = {commands_topic(app): _COMMAND_PARTITIONS for app in apps}
    return {EVENTS: PARTITIONS, RECEIPTS: PARTITIONS, PARKED: 1, **commands}
