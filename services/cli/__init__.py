"""The command line: `contactsync COMMAND`. Errors are sentences; 1 says it failed, 2 that it was called wrongly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import cyclopts

from services.cli.commands import app
from services.cli.failure import FAILED, MISUSED, told
from services.cli.output import complain

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; without `arguments` those of the process. The exit status comes back."""
    try:
        result = app(
            list(sys.argv[1:] if arguments is None else arguments),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except cyclopts.CycloptsError as error:
        complain(f"{error}\n`contactsync --help` shows what there is.")
        return MISUSED
    except BrokenPipeError:
        return _unread()
    except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - the last place where an error can become a sentence
        text, failed = told(error)
        complain(text)
        return failed
    return result if isinstance(result, int) else 0


def _unread() -> int:
    """Nobody reads on, as in `contactsync status | head`. What is still buffered goes nowhere, in silence."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
