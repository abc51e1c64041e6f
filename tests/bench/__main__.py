"""Speed beside its limits and its peers: `python -m tests.bench [B1 …] [--quick] [--runs N] [--page FILE]`.

Each part runs in a process of its own, one after the other; those that need a PostgreSQL or a Kafka share one. One
table comes out, and JSON beside it. The status is 0 however fast it is, and 1 if a measurement is broken. It needs
Linux, whose /proc says what processes use.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec

from services.demo.child import DemoError
from services.demo.kafka import KafkaMissingError, broker_cluster
from services.runtime.store.embedded import EmbeddedPostgres
from services.runtime.store.migrate import migrate
from tests.bench import part as part_process
from tests.bench import peers
from tests.bench.place import TEMPLATE, Bench, address_of, sweep
from tests.bench.row import FEWEST, Row
from tests.bench.table import Report, in_order, joined, text, write
from tests.faults.soaked import machine

ROOT = Path(__file__).parents[2]
_PAGE = Path(".contactsync") / "bench" / "bench.md"
_QUICK_SECONDS = 180
"""After which a part is broken in a quick run: a busy machine may take long for what takes seconds."""
_TASTE = "a quick run measures the embedded log alone: a broker, its peers and many processes take their time to start"
_WORDS = 1000
"""Characters of a broken part's last words that are shown."""


@dataclass(frozen=True)
class Part:
    """A module with `async def rows(bench: Bench) -> list[Row]`, and what it needs."""

    id: str
    module: str
    postgres: bool = False
    kafka: bool = False
    peers: bool = False
    minutes: float = 10
    """After which it is broken."""


PARTS = (
    # First what works alone: an idle broker is a neighbour, too.
    Part("B1", "tests.bench.reading"),
    Part("B4", "tests.bench.deciding"),
    Part("B6", "tests.bench.history", minutes=30),
    Part("B8", "tests.bench.calls", postgres=True),
    Part("B10", "tests.bench.footprint"),
    Part("B2", "tests.bench.accepted", postgres=True, kafka=True, peers=True),
    Part("B5", "tests.bench.journeys", postgres=True, kafka=True, minutes=40),
    Part("B3", "tests.bench.folding", postgres=True, kafka=True, peers=True, minutes=20),
    Part("B7", "tests.bench.first_sync", postgres=True, minutes=30),
    Part("B9", "tests.bench.growth", postgres=True, minutes=60),
)


class Servers:
    """What parts share, each started when the first part asks for it."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self._folder = folder
        self._stack = contextlib.AsyncExitStack()
        self._found = {"kafka_missing": _TASTE, "peers_missing": _TASTE} if quick else dict[str, str]()

    async def given(self, part: Part) -> dict[str, str]:
        """Start what the part needs, and return it as fields of `Bench`."""
        given: dict[str, str] = {}
        if part.postgres:
            given["postgres"] = self._found.get("postgres") or await self._postgres()
        if part.kafka:
            if not self._found.keys() & {"kafka", "kafka_missing"}:
                await self._kafka()
            given |= {name: self._found.get(name, "") for name in ("kafka", "kafka_missing")}
        if part.peers:
            if not self._found.keys() & {"peers", "peers_missing"}:
                await self._peers()
            given |= {name: self._found.get(name, "") for name in ("peers", "peers_missing")}
        return given

    async def swept(self) -> None:
        """Delete what a part left in Kafka: the next one's database knows nothing of it."""
        if bootstrap := self._found.get("kafka"):
            await sweep(bootstrap)

    async def close(self) -> None:
        """Stop all of them."""
        await self._stack.aclose()

    async def _postgres(self) -> str:
        server = await self._stack.enter_async_context(EmbeddedPostgres(self._folder / "postgres"))
        dsn = address_of(server.dsn, "postgres")
        admin = await asyncpg.connect(dsn)
        await admin.execute(f"CREATE DATABASE {TEMPLATE}")
        await admin.close()
        template = await asyncpg.connect(address_of(dsn, TEMPLATE))
        await migrate(template)
        await template.close()
        self._found["postgres"] = dsn
        return dsn

    async def _kafka(self) -> None:
        try:
            cluster = await self._stack.enter_async_context(broker_cluster(self._folder / "kafka"))
        except (KafkaMissingError, DemoError) as error:
            self._found["kafka_missing"] = str(error)
        else:
            self._found["kafka"] = cluster.bootstrap

    async def _peers(self) -> None:
        try:
            self._found["peers"] = str(await asyncio.to_thread(peers.python))
        except peers.PeersMissingError as error:
            self._found["peers_missing"] = str(error)


