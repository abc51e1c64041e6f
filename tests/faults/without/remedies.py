"""All remedies by name."""

from __future__ import annotations

from tests.faults.without import (
    base_pair,
    compare_and_set,
    create_key,
    fence,
    ledger,
    link_lock,
    order_guard,
    poll_number,
    reservation,
    scan_barrier,
    stored_receipt,
    unsettled_write,
)

_NOUNS = (
    *(fence, ledger, create_key, base_pair, unsettled_write, order_guard),
    *(scan_barrier, reservation, poll_number, link_lock, compare_and_set, stored_receipt),
)
REMEDIES = {noun.REMEDY.name: noun.REMEDY for noun in _NOUNS}


def take_away(name: str) -> None:
    """Let this process do without the remedy `name`, or without none if it is empty. Raises `LookupError`."""
    if not name:
        return
    if name not in REMEDIES:
        raise LookupError(f"there is no remedy {name}; there are {', '.join(REMEDIES)}")
    REMEDIES[name].take_away()
