"""Asking a person, or whoever feeds the standard input: secrets aren't shown, and never come from the arguments."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import sys
import threading

from services.cli.failure import Failure
from services.cli.output import complain


def variable(account: str, key: str) -> str:
    """The environment variable of an account's key: the one that `check` proposes for the file."""
    return re.sub(r"[^A-Z0-9_]", "_", f"{account}_{key}".upper())


def given(account: str, key: str) -> str:
    """What the environment says of it, or nothing."""
    return os.environ.get(variable(account, key), "").strip()


def asked(account: str, key: str, title: str, *, secret: bool, optional: str = "") -> str:
    """A line that was typed or fed; from the environment where that has it.

    `optional` says what an empty line means; without it an empty one raises `Failure`.
    """
    if value := given(account, key):
        return value
    prompt = f"{title}{f' (empty: {optional})' if optional else ''}: "
    if sys.stdin.isatty() and secret:
        value = getpass.getpass(prompt)
    else:
        sys.stderr.write(prompt)
        sys.stderr.flush()
        value = sys.stdin.readline()
        if not sys.stdin.isatty():
            complain("")
    value = value.strip()
    if not value and not optional:
        raise Failure(f"There is no {key}. Type it, feed it to the standard input, or set {variable(account, key)}.")
    return value


async def line(seconds: float) -> str:
    """One line of the standard input. Raises `TimeoutError`."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[str] = loop.create_future()

    def tell(text: str) -> None:
        if not found.done():
            found.set_result(text)

    def read() -> None:
        text = sys.stdin.readline()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, text)

    # A thread that nobody waits for: reading a terminal can't be called off.
    threading.Thread(target=read, daemon=True, name="stdin").start()
    async with asyncio.timeout(seconds):
        return await found
