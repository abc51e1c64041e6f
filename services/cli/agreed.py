"""A person's yes to what was just shown."""

from __future__ import annotations

import sys

from services.cli.failure import MISUSED, Failure
from services.cli.output import complain


def agreed(question: str, *, yes: bool) -> bool:
    """Whether it may be done; `yes`: that was said before. Raises `Failure` where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Failure("Nobody is there to say yes, and nothing was done. Add --yes to do it.", MISUSED)
    sys.stderr.write(f"{question} Type yes: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in ("yes", "y"):
        return True
    complain("Nothing was done.")
    return False
