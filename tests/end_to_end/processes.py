"""The installation's roles as processes of their own: started, killed, paused, ended, and started again by name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from services.demo import kafka

ROOT = Path(__file__).parents[2]
SECRET_KEY = "the tests' own key, of no use elsewhere"
# It ends what it started when this process ends, however that comes about.
_LAUNCHER = Path(kafka.__file__).with_name("launch.py")
_COMMAND_SECONDS = 60.0
_SHOWN = 4000
"""Characters of each process's last words that a failed test shows."""


class Process:
    """One `contactsync …`, with all its words in a file of its own. It may be started again after its end."""

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", "services.cli", *arguments]
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._begun = 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, **changed: str) -> None:
        """Start it; `changed` settings are kept for the next time."""
        assert not self.running, f"{self.name} runs already"
        self._environment |= changed
        self.log.touch()
        self._begun = self.log.stat().st_size
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                # -P: the launcher's folder must not hide anybody's modules.
                *(sys.executable, "-P", str(_LAUNCHER), str(os.getpid()), *self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment,
                start_new_session=True,
            )

    async def kill(self) -> None:
        """End it at once (SIGKILL), also when it is paused."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def stop(self, seconds: float = 40) -> int:
        """Ask it to end (SIGTERM), and return its exit status."""
        self._signal(signal.SIGTERM)
        return await self.ended(seconds)

    def pause(self) -> None:
        """Let it stand still (SIGSTOP): its connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def ended(self, seconds: float = 40) -> int:
        """Wait for its end, and return its exit status."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    def words(self) -> str:
        """All it said since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._begun)
            return log.read().decode(errors="replace")

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return its log lines of that event since it was last started."""
        found = []
        for line in self.words().splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                told = msgspec.json.decode(line)
                if isinstance(told, dict) and told.get("event") == event:
                    found.append(told)
        return found

    def _signal(self, sign: signal.Signals) -> None:
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)


class Processes:
    """The processes of one installation. On the way out they are killed; if that is an error, it shows their logs."""

    def __init__(self, folder: Path, store_url: str, log_url: str, **settings: str) -> None:
        self.folder = folder
        self._settings = {
            "CONTACTSYNC_STORE_URL": store_url,
            "CONTACTSYNC_LOG_URL": log_url,
            "CONTACTSYNC_SECRET_KEY": SECRET_KEY,
            "CONTACTSYNC_DATA_DIR": str(folder / "data"),
            "CONTACTSYNC_LOG_FORMAT": "json",
            **settings,
        }
        self._all: dict[str, Process] = {}
        self._commands = 0

    def __getitem__(self, name: str) -> Process:
        return self._all[name]

    def __iter__(self) -> Any:
        return iter(self._all.values())

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self:
            await process.kill()
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"----- {log.stem}\n{log.read_text(errors='replace')[-_SHOWN:]}")  # noqa: T201 - pytest shows it

    def role(self, name: str, *roles: str, static: bool = True, **settings: str) -> Process:
        """A process of these roles under a lasting name, or (not `static`) under one for each run; to be started."""
        named = {"CONTACTSYNC_MEMBER": name} if static else {}
        environment = self._environment(**named, **settings)
        made = self._all[name] = Process(name, ["run", *roles], environment, self.folder / f"{name}.log")
        return made

    async def command(self, *arguments: str) -> str:
        """Run a command to its end; return all it said. It has to succeed."""
        self._commands += 1
        log = self.folder / f"command-{self._commands}.log"
        process = Process(" ".join(arguments), arguments, self._environment(), log)
        await process.start()
        try:
            status = await process.ended(_COMMAND_SECONDS)
        finally:
            await process.kill()
        assert status == 0, f"contactsync {process.name} ended with {status}:\n{process.words()}"
        return process.words()

    def use(self, store_url: str) -> None:
        """Let everything that is started from now on use this database."""
        self._settings["CONTACTSYNC_STORE_URL"] = store_url

    def _environment(self, **settings: str) -> dict[str, str]:
        # Nobody's own settings are to reach a test's processes.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
        return {**kept, **self._settings, **settings}


async def until(condition: Callable[[], Any], seconds: float = 30, what: str = "") -> None:
    """Poll a condition, plain or asynchronous, until it is true. Raises `AssertionError` with `what` if it isn't."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        met = condition()
        if await met if asyncio.iscoroutine(met) else met:
            return
        assert loop.time() < deadline, f"not within {seconds:g} s: {what or condition}"
        await asyncio.sleep(0.02)
