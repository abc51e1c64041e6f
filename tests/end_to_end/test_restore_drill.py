"""The drill of docs/operations/restore.md, with its own commands: PostgreSQL is lost while people work."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import textwrap
from pathlib import Path

import asyncpg

from services.demo.kafka import Cluster
from services.runtime.log import EVENTS
from services.runtime.store.installation import bundled_programs
from tests.conftest import Postgres
from tests.end_to_end.processes import ROOT, SECRET_KEY, until
from tests.end_to_end.processes_house import House
from tests.end_to_end.test_p0_p12_kafka import creates, once_each, running

PAGE = ROOT / "docs" / "operations" / "restore.md"
_CALL = 'contactsync() { "$PYTHON" -m services.cli "$@"; }\n'


def blocks() -> tuple[str, ...]:
    """The page's commands: to copy, to restore, to take over."""
    found = re.findall(r"(?ms)^ *```sh\n(.*?)^ *```$", PAGE.read_text("utf-8"))
    return tuple(textwrap.dedent(each) for each in found)


async def shell(block: str, **environment: str) -> str:
    """Run commands of the page as they stand there; they have to succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
    process = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", _CALL + block),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={**kept, "PATH": f"{bundled_programs()}:{os.environ['PATH']}", "PYTHON": sys.executable, **environment},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, f"{block}\n{said.decode(errors='replace')}"
    return said.decode(errors="replace")


async def work(home: House, number: int) -> None:
    """A person's day: somebody new on each side, and edits of people that are there."""
    home.left.dashboard.create(name=f"Nora {number}", email=f"nora{number}@example.com")
    home.right.dashboard.create(name=f"Omar {number}", email=f"omar{number}@example.com")
    first, second, third = list(home.left.customers)[:3]
    home.left.dashboard.update(first, name=f"First {number}")
    home.left.dashboard.update(second, phone=f"+120255501{number:02}")
    home.right.dashboard.update(next(iter(home.right.customers)), description=f"note {number}")
    home.left.dashboard.update(third, description=f"third {number}")


async def test_p12_a_lost_database_is_restored_by_the_pages_commands_and_the_log_closes_the_gap(
    postgres: Postgres, tmp_path: Path, kafka_broker: Cluster
) -> None:
    make_copy, restore, take_over = blocks()
    dsn = postgres.create()
    log_url = f"kafka://{kafka_broker.bootstrap}"
    settings = {
        "CONTACTSYNC_STORE_URL": dsn,
        "CONTACTSYNC_LOG_URL": log_url,
        "CONTACTSYNC_SECRET_KEY": SECRET_KEY,
        "CONTACTSYNC_DATA_DIR": str(tmp_path / "drill"),
        "COPY": str(tmp_path / "copy.dump"),
        "SERVER": postgres.dsn("postgres"),
        "DATABASE": dsn.partition("?")[0].rpartition("/")[2],
    }
    try:
        async with running(tmp_path, dsn, kafka_broker, seed=4) as home:
            await work(home, 1)
            # In the midst of it: the copy holds links with writes under way.
            await shell(make_copy, **settings)
            await home.rest()
            await work(home, 2)
            await home.rest()
            known = creates(home)
            assert known == [(f"{name}{number}@example.com", 1) for name in ("nora", "omar") for number in (1, 2)]

            # Lost, with everybody connected. Webhooks go on into the log.
            before = await home.incoming(EVENTS)
            published = home.log
            await work(home, 3)
            postgres.drop(dsn)
            home.left.dashboard.update(next(iter(home.left.customers)), name="While there was no database")

            async def taken() -> bool:
                bounds = await published.bounds(EVENTS)
                return sum(end for _, end in bounds.values()) > sum(before.values())

            await until(taken, 30, "webhooks are taken without a database")
            await asyncio.gather(*(process.kill() for process in home.processes))
            await home.look_away()

            await shell(restore, **settings)
            assert "incarnation 2" in await shell(take_over, **settings)
            await home.look(dsn, log_url)
            await asyncio.gather(*(process.start() for process in home.processes))
            await home.ready(*home.processes)
            await home.rest(120)

            once_each(home)
            assert home.left.customers[next(iter(home.left.customers))]["name"] == "While there was no database"
            made = creates(home)
            assert [(address, count) for address, count in made if count > 1] == []
            assert set(known) <= set(made)
            assert await home.parked() == 0
            assert await links_in_force(dsn) == len(live_addresses(home))
    finally:
        postgres.drop(dsn)


def live_addresses(home: House) -> set[str]:
    return {customer["email"] for customer in home.left.customers.values() if not customer.get("deleted")}


async def links_in_force(dsn: str) -> int:
    """How many links are in force."""
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM sync.link WHERE status = 'active'"))
    finally:
        await connection.close()
