"""A connection on its way from the file: its two accounts and what their apps can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from services.contracts.app import Manifest
from services.contracts.contact import Side
from services.runtime.registry.problem import Mark

OneWay: TypeAlias = Literal["left_to_right", "right_to_left"]


OTHER: Mapping[Side, Side] = {"left": "right", "right": "left"}
INTO: Mapping[Side, OneWay] = {"left": "right_to_left", "right": "left_to_right"}


@dataclass(frozen=True, slots=True)
class Pair:
    """The half-read connection that messages speak of."""

    name: str
    what: str
    """As in `connection NAME`."""
    mark: Mark
    apps: Mapping[Side, Manifest]
    """Without a side whose account or app is unknown."""
    accounts: Mapping[Side, str]

    def told(self, side: Side) -> str:
        """A side's app and account, for a person."""
        return f"{self.apps[side].title} (`{self.accounts[side]}`)"
