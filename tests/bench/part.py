"""One part of the bench in a process of its own: `python -m tests.bench.part MODULE CONTEXT RESULT`."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path

import msgspec

from tests.bench.place import Bench


def main(module: str, context: Path, result: Path) -> None:
    """Measure the module's rows, given what the file `context` says, and write them down."""
    bench = msgspec.json.decode(context.read_bytes(), type=Bench, dec_hook=lambda kind, text: kind(text))
    rows = asyncio.run(importlib.import_module(module).rows(bench))
    result.write_bytes(msgspec.json.encode(rows))


def forked(module: str, context: Path, result: Path, words: Path) -> None:
    """As `main`, in a process that was forked: with a session of its own, and all that it says in `words`."""
    os.setsid()
    with words.open("wb") as said:
        for descriptor in (1, 2):
            os.dup2(said.fileno(), descriptor)
    main(module, context, result)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
