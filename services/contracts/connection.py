"""Accounts and connections as they are stored: what `contactsync apply` made of the file."""

from typing import Literal, TypeAlias

import msgspec

from services.contracts.contact import Side
from services.contracts.rule import Rule

Direction: TypeAlias = Literal["two_way", "left_to_right", "right_to_left"]
Deletions: TypeAlias = Literal["none", "left_to_right", "right_to_left", "both"]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One authorised account of an app. Secrets are not here but in the credentials table, sealed."""

    name: str
    app: str
    settings: dict[str, str] = msgspec.field(default_factory=dict)
    """What isn't secret: base URLs, user names, poll intervals (all text, as in the file)."""


class MappingLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change to the default mapping: a default line switched on or off, or a line of one's own."""

    default: str = ""
    """The canonical name of a default line; empty for a line of one's own."""
    left: str = ""
    """A line of one's own: the left app's path, and the right one's."""
    right: str = ""
    direction: Direction | None = None
    """Narrows a line of one's own to one way; None: as the connection goes."""
    enabled: bool = True


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A connection's options."""

    avoid_duplicates: bool = True
    sync_deletions: Deletions = "none"
    sync_unsubscribes: Deletions = "none"
    """Where an unsubscribe is shown as a tag."""
    most_writes: int = 12
    """Writes to one contact within ten minutes after which it waits for a person; 0: any number."""


class Connection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pair of accounts and the rules between them."""

    name: str
    left: str
    right: str
    direction: Direction = "two_way"
    winner: Side = "left"
    options: Options = Options()
    rules: tuple[Rule, ...] = (Rule(source="left"), Rule(source="right"))
    mappings: tuple[MappingLine, ...] = ()

    def writes(self, side: Side) -> bool:
        """Whether values flow into that side."""
        return self.direction == "two_way" or (self.direction == "left_to_right") == (side == "right")
