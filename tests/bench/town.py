"""Where journeys are made: an installation as processes, pairs of Stripe accounts, and people who edit in them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from services.connectors.served import serve
from services.connectors.stripe.sandbox import Rate, StripeSandbox
from services.runtime.store import Store
from tests.bench.hops import due
from tests.bench.place import BrokenError
from tests.end_to_end.processes import Processes
from tests.end_to_end.processes_house import _free_ports
from tests.faults.accounts import Shop
from tests.faults.crowd import Crowd

_SCAN_SECONDS = 240.0
_CALM_SECONDS = 300.0
_FEED_SECONDS = 60
_NOTE_SECONDS = 0.02
_POLL_SECONDS = 0.05
_WORDS = 500
_SCANNED = "SELECT count(*) = $1 FROM sync.account WHERE scanned_at IS NOT NULL"
_SETTLED = """
SELECT NOT EXISTS (SELECT FROM sync.outbox) AND NOT EXISTS (SELECT FROM sync.wake)
   AND NOT EXISTS (SELECT FROM sync.link WHERE unsettled > 0 OR reconsider_at IS NOT NULL)
   AND NOT EXISTS (SELECT FROM connectors.ledger WHERE state <> 'settled')
   AND (SELECT count(*) FROM sync.link WHERE status = 'active') = $1
"""
_TICKS = os.sysconf("SC_CLK_TCK")
_SERVERS = {"java": "broker", "postgres": "PostgreSQL"}
_ACCOUNTS = "accounts"
"""What processor time this process's is counted as: it is the apps, and the people at work in them."""