class PartError(Exception):
    """A part ended badly; the text is its last words."""


async def measured(part: Part, bench: Bench) -> list[Row]:
    """Run a part in a process of its own. Raises `PartError`."""
    context, result, words = (bench.folder / name for name in ("context", "result", "words"))
    context.write_bytes(msgspec.json.encode(bench, enc_hook=str))
    start = _forked if bench.quick else _executed
    if status := await start(part, context, result, words):
        raise PartError(words.read_text("utf-8", "replace")[-_WORDS:].strip() or f"status {status}")
    return msgspec.json.decode(result.read_bytes(), type=list[Row])


async def _executed(part: Part, context: Path, result: Path, words: Path) -> int:
    with words.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.part", part.module, str(context), str(result)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(part.minutes * 60):
                return await process.wait()
        except TimeoutError:
            raise PartError("it took too long") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _forked(part: Part, context: Path, result: Path, words: Path) -> int:
    """Without its imports, which would take a quarter of a taste's minute: they are there before the fork."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([each.module for each in PARTS])
    process = forking.Process(target=part_process.forked, args=(part.module, context, result, words))
    process.start()
    assert process.pid is not None
    try:
        await asyncio.to_thread(process.join, _QUICK_SECONDS)
        if process.exitcode is None:
            raise PartError("it took too long")
        return process.exitcode
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def run(parts: list[Part], runs: int, command: str, *, quick: bool) -> Report:
    """Measure the parts, one after the other."""
    began, start = f"{datetime.now(UTC):%Y-%m-%d %H:%M}", time.perf_counter()
    rows: list[Row] = []
    broken: list[tuple[str, str]] = []
    async with _folder() as folder, contextlib.AsyncExitStack() as stack:
        servers = Servers(folder, quick=quick)
        stack.push_async_callback(servers.close)
        for part in parts:
            given = await servers.given(part)
            own = folder / part.id
            own.mkdir(mode=0o755)
            bench = Bench(quick=quick, runs=runs, folder=own, **given)
            began_part = time.perf_counter()
            try:
                rows += await measured(part, bench)
            except PartError as error:
                broken.append((part.id, str(error)))
            await servers.swept()
            _tell(f"{part.id}: {time.perf_counter() - began_part:.1f} s")
    return Report(
        machine=machine(),
        command=command,
        began=began,
        seconds=time.perf_counter() - start,
        rows=in_order(rows),
        broken=tuple(broken),
    )


@contextlib.asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="contactsync-bench-", ignore_cleanup_errors=True) as name:
        # Every user may pass: the database's server may run as another one.
        Path(name).chmod(0o755)
        yield Path(name)


def main() -> int:
    """Measure; 0 unless a measurement is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help="B1 … B10; all of them without a name")
    parser.add_argument("--quick", action="store_true", help="all of it within a minute: a taste, with fewer events")
    parser.add_argument("--runs", type=int, default=FEWEST, help=f"runs of each row ({FEWEST})")
    parser.add_argument("--page", type=Path, default=_PAGE, help=f"where the table goes, JSON beside it ({_PAGE})")
    parser.add_argument("--keep", action="store_true", help="keep what the page has of other parts, with its time")
    chosen = parser.parse_args()
    known = {part.id: part for part in PARTS}
    if unknown := [name for name in chosen.parts if name not in known]:
        parser.error(f"there is no {unknown[0]}: {', '.join(known)}")
    parts = [part for part in PARTS if part.id in (chosen.parts or known)]
    command = f"make bench{' QUICK=1' if chosen.quick else ''}"
    command += f' ARGS="{" ".join(chosen.parts)}"' if chosen.parts else ""
    report = asyncio.run(run(parts, chosen.runs, command, quick=chosen.quick))
    write(joined(report, chosen.page) if chosen.keep else report, chosen.page)
    print(text(report))  # noqa: T201 - a command's words
    _tell(f"{report.seconds:.0f} s; all of it is in {chosen.page}")
    return 1 if report.broken else 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's words


if __name__ == "__main__":
    sys.exit(main())
