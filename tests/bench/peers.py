"""The peers' environment: what a user would pick instead, in a virtualenv of its own in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path(__file__).with_name("peers.txt")
_SECONDS = 180
_ADDRESS = re.compile(r"\w+://\S+|\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b", re.IGNORECASE)


class PeersMissingError(Exception):
    """The peers can't be installed; the text says why."""


def python() -> Path:
    """Return the peers' Python, made from the lock if this user hasn't got it. Raises `PeersMissingError`."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "contactsync")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = kept / f"bench-{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    ready, program = folder / "complete", folder / "bin" / "python"
    try:
        with _alone(kept / "bench.lock"):
            if not ready.is_file():
                shutil.rmtree(folder, ignore_errors=True)
                _run("venv", "--quiet", "--python", sys.executable, str(folder))
                _run("pip", "install", "--quiet", "--python", str(program), "--require-hashes", "-r", str(LOCK))
                ready.touch()
    except OSError as error:
        raise PeersMissingError(f"they can't be kept in the cache ({error.strerror or error})") from error
    return program


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", *arguments]
    environment = {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", **os.environ}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=_SECONDS, text=True)
    except subprocess.TimeoutExpired as error:
        raise PeersMissingError(f"installing them took over {_SECONDS} s") from error
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PeersMissingError(f"installing them failed ({_ADDRESS.sub('(address)', words)})")
