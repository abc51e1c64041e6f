"""Messages on their way, and how a story tells of them."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from services.contracts.commands import Command, Create, Find, Look, Update
from services.contracts.contact import Fields
from services.sync.core.take import Input
from tests.simulation.account import plain

Between: TypeAlias = Callable[[Random], None]
"""What may happen in an account while a request of ours is on its way."""


@dataclass(frozen=True)
class ScanEnd:
    """The end of a scan; counts once the scan's events have passed."""

    account: str
    number: int
    start: int
    events: tuple[str, ...]


@dataclass(frozen=True)
class Back:
    """An account takes commands again."""

    account: str
    earlier: tuple[str, ...]
    """The receipts that stand before it."""


@dataclass(frozen=True)
class Message:
    """Something on its way."""

    id: str
    body: Command | Input | ScanEnd | Back
    told: str


def short(fields: Fields) -> str:
    return ", ".join(f"{path}={plain(values, path) or '-'}" for path, values in sorted(fields.items()))


def told(command: Command) -> str:
    match command:
        case Look():
            return f"look at {command.account} {command.contact_id} {command.look.number}.{command.look.attempt}"
        case Find():
            return f"find {command.address} in {command.account}"
        case Create() | Update():
            kind = type(command).__name__.lower()
            aim = command.aim
            whom = "" if isinstance(command, Create) else f" {command.contact_id}"
            return f"{kind} {aim.link[:8]}/{aim.side}/{aim.version.n}{whom}: {short(command.fields)}"
        case _:
            aim = command.aim
            kind = type(command).__name__.lower()
            return f"{kind} {aim.link[:8]}/{aim.side}/{aim.version.n} {command.contact_id}"
