"""The broker's jars: fetched by Maven from wherever its settings say, checked, and kept in the user's cache.

For another version of Kafka: change `VERSION`, fetch (it fails, for the sums are the old one's), and write
`jars.sha256` anew with `sha256sum *.jar` in the folder that the sentence names.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from services.demo.kafka.java import KafkaMissingError, maven

VERSION = "4.4.0"
_DEPENDENCIES = (("org.apache.kafka", "kafka_2.13", VERSION), ("org.slf4j", "slf4j-simple", "1.7.36"))
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_SUMS = Path(__file__).with_name("jars.sha256")
_COMPLETE = "complete.sha256"
_FETCH_SECONDS = 600.0
# A URL, or a host's name: dots and, unlike in an artifact's coordinates, no word behind its colon.
_ADDRESS = re.compile(
    r"\w+://[^\s'\")]+|\b(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]+(?::\d+\b|(?![\w.:-])|(?=[:.](?:\s|$)))", re.IGNORECASE
)


async def jars() -> Path:
    """The folder with the broker's jars, fetched if this user hasn't got them. Raises `KafkaMissingError`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "contactsync")
    folder = cache / f"kafka-{VERSION}"
    if _complete(folder):
        return folder
    try:
        async with _alone(cache / f"kafka-{VERSION}.lock"):
            if not _complete(folder):  # another process may have fetched them meanwhile
                await _fetch(cache, folder)
    except OSError as error:
        raise KafkaMissingError(f"Kafka can't be kept in {cache}: {error.strerror or error}.") from error
    return folder


def _complete(folder: Path) -> bool:
    """Whether what was checked when it was fetched is still there whole; the sums aren't taken again."""
    try:
        kept = (folder / _COMPLETE).read_text("utf-8").splitlines()
        sizes = {name: int(size) for size, _, name in (line.partition("  ") for line in kept[1:])}
        return (
            kept[0] == _digest(_SUMS)
            and sizes.keys() == _wanted().keys()
            and all((folder / name).stat().st_size == size for name, size in sizes.items())
        )
    except (OSError, ValueError, IndexError):
        return False


async def _fetch(cache: Path, folder: Path) -> None:
    log = cache / f"kafka-{VERSION}.log"
    made = _made(cache)
    try:
        (made / "pom.xml").write_text(_pom(), "utf-8")
        await _maven(made, log)
        libs = made / "libs"
        if differing := await asyncio.to_thread(_differing, libs):
            kept = cache / f"kafka-{VERSION}-refused"
            shutil.rmtree(kept, ignore_errors=True)
            libs.replace(kept)
            raise KafkaMissingError(
                f"What Maven fetched for Kafka {VERSION} isn't what was tested ({', '.join(sorted(differing)[:3])}): "
                f"it is in {kept}, and {_SUMS.name} says what it should be."
            )
        sizes = [f"{path.stat().st_size}  {path.name}" for path in sorted(libs.glob("*.jar"))]
        (libs / _COMPLETE).write_text("\n".join([_digest(_SUMS), *sizes, ""]), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # incomplete, or of other sums: see _complete
        libs.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def _maven(folder: Path, log: Path) -> None:
    program = maven()
    with log.open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            program,
            *("-q", "-B", "-ntp", "-Dstyle.color=never", f"{_PLUGIN}:copy-dependencies"),
            *("-DincludeScope=runtime", "-DoutputDirectory=libs"),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            process_group=0,
        )
        try:
            status: int | str = await asyncio.wait_for(process.wait(), _FETCH_SECONDS)
        except TimeoutError:
            status = f"nothing after {_FETCH_SECONDS:.0f} s"
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    if status != 0:
        raise KafkaMissingError(
            f"Maven couldn't fetch Kafka {VERSION} ({_last_words(log) or status}): "
            f"see that Maven reaches a repository (its settings.xml), and try again; all that it said is in {log}."
        )


def _made(cache: Path) -> Path:
    """An empty folder to fetch into; those of processes that were killed go, for we hold the lock."""
    for half in cache.glob(f"kafka-{VERSION}-half-*"):
        shutil.rmtree(half, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"kafka-{VERSION}-half-", dir=cache))


def _last_words(log: Path) -> str:
    """The line that says why Maven failed, without addresses: it names the cause first, then how to ask for more."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.removeprefix("[ERROR] ") for line in lines if line.startswith("[ERROR] ")]
    line = (errors or lines[-1:] or [""])[0].partition(" -> [Help")[0]
    return _ADDRESS.sub("(address)", line)[:400].rstrip(". ")


def _pom() -> str:
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        for group, name, version in _DEPENDENCIES
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>contactsync</groupId><artifactId>broker</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _wanted() -> dict[str, str]:
    return {name: digest for digest, _, name in (line.partition("  ") for line in _SUMS.read_text().splitlines())}


def _differing(libs: Path) -> set[str]:
    """Names of jars that are missing, too many, or not what they should be."""
    found = {path.name: _digest(path) for path in libs.glob("*.jar")}
    return {name for name, _ in found.items() ^ _wanted().items()}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[None]:
    """Hold a lock that one process at a time can have; it ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.1)
        yield