@dataclass
class Stretch:
    """What came of people working at a steady rate for a while."""

    rate: float
    seconds: float
    waits: list[float] = field(default_factory=list)
    """Sorted: seconds from when an edit was due until the other account was asked to write it."""
    coalesced: int = 0
    """Edits whose contact was edited again before they were written."""
    open: list[int] = field(default_factory=list)
    """How many edits were on their way, looked at every few milliseconds."""
    used: dict[str, float] = field(default_factory=dict)
    """Processors used until all was written, by whom."""
    took: float = 0.0
    """Seconds until all was written."""

    @property
    def changes(self) -> int:
        """How many edits were made."""
        return round(self.rate * self.seconds)

    @property
    def held(self) -> bool:
        """Whether edits on their way became no more: in the last third as few as in the one before, about."""
        third = max(1, len(self.open) // 3)
        before, last = (sum(those) / len(those) for those in (self.open[-2 * third : -third], self.open[-third:]))
        # A tenth of a second's edits are chance; those of a whole second on their way are a queue.
        return last <= max(1.25 * before, before + 0.1 * self.rate) and last <= self.rate

    @property
    def ours(self) -> float:
        """Seconds of processor time of the installation's processes, for each change."""
        others = {_ACCOUNTS, *_SERVERS.values()}
        return sum(used for name, used in self.used.items() if name not in others) * self.took / self.changes

    def shares(self) -> str:
        """Who used how much of a processor, and how many there are."""
        told = ", ".join(f"{name} {used:.2f}" for name, used in sorted(self.used.items()))
        return f"{told}; {sum(self.used.values()):.2f} of {os.cpu_count()} processors"


class Town:
    """Everything at work, both sides of every pair equal."""

    def __init__(self, crowd: Crowd, processes: Processes) -> None:
        self.crowd = crowd
        self._processes = processes

    async def work(self, rate: float, seconds: float) -> Stretch:
        """Let people edit `rate` contacts a second, whatever becomes of it, and wait until all of it is written."""
        crowd, loop = self.crowd, asyncio.get_running_loop()
        crowd.waits.clear()
        before = crowd.coalesced
        made = Stretch(rate, seconds)
        noting = asyncio.create_task(self._note(made))
        began, used = loop.time(), self._used()
        try:
            async for moment in due(rate, seconds):
                crowd._edit(moment)
        finally:
            noting.cancel()
        await self.calm()
        made.took = loop.time() - began
        made.used = {name: (each - used.get(name, 0.0)) / made.took for name, each in self._used().items()}
        made.waits = sorted(wait for _, wait in crowd.waits)
        made.coalesced = crowd.coalesced - before
        if not made.waits or len(made.waits) + made.coalesced != made.changes:
            raise BrokenError(f"{made.changes} edits were made, {len(made.waits)} came to the other side")
        crowd.forget()
        return made

    async def calm(self) -> None:
        """Wait until everything is written. Raises `BrokenError`."""
        try:
            async with asyncio.timeout(_CALM_SECONDS):
                while self.crowd.waiting:
                    self.crowd.note()
                    await asyncio.sleep(_NOTE_SECONDS)
        except TimeoutError:
            raise BrokenError(f"{self.crowd.waiting} edits aren't written {_CALM_SECONDS:g} s later") from None

    async def _note(self, made: Stretch) -> None:
        while True:
            self.crowd.note()
            made.open.append(self.crowd.waiting)
            await asyncio.sleep(_NOTE_SECONDS)

    def _used(self) -> Mapping[str, float]:
        """Seconds of processor time so far: of this process, ours, and the servers' (all that the machine has)."""
        ours = {each._process.pid: each.name for each in self._processes if each._process is not None}
        found: defaultdict[str, float] = defaultdict(float)
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                head, _, tail = (folder / "stat").read_text("ascii", "replace").rpartition(")")
                fields = tail.split()
                # Fields 6 and 14 to 17 of proc_pid_stat(5): the session, whose leader each of ours is, and the time,
                # also of children who ended, as PostgreSQL's connections do now and then.
                name = ours.get(int(fields[3])) or _SERVERS.get(head.partition("(")[2])
                if int(folder.name) == os.getpid():
                    name = _ACCOUNTS
                if name is not None:
                    found[name] += sum(map(int, fields[11:15])) / _TICKS
        return found


@contextlib.asynccontextmanager
async def town(
    folder: Path, dsn: str, log_url: str, *, roles: Mapping[str, tuple[str, ...]], pairs: int, people: int
) -> AsyncIterator[Town]:
    """Start all, and wait until everybody is known. `roles`: each process by its name, and the roles it is for."""
    (port,) = _free_ports(1)
    async with contextlib.AsyncExitStack() as stack:
        accounts: list[Shop] = []
        lines = ["accounts:"]
        for name in (f"{side}{at}" for at in range(pairs) for side in "lr"):
            sandbox = await stack.enter_async_context(
                StripeSandbox(f"sk_test_{name}xxxxxxxxxxxxxxxx", f"whsec_{name}", rng=Random(name), rate=Rate())
            )
            url = await stack.enter_async_context(serve(sandbox))
            sandbox.webhooks.endpoints.add(f"http://127.0.0.1:{port}/hooks/{name}", secret=f"whsec_{name}")
            accounts.append(Shop(name, sandbox))
            # A delivery that is refused, or not answered in time, comes again too late: the feed tells of it before.
            keys = f"api_key: {sandbox.api_key}, webhook_secrets: [whsec_{name}], poll_seconds: {_FEED_SECONDS}"
            lines.append(f'  {name}: {{app: stripe, api_base: "{url}", {keys}}}')
        lines.append("connections:")
        lines += [f"  c{at}: {{left: l{at}, right: r{at}, options: {{most_writes: 0}}}}" for at in range(pairs)]
        crowd = Crowd(list(zip(accounts[::2], accounts[1::2], strict=True)), people)
        crowd.settle_in()
        gc.freeze()  # many objects that stay: looking through them is a pause for everybody
        processes = await stack.enter_async_context(
            Processes(folder, dsn, log_url, CONTACTSYNC_LISTEN=f"127.0.0.1:{port}")
        )
        file = folder / "connections.yaml"
        file.write_text("\n".join([*lines, ""]))
        await processes.command("migrate")
        await processes.command("apply", str(file))
        for name, those in roles.items():
            await processes.role(name, *those).start()
        store = await stack.enter_async_context(Store.open(dsn, min_size=1, max_size=2))
        for question, count in ((_SCANNED, 2 * pairs), (_SETTLED, pairs * people)):
            await _until(processes, store, question, count)
        yield Town(crowd, processes)


async def _until(processes: Processes, store: Store, question: str, count: int) -> None:
    """Ask again and again, until it is so. Raises `BrokenError`."""
    deadline = asyncio.get_running_loop().time() + _SCAN_SECONDS
    while not await store.fetchval(question, count):
        if ended := [each.words()[-_WORDS:] for each in processes if not each.running]:
            raise BrokenError(f"a process ended: {ended[0]}")
        if asyncio.get_running_loop().time() > deadline:
            raise BrokenError(f"not so within {_SCAN_SECONDS:g} s: {question}")
        await asyncio.sleep(_POLL_SECONDS)
