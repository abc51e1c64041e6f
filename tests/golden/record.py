"""Record golden histories: `python -m tests.golden.record [NAME …]`; all of them without a name.

A history is recorded anew only where a decision was changed on purpose: the difference is then part of the change.
"""

from __future__ import annotations

import sys

from tests.golden.history import FOLDER, write
from tests.golden.stories import STORIES


def record(name: str) -> int:
    """Tell the story and record it; return how many steps it has."""
    steps = STORIES[name]().steps
    FOLDER.mkdir(exist_ok=True)
    write(FOLDER / f"{name}.ndjson", steps)
    return len(steps)


if __name__ == "__main__":
    for each in sys.argv[1:] or list(STORIES):
        sys.stdout.write(f"{each}: {record(each)} steps\n")
