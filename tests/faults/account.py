"""An account as people use it, whatever its app."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

TRASH = "PieSync Trash"
Looked = Callable[[Mapping[str, str]], None]
"""Told what the contact looked like at the moment of the change, by field."""


@dataclass(frozen=True)
class Row:
    """A live contact as it is. `fields` by the names that people use."""

    id: str
    email: str
    fields: Mapping[str, str]
    tagged: bool


class Account(Protocol):
    """One account. People are told apart by their e-mail address, which nobody changes here."""

    name: str

    async def everybody(self) -> Sequence[Row]:
        """All live contacts."""
        ...

    async def make(self, email: str, fields: Mapping[str, str]) -> None:
        """A person makes a contact."""
        ...

    async def edit(self, email: str, fields: Mapping[str, str], looked: Looked) -> bool:
        """A person changes fields, having looked; False if the contact isn't there."""
        ...

    async def delete(self, email: str) -> bool:
        """A person deletes the contact; False if it isn't there."""
        ...

    async def bring_back(self, email: str) -> bool:
        """A person brings a deleted contact back as it was; False where the app can't."""
        ...

    def writes(self) -> int:
        """How many changes contactsync has made here."""
        ...

    def deletions(self) -> int:
        """How many contacts contactsync has deleted here."""
        ...

    def carried(self) -> set[int]:
        """The numbers of the values in what contactsync wrote here, also of those that it only left as they were."""
        ...
