"""Brokers on this machine: one that keeps its data, or a cluster that goes when its test goes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from services.demo.child import DemoError
from services.demo.kafka.jars import jars
from services.demo.kafka.java import java
from services.demo.kafka.node import Node

_TRIES = 3
# Below the ports that systems give to outgoing connections: a broker that is down for a moment keeps its own.
_PORTS = range(16_384, 32_768)


class Cluster:
    """Brokers that know each other, each of them a controller as well."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def bootstrap(self) -> str:
        """Every broker's address, as clients take them."""
        return ",".join(node.bootstrap for node in self.nodes)

    async def ready(self) -> bool:
        """Wait until every broker knows every other; False if one ended or that took too long."""
        numbers = {node.number for node in self.nodes}
        return all(await asyncio.gather(*(node.ready(numbers) for node in self.nodes)))


@contextlib.asynccontextmanager
async def broker_cluster(
    folder: Path, nodes: int = 1, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Run a fresh cluster of 1 or 3 brokers on free ports, with `settings` beside ours; `folder` goes in the end.

    Raises `KafkaMissingError` if this machine can't run one, and `DemoError` if it doesn't start.
    """
    try:
        async with _running(folder, nodes, settings or {}, gently=False) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def one_broker(folder: Path, port: int = 0) -> AsyncIterator[str]:
    """Run a broker with its data in `folder`, which it keeps, on `port` if that is free; gives its address.

    Raises as `broker_cluster`. One process at a time may do so on a folder.
    """
    async with _running(folder, 1, {}, gently=True, port=port) as cluster:
        yield cluster.bootstrap


@contextlib.asynccontextmanager
async def _running(
    folder: Path, count: int, settings: Mapping[str, str], *, gently: bool, port: int = 0
) -> AsyncIterator[Cluster]:
    program, libs = await java(), await jars()
    name = _name(folder)
    nodes = [Node(number, folder / f"broker-{number}", program, libs) for number in range(1, count + 1)]
    try:
        for attempt in range(_TRIES):
            ports = _free_ports(2 * count, 0 if attempt else port)
            written = [_settings(number, ports, settings) for number in range(1, count + 1)]
            await _all(*(node.prepare(name, ports[at], written[at]) for at, node in enumerate(nodes)))
            await _all(*(node.start(wait=False) for node in nodes))
            cluster = Cluster(nodes)
            if await cluster.ready():
                yield cluster
                return
            taken = any("Address already in use" in node.log.read_text("utf-8", "replace") for node in nodes)
            await asyncio.gather(*(node.kill() for node in nodes))
            if not taken:
                break
        raise DemoError(f"Kafka doesn't start: its last words are in {nodes[0].log}.")
    finally:
        await asyncio.gather(*(node.stop() if gently else node.kill() for node in nodes))


async def _all(*parts: object) -> None:
    """Run all of them to their end, then raise what the first of them raised: none goes on behind our back."""
    results = await asyncio.gather(*parts, return_exceptions=True)  # type: ignore[call-overload]
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _name(folder: Path) -> str:
    """The cluster's id, which its data folders are made for: a UUID as Kafka writes them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / "cluster"
    with contextlib.suppress(FileNotFoundError):
        if name := kept.read_text("ascii"):
            return name
    # Kafka refuses ids that begin with a dash: its own never do, for they would look like options.
    name = "c" + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")[1:]
    half = kept.with_suffix(".new")
    half.write_text(name, "ascii")
    half.replace(kept)
    return name


def _free_ports(count: int, preferred: int) -> list[int]:
    """Ports of this machine that nobody listens on; somebody may take one before its broker does."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = preferred or _PORTS[secrets.randbelow(len(_PORTS))]
            preferred = 0
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports


def _settings(number: int, ports: list[int], settings: Mapping[str, str]) -> dict[str, str]:
    """What a broker is told. `ports` are every broker's, then every controller's."""
    count = len(ports) // 2
    port, control = ports[number - 1], ports[count + number - 1]
    copies, least = str(count), str(max(1, count - 1))
    return {
        "process.roles": "broker,controller",
        "node.id": str(number),
        "controller.quorum.voters": ",".join(f"{at + 1}@127.0.0.1:{ports[count + at]}" for at in range(count)),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": "data",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "share.coordinator.state.topic.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": least,
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
        # By itself 128 MB, half of what we give to the whole broker.
        "log.cleaner.dedupe.buffer.size": "2097152",
        # A test that kills a broker waits so long until the others take over. One alone has nobody to take over, and
        # on a busy machine it would be shut out for a heartbeat that came late.
        **({"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500"} if count > 1 else {}),
        **settings,
    }
