"""Who had seen which edit: what decides, without looking at the core, which edits of a field may have lost."""

from dataclasses import dataclass, field

Cell = tuple[str, str, str]
"""(account, contact id, what a person calls the field)."""


@dataclass(frozen=True)
class Edit:
    """One value that a person gave a field, and the edits that whoever gave it could see there."""

    number: int
    value: str
    past: frozenset[int]
    story: str


@dataclass
class Provenance:
    """All edits, and for each cell those whose value it ever held."""

    edits: list[Edit] = field(default_factory=list)
    held: dict[Cell, frozenset[int]] = field(default_factory=dict)
    excused: set[Cell] = field(default_factory=set)
    """Cells in which an app without any proof let the value decide (P4): nothing is claimed for them."""

    def edited(self, cell: Cell, value: str, story: str) -> None:
        """A person gave the cell a value, seeing everything that it held."""
        past = self.held.get(cell, frozenset())
        edit = Edit(len(self.edits), value, past, story)
        self.edits.append(edit)
        self.held[cell] = past | {edit.number}

    def copied(self, source: Cell, target: Cell, value: str) -> None:
        """We wrote `value` into the target, because the source held it.

        Of several edits that gave the source this value, the first that the target hasn't had is meant: to claim less
        is never wrong.
        """
        held = self.held.get(target, frozenset())
        news = sorted(n for n in self.held.get(source, frozenset()) - held if self.edits[n].value == value)
        if news:
            self.held[target] = held | {news[0], *self.edits[news[0]].past}

    def giving(self, cell: Cell, value: str) -> frozenset[int]:
        """Return the edits that the cell held and that said `value`."""
        return frozenset(n for n in self.held.get(cell, frozenset()) if self.edits[n].value == value)

    def standing(self, cells: tuple[Cell, Cell]) -> list[Edit]:
        """Return the edits of two linked cells that no later edit had seen: one of them has to win."""
        numbers = frozenset().union(*(self.held.get(cell, frozenset()) for cell in cells))
        seen = frozenset().union(*(self.edits[number].past for number in numbers)) if numbers else frozenset()
        return [self.edits[number] for number in sorted(numbers - seen)]
