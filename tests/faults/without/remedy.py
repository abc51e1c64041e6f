"""A remedy of the protocol: how it is taken away in a process of the tests, and a story in which it alone helps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.schedule import RightApp
from tests.faults.without.stage import Stage

WITHOUT = "CONTACTSYNC_TEST_WITHOUT"
"""The remedy that a process of the tests does without."""


@dataclass(frozen=True)
class Remedy:
    """`take_away` replaces, for the rest of the process, what the product names so; `story` ends before all rests."""

    name: str
    take_away: Callable[[], None]
    story: Callable[[Stage], Awaitable[None]]
    right: RightApp = "google_contacts"
    lefts: int = 1
    """Stripe accounts, each in a connection with the one right account."""


def replace(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Put `made(what stands there)` in place of a function, method, property or constant of the product.

    Raises `LookupError` if the product no longer names anything so, or that changes nothing: the remedy lives elsewhere
    by then.
    """
    if name not in vars(owner):
        raise LookupError(f"{owner.__name__} has no {name} any more: find where this remedy lives now")
    before = vars(owner)[name]
    after = made(before)
    if after == before:
        raise LookupError(f"{owner.__name__}.{name} is as before: find where this remedy lives now")
    setattr(owner, name, after)
