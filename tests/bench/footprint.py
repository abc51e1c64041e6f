"""B10: what a `run` with nothing to do takes, and how soon it is ready, beside Python with the same libraries."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import statistics
import sys
import time
from pathlib import Path

import httpx2

from tests.bench.place import Bench, BrokenError
from tests.bench.rounds import Watch, resident
from tests.bench.row import Measured, Row, Run, Target
from tests.end_to_end.processes import ROOT, SECRET_KEY, Process

IMAGE = "contactsync:0.1.0"
_READY_SECONDS = 60
_STEP = 0.01
_LIBRARIES = """
import sys, json
import services.main, services.cli
from services.connectors import discover
discover()
ours = {"services", "__main__", "__mp_main__"}
print(json.dumps([name for name in sys.modules if name.partition(".")[0] not in ours]))
"""
_BARE = """
import contextlib, importlib, json, sys
for name in json.load(open(sys.argv[1])):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
print("ready", flush=True)
sys.stdin.read()
"""


async def rows(bench: Bench) -> list[Row]:
    """Memory, start-up, and the image's size if there is one."""
    libraries = bench.folder / "libraries"
    libraries.write_bytes(await _output(sys.executable, "-c", _LIBRARIES))
    seconds = 0.5 if bench.quick else 5.0
    fresh, again, memory, bare_memory, bare_start, rest = [], [], [], [], [], []
    data = bench.folder / "data"
    for number in range(1 if bench.quick else bench.runs):
        shutil.rmtree(data, ignore_errors=True)
        took, _, _ = await _run(bench.folder, data, f"fresh-{number}", 0)
        fresh.append(Run(took))
        took, size, used = await _run(bench.folder, data, f"again-{number}", seconds)
        again.append(Run(took))
        memory.append(Run(size / 1e6))
        rest.append(used)
        took, size = await _bare(libraries)
        bare_start.append(Run(took))
        bare_memory.append(Run(size / 1e6))
    bare = f"Python with the same {len(json.loads(libraries.read_bytes())):,} modules imported"
    starts = Measured(name=bare, runs=tuple(bare_start))
    return [
        Row(
            id="B10",
            workload="idle `run`, all roles in one process, without its PostgreSQL",
            unit="MB resident",
            ours=Measured(name="contactsync", runs=tuple(memory)),
            limit=Measured(name=bare, runs=tuple(bare_memory)),
            target=Target(most=1.5),
            notes=(f"at rest it uses {statistics.median(rest):.1%} of a core",),
        ),
        *(
            Row(
                id="B10",
                workload=f"`run` until /readyz answers 200, bundled PostgreSQL, {what}",
                unit="s",
                ours=Measured(name="contactsync", runs=tuple(took)),
                limit=starts,
                target=Target(of="value", most=3.0, unit="s"),
            )
            for what, took in (("first start, its data made", fresh), ("started again", again))
        ),
        await _image(),
    ]


async def _run(folder: Path, data: Path, name: str, seconds: float) -> tuple[float, float, float]:
    """Start it, and end it again: seconds until it was ready, bytes resident, share of a core at rest."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CONTACTSYNC_")}
    environment = {
        **kept,
        "CONTACTSYNC_DATA_DIR": str(data),
        "CONTACTSYNC_LISTEN": f"127.0.0.1:{port}",
        "CONTACTSYNC_SECRET_KEY": SECRET_KEY,
    }
    process = Process(name, ["run"], environment, folder / f"{name}.log")
    began = time.perf_counter()
    await process.start()
    try:
        await _ready(process, f"http://127.0.0.1:{port}/readyz")
        took = time.perf_counter() - began
        assert process._process is not None
        pid = process._process.pid
        await asyncio.sleep(min(seconds, 1.0))  # what is measured is that nothing happens
        with Watch(pid) as watch:
            await asyncio.sleep(seconds)
        size = resident(pid)
    finally:
        if process.running:
            await process.stop()
    return took, size, watch.cpu / watch.seconds


async def _ready(process: Process, url: str) -> None:
    deadline = time.perf_counter() + _READY_SECONDS
    async with httpx2.AsyncClient() as client:
        while time.perf_counter() < deadline:
            if not process.running:
                raise BrokenError(f"`run` ended: {process.words()[-300:]}")
            try:
                if (await client.get(url)).status_code == httpx2.codes.OK:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(_STEP)
    raise BrokenError(f"`run` wasn't ready within {_READY_SECONDS} s")


async def _bare(libraries: Path) -> tuple[float, float]:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BARE, str(libraries)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise BrokenError("the libraries couldn't be imported")
    took, size = time.perf_counter() - began, resident(process.pid)
    await process.communicate(b"")
    return took, size


async def _image() -> Row:
    missing, runs = "", tuple[Run, ...]()
    if shutil.which("docker") is None:
        missing = "there is no docker here"
    else:
        said = await _output("docker", "image", "inspect", "--format", "{{.Size}}", IMAGE, fail=False)
        if said.strip().isdigit():
            runs = (Run(int(said) / 1e6),)
        else:
            missing = f"there is no image {IMAGE} here: make image"
    return Row(
        id="B10",
        workload="the image",
        unit="MB",
        ours=Measured(name="contactsync", runs=runs, missing=missing),
        notes=(missing,) if missing else (),
    )


async def _output(*command: str, fail: bool = True) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=ROOT
    )
    said, _ = await process.communicate()
    if process.returncode and fail:
        raise BrokenError(f"{command[0]} ended with {process.returncode}")
    return said
