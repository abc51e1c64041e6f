"""Endpoints that take deliveries: ingest as it is run, and what it is measured beside; each with its own sender."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import msgspec

from services.connectors.served import serve
from services.connectors.stripe.sandbox import StripeSandbox
from services.runtime.log import EVENTS
from services.runtime.log.open import ManagedLog
from tests.bench.deliveries import SECRET
from tests.bench.place import BrokenError
from tests.bench.posting import Posted, Round
from tests.bench.rounds import cpu_of
from tests.bench.row import Run
from tests.end_to_end.processes import Processes, until
from tests.end_to_end.processes_house import _free_ports
from tests.faults.crowd import share

CONNECTIONS, MANY_CONNECTIONS = 32, 256
_ACCOUNT = "shop"
_PATH = f"/hooks/{_ACCOUNT}"
_SECONDS = 60.0
_MILLI = 1_000


class Endpoint:
    """A process that takes deliveries, and one that sends them to it."""

    def __init__(self, pid: int, sender: asyncio.subprocess.Process) -> None:
        self._pid = pid
        self._sender = sender
        self.taken = 0
        """Deliveries that were answered with 200."""

    async def post(self, wanted: Round) -> tuple[Posted, float]:
        """Send a round; return what came of it, and the endpoint's seconds of processor time for each delivery."""
        assert self._sender.stdin is not None
        assert self._sender.stdout is not None
        used = cpu_of(self._pid)
        self._sender.stdin.write(msgspec.json.encode(wanted) + b"\n")
        try:
            async with asyncio.timeout(_SECONDS):
                posted = msgspec.json.decode(await self._sender.stdout.readline(), type=Posted)
        except (TimeoutError, msgspec.DecodeError):
            raise BrokenError("a round of deliveries didn't come to its end") from None
        self.taken += posted.answers.get(200, 0)
        return posted, (cpu_of(self._pid) - used) / len(posted.waits)

    async def most(self, count: int) -> Run:
        """Send with all connections busy; the figure is deliveries a second."""
        posted, cpu = await self._whole(Round(connections=CONNECTIONS, count=count))
        return Run(count / posted.seconds, cpu)

    async def steady(self, rate: float, seconds: float) -> Run:
        """Send at a rate; the figure is the p99 in milliseconds from when a delivery was due to its answer."""
        posted, cpu = await self._whole(Round(connections=MANY_CONNECTIONS, stretches=((rate, seconds),)))
        return Run(_MILLI * share(posted.waits, 0.99), cpu)

    async def _whole(self, wanted: Round) -> tuple[Posted, float]:
        posted, cpu = await self.post(wanted)
        if posted.answers != {200: len(posted.waits)}:
            raise BrokenError(f"not every delivery was answered with 200: {posted.answers}")
        return posted, cpu


@contextlib.asynccontextmanager
async def ingest(folder: Path, dsn: str, log_url: str, log: ManagedLog) -> AsyncIterator[Endpoint]:
    """The role as a process, for two Stripe accounts that are empty."""
    (port,) = _free_ports(1)
    async with contextlib.AsyncExitStack() as stack:
        lines = ["accounts:"]
        for name in (_ACCOUNT, "other"):
            sandbox = await stack.enter_async_context(StripeSandbox(f"sk_test_{name}", SECRET, rng=Random(name)))
            url = await stack.enter_async_context(serve(sandbox))
            keys = f"api_key: {sandbox.api_key}, webhook_secrets: [{SECRET}], poll_seconds: 3600"
            lines.append(f'  {name}: {{app: stripe, api_base: "{url}", {keys}}}')
        processes = await stack.enter_async_context(
            Processes(folder, dsn, log_url, CONTACTSYNC_LISTEN=f"127.0.0.1:{port}")
        )
        file = folder / "connections.yaml"
        file.write_text("\n".join([*lines, "connections:", f"  pair: {{left: {_ACCOUNT}, right: other}}", ""]))
        await processes.command("migrate")
        await processes.command("apply", str(file))
        process = processes.role("ingest", "ingest")
        await process.start()

        async def scanned() -> bool:
            assert process.running, process.words()
            return all(end > 1 for _, end in (await log.bounds(EVENTS)).values())

        await until(scanned, _SECONDS, "the accounts are scanned")
        assert process._process is not None
        yield Endpoint(process._process.pid, await stack.enter_async_context(_sender(port)))


@contextlib.asynccontextmanager
async def other(*command: str, more: tuple[str, ...] = ()) -> AsyncIterator[Endpoint]:
    """Another endpoint: a command that is given its port, and then `more`."""
    (port,) = _free_ports(1)
    process = await asyncio.create_subprocess_exec(*command, str(port), *more)

    def listens() -> bool:
        if process.returncode is not None:
            raise BrokenError(f"{command[-1]} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        await until(listens, _SECONDS, f"{command[-1]} listens")
        async with _sender(port) as sender:
            yield Endpoint(process.pid, sender)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _sender(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.posting", str(port), _PATH),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16_000_000,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
