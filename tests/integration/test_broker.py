"""The broker that demo and tests start themselves: it keeps what it acknowledged, and ends when it should."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from services.demo.kafka import VERSION, Cluster, KafkaMissingError, jars, one_broker
from services.demo.kafka.java import java
from tests.kafka import Kafka

ROOT = Path(__file__).parents[2]
Eventually = Callable[..., Awaitable[None]]


@contextlib.asynccontextmanager
async def producer(bootstrap: str, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """One that counts a record as written when every copy in step has it."""
    made = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **settings)
    await made.start()
    try:
        async with asyncio.timeout(40):
            yield made
    finally:
        # Bounded, for it first waits for what no broker takes.
        stopping = asyncio.create_task(made.stop())
        await asyncio.wait({stopping}, timeout=10)
        stopping.cancel()


async def create(bootstrap: str, topic: str, copies: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        settings = {"min.insync.replicas": str(max(1, copies - 1))}
        answer = await admin.create_topics([NewTopic(topic, 1, copies, topic_configs=settings)])
        assert [error for _, error, *_ in answer.topic_errors] == [0]
    finally:
        await admin.close()


async def drop(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await admin.delete_topics([topic])
    finally:
        await admin.close()


async def values(bootstrap: str, topic: str, count: int, group: str | None = None) -> list[bytes | None]:
    """Read the first `count` records of a topic, as a member of `group` if it is named."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


async def test_the_shared_broker_takes_a_record_and_gives_it_to_a_group(kafka: Kafka) -> None:
    topic = f"broker-{os.getpid()}"
    await create(kafka.bootstrap, topic, 1)
    async with producer(kafka.bootstrap) as to:
        await to.send_and_wait(topic, b"one")
    assert await values(kafka.bootstrap, topic, 1, group=f"{topic}-readers") == [b"one"]
    await drop(kafka.bootstrap, topic)


async def test_what_a_broker_acknowledged_outlives_its_kill_and_a_pause_only_delays_it(kafka_broker: Cluster) -> None:
    [node] = kafka_broker.nodes
    bootstrap = kafka_broker.bootstrap
    await create(bootstrap, "kept", 1)
    async with producer(bootstrap) as to:
        await to.send_and_wait("kept", b"before")
        await node.kill()
        assert not node.running
        await node.start()
        await to.send_and_wait("kept", b"after")
        node.pause()
        sending = await to.send("kept", b"late")
        done, _ = await asyncio.wait({sending}, timeout=0.3)
        assert not done
        node.resume()
        await sending
    assert kafka_broker.bootstrap == bootstrap
    assert await values(bootstrap, "kept", 3) == [b"before", b"after", b"late"]
    node.pause()
    await node.kill()
    assert await node.ended() == -signal.SIGKILL


async def test_three_brokers_go_on_without_one_and_refuse_without_two(kafka_cluster: Cluster) -> None:
    first, second, third = kafka_cluster.nodes
    await create(kafka_cluster.bootstrap, "copied", 3)
    async with producer(kafka_cluster.bootstrap, enable_idempotence=True) as to:
        await to.send_and_wait("copied", b"three")
        await first.kill()
        await to.send_and_wait("copied", b"two")
    # An idempotent producer of aiokafka's would try for ever: only others give up on a batch after this time.
    async with producer(kafka_cluster.bootstrap, request_timeout_ms=3000) as to:
        await to.send_and_wait("copied", b"two again")
        await second.kill()
        with pytest.raises(KafkaError):
            await to.send_and_wait("copied", b"one")
    await asyncio.gather(*(node.start(wait=False) for node in (first, second)))
    assert await kafka_cluster.ready()
    assert await values(kafka_cluster.bootstrap, "copied", 3) == [b"three", b"two", b"two again"]
    assert third.running


async def test_one_broker_keeps_its_data_between_runs(kafka_here: None, tmp_path: Path) -> None:
    async with one_broker(tmp_path) as address:
        await create(address, "story", 1)
        async with producer(address) as to:
            await to.send_and_wait("story", b"first run")
    async with one_broker(tmp_path) as address:
        assert await values(address, "story", 1) == [b"first run"]


CHILD = """
import asyncio, sys
from pathlib import Path
from services.demo.kafka import broker_cluster

async def main():
    async with broker_cluster(Path(sys.argv[1])) as cluster:
        print(cluster.nodes[0].pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="whether a process is there is read from /proc")
async def test_a_broker_ends_with_its_parent_however_that_ends(
    kafka_here: None, tmp_path: Path, eventually: Eventually
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "kafka")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    try:
        broker = int(await asyncio.to_thread(parent.stdout.readline))
        assert alive(broker)
    finally:
        parent.kill()
        parent.communicate()

    async def gone() -> bool:
        return not alive(broker)

    await eventually(gone)


def alive(process: int) -> bool:
    """Whether it runs; a zombie has ended, though nobody has asked how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


async def test_a_failed_fetch_says_why_without_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "[ERROR] Failed to execute goal on project broker: Could not transfer artifact "
        "org.apache.kafka:kafka_2.13:jar:1 from/to mirror (https://jars.example.com/all): jars.example.com: "
        "Name or service not known -> [Help 1]"
    )
    program(tmp_path / "bin", "mvn", f"echo '{words}'; echo '[ERROR] To see more, use -e'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.delenv("MAVEN_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(KafkaMissingError) as raised:
        await jars()
    sentence = str(raised.value)
    assert sentence.startswith(f"Maven couldn't fetch Kafka {VERSION} (Failed to execute goal on project broker: ")
    assert "org.apache.kafka:kafka_2.13:jar:1" in sentence
    assert "Name or service not known)" in sentence
    assert "example" not in sentence
    assert "\n" not in sentence
    assert not (tmp_path / "cache" / "contactsync" / f"kafka-{VERSION}").exists()


async def test_jars_that_are_not_the_tested_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "mvn", f"mkdir libs && echo other > libs/kafka_2.13-{VERSION}.jar")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.delenv("MAVEN_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(KafkaMissingError, match="isn't what was tested"):
        await jars()


async def test_two_who_want_the_jars_at_once_fetch_once_and_a_missing_jar_is_noticed(
    kafka_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await jars()
    # A Maven that gives what the real one gave, and counts.
    program(tmp_path / "bin", "mvn", f'echo x >>"{tmp_path}/calls"; mkdir libs && cp "{kept}"/*.jar libs/')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.delenv("MAVEN_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, same = await asyncio.gather(jars(), jars())
    assert folder == same
    assert (tmp_path / "calls").read_text().split() == ["x"]
    (folder / f"kafka_2.13-{VERSION}.jar").unlink()
    assert await jars() == folder
    assert (tmp_path / "calls").read_text().split() == ["x", "x"]
    assert {path.name for path in folder.glob("*.jar")} == {path.name for path in kept.glob("*.jar")}


async def test_an_old_java_is_passed_over_and_named_if_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").mkdir()
    program(tmp_path / "old" / "bin", "java", OLD_JAVA)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissingError, match="here is only Java 11: install one"):
        await java()
    program(tmp_path, "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    assert await java() == str(tmp_path / "java")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(KafkaMissingError, match="none is on the PATH or in JAVA_HOME"):
        await java()


OLD_JAVA = "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2"
