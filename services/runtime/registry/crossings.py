"""Lines of a mapping that get in each other's way: a field has one line that writes it (SEMANTICS D1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from services.contracts.app import Field
from services.contracts.connection import MappingLine
from services.contracts.contact import SIDES, Side
from services.runtime.registry.pair import Pair
from services.runtime.registry.problem import Mark, Report, listed, quoted


@dataclass(frozen=True, slots=True)
class Placed:
    """A line of one's own, where it stands, its fields, and the sides that it writes."""

    line: MappingLine
    mark: Mark
    fields: Mapping[Side, Field]
    written: Mapping[Side, str]
    """Their paths as in the file, where a part may be a variable's name."""
    into: frozenset[Side]


class Crossings:
    """Compares lines that are on. `off`: the default lines that are switched off."""

    def __init__(self, report: Report, pair: Pair, off: AbstractSet[str]) -> None:
        self._report = report
        self._pair = pair
        shared = [{field.canonical for field in app.fields if field.canonical} for app in pair.apps.values()]
        self._default = frozenset(set.intersection(*shared)) - off

    def compare(self, lines: Sequence[Placed]) -> None:
        """Refuse lines that write what another one writes, and fields whose default line is still on."""
        pairs: dict[tuple[str, str], Placed] = {}
        written: dict[tuple[Side, str], Placed] = {}
        for each in lines:
            if not each.line.enabled:
                continue
            self._remapped(each)
            first = pairs.setdefault((each.line.left, each.line.right), each)
            if first is not each:
                both = " and ".join(quoted(each.written[side]) for side in SIDES)
                self._report.error(
                    each.mark,
                    f"{self._pair.what} already maps {both}, on line {first.mark.line}",
                    "Keep one of them; a line without `direction` goes both ways.",
                )
                continue
            for side in sorted(each.into):
                path = each.fields[side].path
                first = written.setdefault((side, path), each)
                if first is not each:
                    self._report.error(
                        each.mark,
                        f"two lines write {quoted(each.written[side])} of {self._pair.told(side)}; "
                        f"the first is on line {first.mark.line}",
                        "Keep one of them, or give one a `direction` away from there.",
                    )

    def _remapped(self, each: Placed) -> None:
        """D1: a field that the default mapping uses is free once its default line is off."""
        used = [side for side in SIDES if each.fields[side].canonical in self._default]
        names = list(dict.fromkeys(str(each.fields[side].canonical) for side in used))
        if not names:
            return
        what = " and ".join(f"{quoted(each.written[side])} of {self._pair.told(side)}" for side in used)
        said = " and ".join(f"`- {{default: {name}, enabled: false}}`" for name in names)
        self._report.error(
            each.mark,
            f"{what} {'are' if len(used) > 1 else 'is'} mapped already, by the default "
            f"{'lines' if len(names) > 1 else 'line'} {listed(names)}",
            f"Add {said} to `mappings`"
            + ("." if len(used) < 2 or len(names) > 1 else ", or remove this line: the default one does the same."),
        )
