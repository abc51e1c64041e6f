"""`python -m tests.faults [--seed N] [--quick] [--report FILE] [--page FILE] [--keep FOLDER]`: runs the campaign."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from services.demo.child import DemoError
from tests.faults.campaign import run
from tests.faults.report import report
from tests.faults.schedule import FULL, QUICK, drawn

_REPORTS = Path(".contactsync") / "faults"


def main() -> int:
    """Run it; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what the schedule is drawn from; a new one by default")
    parser.add_argument("--quick", action="store_true", help="a small run, in under three minutes")
    parser.add_argument("--report", type=Path, help=f"where the report goes; {_REPORTS}/ by default")
    parser.add_argument("--page", type=Path, help="the report without traces goes there too, for the documentation")
    parser.add_argument("--keep", type=Path, help="keep logs and data in this folder")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    file = chosen.report or _REPORTS / f"{'quick' if chosen.quick else 'full'}-{seed}.md"
    # Where every user may pass: the database's server runs as another one.
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="contactsync-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    try:
        ended = asyncio.run(run(drawn(seed, QUICK if chosen.quick else FULL), folder, _tell))
    except DemoError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's words
        return 2
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report(ended), encoding="utf-8")
    if chosen.page:
        chosen.page.write_text(report(ended, traces=False), encoding="utf-8")
    for finding in ended.verdict.findings:
        print(finding)  # noqa: T201 - as above
    print(f"report: {file}")  # noqa: T201 - as above
    print(ended.verdict.line(seed))  # noqa: T201 - as above
    return 0 if ended.verdict.good else 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's words


if __name__ == "__main__":
    sys.exit(main())
