"""The installation's processes: each is started again whenever it ends, as an orchestrator does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from tests.end_to_end.processes import SECRET_KEY, Process
from tests.faults.child import NAME, POINT_FILE, PROOF, SKEW

KILLED = -signal.SIGKILL
_AGAIN = 0.2
"""Seconds until a process that ended by itself is started again."""
_READY = 90.0


class Role(Process):
    """A process under a lasting name, run with the points of `tests.faults.child` in it."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        super().__init__(name, arguments, environment, log)
        self._command = [sys.executable, "-m", "tests.faults.child", *arguments]
        self._file = log.with_suffix(".point")
        self._environment[POINT_FILE] = str(self._file)
        self.spare = False
        """Whether it is started when the others work."""
        self.stopped = False
        self.up = asyncio.Event()
        """Set while it says that it has started."""

    def arm(self, point: str) -> None:
        """Have it kill itself at a point (`name:n`)."""
        self._file.write_text(point, "ascii")
        self._signal(signal.SIGUSR1)

    async def stand_still(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long."""
        self.stopped = True
        self.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.stopped = False
            self.resume()


class Roles:
    """All of them. `exits` counts how they ended: by SIGKILL, or by themselves with a status."""

    def __init__(self, folder: Path, settings: Mapping[str, str], skews: Sequence[int], proof: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.exits: Counter[str] = Counter()
        self.recoveries: list[float] = []
        """Seconds from each end to the next start's "started"."""
        self.starts = 0
        self.own_ends: list[str] = []
        """What processes said last that ended by themselves."""
        self._settings = {
            "CONTACTSYNC_SECRET_KEY": SECRET_KEY,
            "CONTACTSYNC_DATA_DIR": str(folder / "data"),
            "CONTACTSYNC_LOG_FORMAT": "json",
            PROOF: f"{proof:g}",
            **settings,
        }
        self._skews = skews
        self._roles: dict[str, Role] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._commands = 0
        self.skewed: Counter[int] = Counter()

    def __getitem__(self, name: str) -> Role:
        return self._roles[name]

    def __iter__(self) -> Iterator[Role]:
        return iter(self._roles.values())

    def add(self, name: str, *arguments: str, **settings: str) -> Role:
        """A role of this name, not started yet."""
        environment = {**self._environment(), "CONTACTSYNC_MEMBER": name, **settings}
        made = self._roles[name] = Role(name, ["run", *arguments], environment, self.folder / f"{name}.log")
        return made

    async def command(self, *arguments: str, seconds: float = 60, statuses: Collection[int] = (0,)) -> str:
        """Run a command to its end; return all it said. It has to end with one of these statuses."""
        self._commands += 1
        log = self.folder / f"command-{self._commands}.log"
        process = Process(" ".join(arguments), arguments, self._environment(), log)
        await process.start()
        try:
            status = await process.ended(seconds)
        finally:
            await process.kill()
        assert status in statuses, f"contactsync {process.name} ended with {status}:\n{process.words()}"
        return process.words()

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Start all, and start again whoever ends; at the end of the block all are killed."""
        try:
            for spare in (False, True):
                those = [role for role in self if role.spare is spare]
                self._keepers += [asyncio.create_task(self._keep(role), name=f"keep-{role.name}") for role in those]
                await asyncio.gather(*(asyncio.wait_for(role.up.wait(), _READY) for role in those))
            yield
        finally:
            for keeper in self._keepers:
                keeper.cancel()
            await asyncio.gather(*self._keepers, return_exceptions=True)
            for role in self:
                await role.kill()

    def failed(self) -> None:
        """Raise what a keeper raised, if one did."""
        for keeper in self._keepers:
            if keeper.done() and not keeper.cancelled():
                keeper.result()

    async def _keep(self, role: Role) -> None:
        ended: float | None = None
        while True:
            # Clocks that are wrong are half of the processes'; one of ingest's has to take webhooks.
            ahead = 0 if role.name == "ingest-0" else self._skews[self.starts % len(self._skews)]
            self.starts += 1
            self.skewed[ahead] += 1
            await role.start(**{SKEW: str(ahead), NAME: f"{role.name}/{self.starts}"})
            watching = asyncio.create_task(self._watch(role, ended))
            status = await role._process.wait() if role._process is not None else 0
            ended = time.monotonic()
            role.up.clear()
            watching.cancel()
            self.exits["SIGKILL" if status == KILLED else f"status {status}"] += 1
            if status != KILLED:
                self.own_ends.append(f"{role.name} ended with {status}: {_last(role.words())}")
                await asyncio.sleep(_AGAIN)

    async def _watch(self, role: Role, ended: float | None) -> None:
        while not role.said("started"):  # noqa: ASYNC110 - another process says it
            await asyncio.sleep(0.1)
        role.up.set()
        if ended is not None:
            self.recoveries.append(time.monotonic() - ended)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
        return {**kept, **self._settings}


def _last(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    return " ".join(lines[-1:])[:300]
