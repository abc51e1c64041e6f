"""`python -m tests.faults.without.theatre`: plays remedies' stories, each in a process of its own.

Each line of its input is a JSON list of `Play`. All of a line are played at once, each in a copy of this process, so
that what one does without stays its own affair, and the product is imported once for all. `verdict.json` in a play's
folder is what came of it; if it failed, `failure.txt` says why.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import msgspec

from services.runtime import telemetry
from tests.faults.verdict import Verdict
from tests.faults.without.opening import stage
from tests.faults.without.remedies import REMEDIES, take_away

LONGEST = 90.0
"""Seconds for one play."""
_END = 120
"""Seconds after which a play that hears of nothing any more is ended."""
VERDICT, FAILURE = "verdict.json", "failure.txt"


class Play(msgspec.Struct, frozen=True):
    """A remedy's story on an empty, migrated database, played without one remedy, or (``""``) with all of them."""

    story: str
    without: str
    dsn: str
    folder: str


async def play(wanted: Play) -> Verdict:
    """Play a story and judge what came of it."""
    remedy = REMEDIES[wanted.story]
    async with asyncio.timeout(LONGEST), stage(wanted.dsn, Path(wanted.folder), remedy.right, remedy.lefts) as made:
        await remedy.story(made)
        return await made.verdict()


def _play(wanted: Play) -> NoReturn:
    """Play in this process and end it."""
    folder = Path(wanted.folder)
    signal.alarm(_END)
    try:
        with (folder / "log.jsonl").open("w", encoding="utf-8") as log:
            telemetry.configure("json", "info", log)
            take_away(wanted.without)
            came = asyncio.run(play(wanted))
        _leave(folder / VERDICT, msgspec.json.encode(asdict(came)))
    except BaseException:  # noqa: BLE001 - whatever it is: who waits has to hear of it
        _leave(folder / FAILURE, traceback.format_exc().encode())
    finally:
        os._exit(0)


def _leave(file: Path, content: bytes) -> None:
    """Write a file that is there only when it is whole."""
    part = file.with_suffix(".part")
    part.write_bytes(content)
    part.rename(file)


def main() -> None:
    """Play whatever is asked for, until the input ends."""
    for line in sys.stdin:
        children = []
        for wanted in msgspec.json.decode(line, type=list[Play]):
            child = os.fork()
            if child == 0:
                _play(wanted)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
