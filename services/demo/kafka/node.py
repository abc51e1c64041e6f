"""One broker of a cluster: a Java process that is started, killed, stopped, paused, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.demo.child import DemoError

READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ASK_MS = 2000
_LAUNCHER = Path(__file__).with_name("launch.py")
# A broker that few people use, and not for long: quick to start, small, and silent unless something is wrong.
_JAVA = (
    "-Xmx256m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.io.tmpdir=tmp",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


class Node:
    """The broker `number`, with everything of its own in `folder`. Start it on a thread that outlives it."""

    def __init__(self, number: int, folder: Path, program: str, jars: Path) -> None:
        self.number = number
        self.port = 0
        self.log = folder / "server.log"
        """What it said, since the folder was made."""
        self._folder = folder
        self._java = [program, *_JAVA, "-cp", f"{jars}/*"]
        self._cluster = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[int] | None = None

    @property
    def bootstrap(self) -> str:
        """The address of this broker."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its process, which leads a group of its own."""
        if self._process is None:
            raise RuntimeError(f"broker {self.number} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has a process, also while that is paused."""
        return self._ended is not None and not self._ended.done()

    async def prepare(self, cluster: str, port: int, settings: Mapping[str, str]) -> None:
        """Write its settings, and make its data folder if it has none. Raises `DemoError`."""
        self._cluster, self.port = cluster, port
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._folder / "tmp").mkdir(exist_ok=True)
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self._folder / "server.properties").write_text("".join(lines), "ascii")
        formatted = self._folder / "formatted"
        if formatted.exists():
            return
        # Nothing was ever written here, or the making of it was cut short before the broker could run.
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        self._launch(["kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties"])
        try:
            async with asyncio.timeout(READY_SECONDS):
                status = await asyncio.shield(self._end())
        except TimeoutError:
            status = -1
        finally:
            await self.kill()
        if status != 0:
            raise DemoError(f"Kafka can't make its data folder: its last words are in {self.log}.")
        formatted.touch()

    async def start(self, *, wait: bool = True) -> None:
        """Start it, on the data and the port that it had; `wait` until it serves. Raises `DemoError` if it doesn't."""
        if self.running:
            raise RuntimeError(f"broker {self.number} already runs")
        self._launch(["kafka.Kafka", "server.properties"])
        if wait and not await self.ready({self.number}):
            raise DemoError(f"Kafka's broker {self.number} doesn't start: its last words are in {self.log}.")

    async def ready(self, numbers: set[int]) -> bool:
        """Wait until it knows these brokers as alive; False if it ended or that took too long."""
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while self.running and asyncio.get_running_loop().time() < deadline:
            if await self._serves(numbers):
                return self.running
            await asyncio.wait({self._end()}, timeout=0.1)
        return False

    async def kill(self) -> None:
        """End it at once (SIGKILL), also when it is paused."""
        self._signal(signal.SIGKILL)
        if self._ended is not None:
            await asyncio.wait({self._ended})

    async def stop(self) -> None:
        """End it in good order (SIGTERM), which takes it a second or two, or at once if that takes too long."""
        self._signal(signal.SIGTERM)
        if self._ended is not None:
            await asyncio.wait({self._ended}, timeout=_STOP_SECONDS)
        await self.kill()

    def pause(self) -> None:
        """Let it stand still (SIGSTOP): its connections stay, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause` (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def ended(self) -> int:
        """Wait until it has ended, and give its exit status."""
        return await asyncio.shield(self._end())

    def _end(self) -> asyncio.Future[int]:
        if self._ended is None:
            raise RuntimeError(f"broker {self.number} was never started")
        return self._ended

    def _signal(self, sign: signal.Signals) -> None:
        # Only while nobody has waited for it: afterwards its number may be somebody else's.
        if self._process is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)

    def _launch(self, arguments: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[int] = loop.create_future()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                # -P: the launcher's folder must not hide anybody's modules.
                [sys.executable, "-P", str(_LAUNCHER), str(os.getpid()), *self._java, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                # Java 17 reads paths in the locale's letters, and nothing else of the environment is its business.
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
                process_group=0,
            )
        self._process, self._ended = process, ended

        def settle(status: int) -> None:
            if not ended.done():
                ended.set_result(status)

        def wait() -> None:
            status = process.wait()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, status)

        threading.Thread(target=wait, name=f"kafka-{self.number}", daemon=True).start()

    async def _serves(self, numbers: set[int]) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False  # the client would log each try as an error
        writer.close()
        client = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=_ASK_MS)
        try:
            async with asyncio.timeout(2 * _ASK_MS / 1000):
                await client.start()
                told = await client.describe_cluster()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await client.close()
        return told["cluster_id"] == self._cluster and numbers <= {broker["node_id"] for broker in told["brokers"]}
