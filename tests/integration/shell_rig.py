"""`contactsync …` as a process of its own beside sandboxes on real ports, and a browser that follows redirects."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What a person's browser does: it opens the address and goes where it is led.
BROWSER = (
    f"""{shlex.quote(sys.executable)} -c "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=10)" %s"""
)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs commands in a folder of its own. `secrets` must not show up in anything that they print."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CONTACTSYNC_") and not name.lower().endswith("_proxy")
        }
        paths = os.pathsep.join(filter(None, [str(REPOSITORY), *sys.path]))
        own = {"PYTHONPATH": paths, "CONTACTSYNC_DATA_DIR": str(self.folder / "data"), "BROWSER": "false %s"}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "services.cli", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env={**kept, **own, **self.environ},
        )

    async def end(self, process: asyncio.subprocess.Process, stdin: str = "") -> Done:
        try:
            async with asyncio.timeout(60):
                out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        done = Done(process.returncode, out.decode(), err.decode())
        for text in (done.out, done.err):
            assert "Traceback" not in text
            assert not [secret for secret in self.secrets if secret in text]
        return done

    async def run(self, *arguments: str, stdin: str = "") -> Done:
        return await self.end(await self.start(*arguments), stdin)

    async def answer(self, *arguments: str, stdin: str = "") -> str:
        done = await self.run(*arguments, stdin=stdin)
        assert done.status == 0, done.err + done.out
        return done.out
