"""The programs that a broker needs from this machine: Java and Maven."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from services.demo.child import DemoError

OLDEST = 17
"""Kafka 4's broker needs it: https://kafka.apache.org/documentation/#java"""
_SECONDS = 20.0


class KafkaMissingError(DemoError):
    """No broker can be had on this machine. The text says why, and what to do, to a person."""


async def java() -> str:
    """The path of a Java that runs the broker. Raises `KafkaMissingError`."""
    seen = []
    for program in _found("java", "JAVA_HOME"):
        if (version := await _version(program)) >= OLDEST:
            return program
        seen.append(str(version))
    raise KafkaMissingError(
        f"Kafka needs Java {OLDEST} or newer, and "
        + (f"here is only Java {' and '.join(seen)}" if any(map(int, seen)) else "none is on the PATH or in JAVA_HOME")
        + ": install one, for example the package openjdk-17-jre-headless."
    )


def maven() -> str:
    """The path of Maven. Raises `KafkaMissingError`."""
    for program in _found("mvn", "MAVEN_HOME"):
        return program
    raise KafkaMissingError(
        "Kafka is fetched once by Maven, and no mvn is on the PATH or in MAVEN_HOME: install the package maven."
    )


def _found(name: str, home: str) -> Iterator[str]:
    folders = [str(Path(os.environ[home], "bin"))] if os.environ.get(home) else []
    for path in (*folders, None):
        if program := shutil.which(name, path=path):
            yield program


async def _version(program: str) -> int:
    """Java's major version; 0 if the program doesn't say any."""
    process = None
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "-version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    except (OSError, TimeoutError):
        return 0
    finally:
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
    told = re.search(r'version "(\d+)', printed.decode("utf-8", "replace"))
    return int(told[1]) if told and process.returncode == 0 else 0
