"""A server of the demo that is a process of its own: started, watched, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx2

_LAUNCHER = Path(__file__).with_name("launch.py")
_READY_SECONDS = 20.0
_STOP_SECONDS = 5.0


class DemoError(Exception):
    """The demo can't go on. The text says why, and what to do, to a person."""


def listening(preferred: int = 0) -> socket.socket:
    """A socket listening on the port `preferred` of this machine if it is free, else on another one."""
    try:
        return socket.create_server(("127.0.0.1", preferred))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


class Child:
    """One process, in a process group of its own, with its words in a file. Start it on the main thread."""

    def __init__(self, title: str, arguments: Sequence[str], folder: Path, descriptors: Sequence[int] = ()) -> None:
        self._title = title
        self._log = folder / "server.log"
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        with self._log.open("wb") as log:
            # -P: the launcher's folder must not hide anybody's modules.
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_LAUNCHER), str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}},
                process_group=0,
                pass_fds=descriptors,
            )
        threading.Thread(target=self._wait, args=(loop,), daemon=True).start()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        status = self._process.wait()

        def settle() -> None:
            if not self.ended.done():
                self.ended.set_result(status)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    async def ready(self, http: httpx2.AsyncClient, url: str, realm: str = "") -> bool:
        """Wait until `url` answers, and asks for a login to `realm`; False if the process ended or stays silent."""
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not self.ended.done() and asyncio.get_running_loop().time() < deadline:
            try:
                answer = await http.request("PROPFIND" if realm else "GET", url)
                if realm in answer.headers.get("www-authenticate", ""):
                    return True
            except httpx2.TransportError:
                pass
            await asyncio.wait({self.ended}, timeout=0.02)
        return False

    async def watch(self) -> None:
        """Wait for its end, which nobody wants. Raises `DemoError`."""
        status = await asyncio.shield(self.ended)
        raise DemoError(f"{self._title} ended by itself (status {status}): its last words are in {self._log}.")

    async def stop(self) -> None:
        """End it and whatever it started."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.ended.done():
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            await asyncio.wait({self.ended}, timeout=_STOP_SECONDS)
