"""How long it took: from the moment a change was heard of to the moment the request reached the other server."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Figures:
    """Milliseconds of the story's writes, in their order."""

    taken: list[float] = field(default_factory=list)

    def add(self, heard: float, sent: float) -> float:
        """Count one write, its cause heard of and it sent at these seconds; returns the milliseconds between."""
        self.taken.append((sent - heard) * 1000)
        return self.taken[-1]

    def told(self) -> str:
        """A sentence about all of them."""
        if not self.taken:
            return "no write was measured"
        return (
            f"{len(self.taken)} writes, each from the webhook or feed's answer behind it to its request: "
            f"median {statistics.median(self.taken):.0f} ms, maximum {max(self.taken):.0f} ms"
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
