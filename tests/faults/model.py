"""What people did and what they could see when they did it: the reference that knows nothing of contactsync.

Every value that a person gives a field is a number of its own, wrapped in words. A cell is one field of one contact in
one account. An edit has *seen* those whose value its cell had shown to somebody before, and all that those had seen.
Of the edits of the two cells that are one contact's, those that no other edit has seen still stand: one of them has to
be on both sides in the end. Two of them conflict, for neither side had seen the other's, and either may win.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

Cell = tuple[str, str, str]
"""(account, whose contact, field)."""

FIELDS = ("name", "phone", "note", "company")
"""The fields that people change."""

_AREA = 212
_EXCHANGE = 200
_WORDED = re.compile(rf"(?:Nr|note|Firm)(\d+)|1{_AREA}(\d{{7}})")
_LAST = re.compile(r"(\d+)\D*\Z")


def worded(name: str, number: int) -> str:
    """The value that holds this number, as people write it in the field `name`."""
    match name:
        case "name":
            return f"Ada Nr{number}"
        case "phone":
            return f"+1{_AREA}{_EXCHANGE + number // 10_000:03d}{number % 10_000:04d}"
        case "note":
            return f"note {number}"
        case _:
            return f"Firm {number}"


def number_in(name: str, value: str) -> int | None:
    """The number that a value holds, however an app writes it; None if it holds none."""
    if name == "phone":
        digits = re.sub(r"\D", "", value)[-7:]
        return int(digits) - _EXCHANGE * 10_000 if len(digits) == 7 else None
    found = _LAST.search(value)
    return int(found[1]) if found else None


def numbers_in(text: bytes) -> set[int]:
    """The numbers of all values in a text."""
    return {
        int(words or digits) - (0 if words else _EXCHANGE * 10_000)
        for words, digits in _WORDED.findall(re.sub(rb"[ ()-]|%20", b"", text).decode("utf-8", "replace"))
    }


@dataclass
class Model:
    """All edits, and what each cell has shown."""

    past: dict[int, frozenset[int]] = field(default_factory=dict)
    """For each edit those that it has seen."""
    shown: defaultdict[Cell, frozenset[int]] = field(default_factory=lambda: defaultdict(frozenset))
    edits: defaultdict[Cell, list[int]] = field(default_factory=lambda: defaultdict(list))

    def saw(self, cell: Cell, number: int | None) -> None:
        """A person looked at the cell, and it showed this edit's value."""
        if number is not None and number in self.past:
            self.shown[cell] |= {number} | self.past[number]

    def edited(self, cell: Cell, number: int) -> None:
        """A person gave the cell a value of this number, having looked at it."""
        self.past[number] = self.past.get(number, frozenset()) | self.shown[cell]
        self.shown[cell] |= {number}
        self.edits[cell].append(number)

    def standing(self, cells: tuple[Cell, Cell]) -> frozenset[int]:
        """The edits of a contact's field that nobody has overruled knowingly."""
        numbers = frozenset(number for cell in cells for number in self.edits[cell])
        seen = frozenset().union(*(self.past[number] for number in numbers)) if numbers else frozenset()
        return numbers - seen
