"""Every line that the processes logged, read for what may not be in it: contacts' data and accounts' secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tests.faults.verdict import Finding

_DATA = re.compile(r"p\d+-\d+@example\.com|Ada Nr\d|\+?1212\d{7}\b|\bnote \d{2,}|Firm \d{2,}")
"""How every value looks that people write during a run."""


def leaks(folder: Path, secrets: Iterable[str]) -> tuple[int, list[Finding]]:
    """Return how many lines were read, and those that shouldn't have been written, without their words."""
    hidden = re.compile("|".join([_DATA.pattern, *(re.escape(secret) for secret in sorted(set(secrets)) if secret)]))
    read, found = 0, []
    for log in sorted(folder.glob("*.log")):
        with log.open(errors="replace") as text:
            for number, line in enumerate(text, 1):
                read += 1
                if hidden.search(line):
                    found.append(Finding("leaked", log.stem, "", f"line {number}", "a contact's data or a secret"))
    return read, found
