"""A role's process under test: it kills itself at a named point, its clock is wrong, and it waits less for proofs.

`python -m tests.faults.child ARGUMENT…` is `contactsync ARGUMENT…`, with what the environment says put around it. The
product knows nothing of it. The points, each passed before or after the thing it is named for:

- `produce.before`, `produce.midst` (the request is under way), `produce.after`: messages for the log;
- `commit.before`, `commit.after`: a transaction of the database;
- `send.before`, `send.midst`, `send.after`: a write to an app;
- `record.before`, `record.after`: the recording of what the app answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from types import FrameType
from typing import Any, Self, TypeVar

import asyncpg
from asyncpg.transaction import Transaction

from services.cli import main
from services.connectors.desk import Desk
from services.connectors.google_contacts import settle as google_settle
from services.connectors.judge import Judge
from services.connectors.quickbooks import settle as quickbooks_settle
from services.connectors.stripe import settle as stripe_settle
from services.ingest.hooks import Hooks
from services.runtime import clock
from services.runtime.log.kafka import KafkaLog

POINT = "CONTACTSYNC_FAILPOINT"
"""`name:n`: the process kills itself (SIGKILL) when it passes that point for the nth time."""
POINT_FILE = "CONTACTSYNC_FAILPOINT_FILE"
"""A file whose text, of the same form, counts from the moment a SIGUSR1 comes."""
SKEW = "CONTACTSYNC_TEST_SKEW"
"""Seconds by which this process's clock is ahead."""
PROOF = "CONTACTSYNC_TEST_PROOF_SECONDS"
"""How long an app needs at most until it shows what it has, instead of minutes: the sandboxes are quick."""
NAME = "CONTACTSYNC_TEST_NAME"
"""What the database calls this process's sessions."""

_MIDST = 0.002
_POINTS = (
    *("produce.before", "produce.midst", "produce.after", "commit.before", "commit.after"),
    *("send.before", "send.midst", "send.after", "record.before", "record.after"),
)
T = TypeVar("T")


class Fuse:
    """Counts passings of points, and kills the process at the one that was named."""

    def __init__(self) -> None:
        self._point = ""
        self._left = 0

    def set(self, text: str) -> None:
        """`name:n`, or nothing. Raises `ValueError` for a point that isn't there."""
        self._point, _, left = text.strip().partition(":")
        if self._point and self._point not in _POINTS:
            raise ValueError(f"there is no point {self._point}; there are {', '.join(_POINTS)}")
        self._left = int(left or 1)

    def burns(self, point: str) -> bool:
        """Count a passing; say whether it is the last one."""
        if point != self._point:
            return False
        self._left -= 1
        return self._left == 0

    def passed(self, point: str) -> None:
        """A point is passed."""
        if self.burns(point):
            end()


FUSE = Fuse()


def end() -> None:
    """End at once, with nothing said or written."""
    os.kill(os.getpid(), signal.SIGKILL)


async def around(noun: str, work: Callable[[], Coroutine[Any, Any, T] | Awaitable[T]]) -> T:
    """Do `work` between its points."""
    FUSE.passed(f"{noun}.before")
    if FUSE.burns(f"{noun}.midst"):
        task = asyncio.ensure_future(work())
        await asyncio.wait({task}, timeout=_MIDST)
        end()
    result = await work()
    FUSE.passed(f"{noun}.after")
    return result


def plant() -> None:
    """Put the points around the product's own functions."""
    put, commit, call, follow = KafkaLog._put, Transaction.commit, Desk.call, Judge.follow

    async def _put(self: KafkaLog, topic: str, sendings: Any) -> None:
        await around("produce", lambda: put(self, topic, sendings))

    async def _commit(self: Transaction) -> None:
        await around("commit", lambda: commit(self))

    async def _call(self: Desk, kind: str, request: Awaitable[Any]) -> Any:
        if kind != "write":
            return await call(self, kind, request)
        return await around("send", lambda: call(self, kind, request))

    async def _follow(self: Judge, *arguments: Any, **named: Any) -> None:
        await around("record", lambda: follow(self, *arguments, **named))

    for kind, name, function in (
        (KafkaLog, "_put", _put),
        (Transaction, "commit", _commit),
        (Desk, "call", _call),
        (Judge, "follow", _follow),
    ):
        setattr(kind, name, function)


def skew(seconds: float) -> None:
    """Let the machine's clock be ahead, as this process sees it."""
    ahead = timedelta(seconds=seconds)

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            moment = datetime.now(tz or UTC) + ahead
            return cls.fromtimestamp(moment.timestamp(), moment.tzinfo)

    vars(clock)["datetime"] = Skewed
    # What signatures' ages are measured by.
    defaults = Hooks.__init__.__kwdefaults__
    assert defaults is not None
    defaults["now"] = lambda: time.time() + seconds


def hurry(seconds: float) -> None:
    """Take a create that isn't seen for disproved after these seconds."""
    for module, changed in (
        (google_settle, {"VISIBLE_AFTER": seconds, "_ASK_AGAIN": seconds / 2, "_LATER": seconds / 2}),
        (quickbooks_settle, {"AT_WORK": seconds, "_LATER": seconds / 2}),
        (stripe_settle, {"_AT_WORK": round(seconds)}),
    ):
        assert changed.keys() <= vars(module).keys()
        vars(module).update(changed)


def name_sessions(name: str) -> None:
    """Let the database know whose sessions are whose."""
    create_pool = asyncpg.create_pool

    def named(*arguments: Any, **settings: Any) -> Any:
        settings["server_settings"] = {**settings.get("server_settings", {}), "application_name": name}
        return create_pool(*arguments, **settings)

    vars(asyncpg)["create_pool"] = named


def _armed(_: int, __: FrameType | None) -> None:
    FUSE.set(Path(os.environ[POINT_FILE]).read_text("ascii"))


def prepare() -> None:
    """Do what the environment says."""
    plant()
    FUSE.set(os.environ.get(POINT, ""))
    if os.environ.get(POINT_FILE):
        signal.signal(signal.SIGUSR1, _armed)
    if ahead := float(os.environ.get(SKEW) or 0):
        skew(ahead)
    if seconds := float(os.environ.get(PROOF) or 0):
        hurry(seconds)
    if name := os.environ.get(NAME):
        name_sessions(name)


if __name__ == "__main__":
    prepare()
    sys.exit(main())
