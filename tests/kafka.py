"""The session's Kafka: one that the environment names, or a broker of our own that is started when a test asks."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from pathlib import Path

from services.demo.kafka import Cluster, KafkaMissingError, broker_cluster, jars
from services.demo.kafka.java import java

ADDRESS = "CONTACTSYNC_TEST_KAFKA"
_START_SECONDS = 200
LOUD = "TESTS THAT NEED KAFKA DIDN'T RUN"


class Kafka:
    """A broker that tests share: topics and groups have names of their own in every test."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        """The addresses that clients take."""


class OwnBroker:
    """A broker on a thread and loop of its own, so no test's loop matters to it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="contactsync-kafka-"))
        self._loop = asyncio.new_event_loop()
        # The broker ends with the thread that started it: this one lasts as long as the session.
        self._thread = threading.Thread(target=self._loop.run_forever, name="tests-kafka", daemon=True)
        self._entered = broker_cluster(self.folder / "cluster")

    def start(self) -> Cluster:
        self._thread.start()
        entering = asyncio.run_coroutine_threadsafe(self._entered.__aenter__(), self._loop)
        return entering.result(timeout=_START_SECONDS)

    def stop(self) -> None:
        leaving = asyncio.run_coroutine_threadsafe(self._entered.__aexit__(None, None, None), self._loop)
        leaving.result(timeout=60)
        self.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def required() -> bool:
    """Whether a test without Kafka is a failure: nobody reads what a machine's run skipped."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def fetched() -> None:
    """See that this machine can run a broker, which may fetch it. Raises `KafkaMissingError`."""

    async def look() -> None:
        await java()
        await jars()

    # On a thread: an asynchronous test's loop may be running on this one.
    seen: list[KafkaMissingError] = []

    def run() -> None:
        try:
            asyncio.run(look())
        except KafkaMissingError as error:
            seen.append(error)

    thread = threading.Thread(target=run, name="tests-kafka-fetch")
    thread.start()
    thread.join()
    if seen:
        raise seen[0]


def told(reason: str) -> str:
    """The line for whoever ran tests without Kafka."""
    return (
        f"{LOUD}: {reason} The tests start a broker themselves with Java 17 and Maven on the "
        f"PATH, or use the one whose address is in {ADDRESS} (host:port)."
    )
