"""What contacts and changes cost, for the sizing table of docs/kubernetes: `python -m tests.bench.sizing`.

Roles are processes on a real Kafka and PostgreSQL, between two Stripe sandboxes. Printed are costs and ratios: seconds
of processor time of each role per change (less what it uses at rest), memory per process, and growth of the database
per contact and per change. How many changes pass in a second is no measure here: an account's pace bounds that.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from services.demo.kafka import broker_cluster
from services.runtime.log import EVENTS
from tests.conftest import Postgres
from tests.end_to_end.processes import Process
from tests.end_to_end.processes_house import House
from tests.end_to_end.test_p0_p12_kafka import running
from tests.faults.growth import held

REST_SECONDS = 10.0
"""For which a role's use at rest is measured."""
_TICKS = os.sysconf("SC_CLK_TCK")
# Of our own schemas, days' tables together; with indexes and long values.
_SIZES = """
SELECT n.nspname || '.' || regexp_replace(c.relname, '_[0-9_]+$', '') AS name,
       sum(pg_total_relation_size(c.oid))::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname IN ('registry', 'ingest', 'sync', 'connectors') GROUP BY 1
"""
_KEPT = ("sync.contact", "sync.contact_address", "sync.address", "sync.link", "sync.reservation", "connectors.ledger")
"""Tables with rows per contact, for good. The others grow with changes, and are cut by the day."""


@dataclass(frozen=True)
class Look:
    """The installation at one moment."""

    cpu: dict[str, float]
    """Seconds of processor time per process, so far."""
    sizes: dict[str, int]
    """Bytes per table."""
    messages: int
    """Events in the log so far."""

    def less(self, other: Look) -> Look:
        return Look(
            {name: self.cpu[name] - other.cpu[name] for name in self.cpu},
            {name: self.sizes[name] - other.sizes.get(name, 0) for name in self.sizes},
            self.messages - other.messages,
        )


def used(pid: int) -> float:
    """Seconds of processor time that a process has used, user and system.

    Fields 14 and 15 of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, counted after the name in brackets.
    """
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pid(process: Process) -> int:
    """The role's process: on Linux its launcher becomes it."""
    assert process._process is not None
    return process._process.pid


async def look(home: House) -> Look:
    await home.store.execute("VACUUM ANALYZE")
    sizes = {row["name"]: int(row["sum"]) for row in await home.store.fetch(_SIZES)}
    bounds = await home.log.bounds(EVENTS)
    cpu = {each.name: used(pid(each)) for each in home.processes}
    return Look(cpu, sizes, sum(end for _, end in bounds.values()))


async def measured(home: House, contacts: int, changes: int) -> str:
    """Let people change contacts; return the table."""
    loop = asyncio.get_running_loop()
    at_rest, begun = await look(home), loop.time()
    await asyncio.sleep(REST_SECONDS)  # what is measured is that nothing happens
    rest, idle_seconds = (await look(home)).less(at_rest), loop.time() - begun
    before, begun = await look(home), loop.time()
    customers = list(home.left.customers)
    for number in range(changes):
        home.left.dashboard.update(customers[number % len(customers)], description=f"change {number}")
        if number % 25 == 24:
            await home.rest(300)
    await home.rest(300)
    seconds = loop.time() - begun
    work = (await look(home)).less(before)
    assert home.alike()
    # Each change comes back as an event of the other account: both are work that it causes.
    lines = [
        f"{contacts} contacts on each side, {changes} changes, {work.messages} events, {seconds:.0f} s",
        "",
        "| role | at rest, of a core | processor time per change | changes per second and core | memory |",
        "|---|---|---|---|---|",
    ]
    for process in home.processes:
        idle = rest.cpu[process.name] / idle_seconds
        each = max(0.0, work.cpu[process.name] - idle * seconds) / changes
        rate = f"{1 / each:.0f}" if each else "-"
        memory = held(pid(process)) or 0.0
        lines.append(f"| {process.name} | {idle:.1%} | {each * 1000:.1f} ms | {rate} | {memory:.0f} MiB |")
    kept = sum(size for name, size in before.sizes.items() if name in _KEPT)
    grown = {name: size for name, size in work.sizes.items() if size > 0 and name not in _KEPT}
    lines += [
        "",
        f"PostgreSQL per pair of contacts: {kept / contacts / 1024:.1f} KiB, for good",
        f"PostgreSQL per change: {sum(grown.values()) / changes / 1024:.1f} KiB, until its day is cut off:",
        *(
            f"  {name}: {size / changes / 1024:.2f} KiB"
            for name, size in sorted(grown.items(), key=lambda each: -each[1])
        ),
    ]
    return "\n".join(lines)


async def main(contacts: int, changes: int) -> str:
    with tempfile.TemporaryDirectory(prefix="contactsync-sizing-") as folder:
        postgres = Postgres(Path(folder) / "postgres")
        postgres.start()
        try:
            postgres.prepare()
            async with (
                broker_cluster(Path(folder) / "kafka") as broker,
                running(Path(folder) / "house", postgres.create(), broker, seed=contacts) as home,
            ):
                return await measured(home, contacts, changes)
        finally:
            postgres.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=500)
    parser.add_argument("--changes", type=int, default=1000)
    given = parser.parse_args()
    print(asyncio.run(main(given.contacts, given.changes)))  # noqa: T201 - the figures are what this is for
