"""One run: a house, people at work in it, a storm around it; then rest, the past once more, and the verdict."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.end_to_end.processes import until
from tests.faults.accounts import Books, Office, Shop
from tests.faults.book import Book
from tests.faults.generator import Generator
from tests.faults.house import House, house
from tests.faults.logs import leaks
from tests.faults.model import Model
from tests.faults.rest import moves, rest
from tests.faults.schedule import Schedule
from tests.faults.storm import Storm
from tests.faults.verdict import Finding, Verdict, judge

_SCAN_SECONDS = 240.0
_AUDIT_SECONDS = 600.0
_TELL_SECONDS = 30.0
_SCANNED = "SELECT count(*) FROM sync.account WHERE scanned_at IS NOT NULL"
_STALE = "SELECT * FROM faults.stale ORDER BY at LIMIT 20"
_PARKED = "SELECT (SELECT count(*) FROM sync.parked) + (SELECT count(*) FROM connectors.parked)"
_HELD = "SELECT coalesce(sum(holds), 0) FROM sync.link"
_LINK = """
SELECT id, status, unsettled, holds, refusals, wait_reason, wait_on, left_id, right_id FROM sync.link
 WHERE connection = $1 AND (left_id = ANY($2) OR right_id = ANY($2))
"""
_JOURNAL = """
SELECT number, at, input, cause, outcome, reason, detail FROM sync.journal WHERE link = $1 ORDER BY number DESC LIMIT 60
"""
_LEDGER = "SELECT * FROM connectors.ledger WHERE link = $1"
_SHOWN = 25
_LINES = 40
_REDELIVERED = 200


@dataclass
class Run:
    """What is known of a run when it is over."""

    schedule: Schedule
    verdict: Verdict = field(default_factory=Verdict)
    took: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    changes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    skews: Counter[int] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    own_ends: list[str] = field(default_factory=list)
    parked: int = 0
    poisoned: int = 0
    refused: int = 0
    held: int = 0
    carried: int = 0
    """Values that contactsync wrote to the other side; the others were coalesced, or overruled before."""
    writes: int = 0
    cut: int = 0
    logged: int = 0
    """Lines of logs, all of which were read for contacts' data and secrets."""
    quotas: dict[str, str] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    audit: str = ""
    """What deciding everything again came to."""


async def run(schedule: Schedule, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Run:
    """Run a schedule; what it leaves in `folder` is its logs and data. `tell` hears how it gets on."""
    size, model, made = schedule.size, Model(), Run(schedule)
    clock = _Clock(made.took, tell)
    async with house(
        folder,
        size.pairs,
        syncs=size.syncs,
        ingests=size.ingests,
        connectors=size.connectors,
        skews=schedule.skews,
        visible=size.visible,
        poll=2.0 if size.seconds < 300 else 5.0,
        seed=schedule.seed,
    ) as home:
        generator = Generator(home.pairs, model)
        await generator.settle_in(schedule)
        async with home.roles.kept():
            clock.lap("start")
            await _scanned(home)
            clock.lap("first scans")
            storm = Storm(home)
            begun = asyncio.get_running_loop().time()
            telling = asyncio.create_task(_progress(generator, storm, tell))
            async with asyncio.TaskGroup() as group:
                group.create_task(generator.run(schedule.changes, begun), name="generator")
                group.create_task(storm.run(schedule.faults, begun), name="storm")
            telling.cancel()
            _mend(home)
            clock.lap("storm")
            made.verdict.unrest = await rest(home, size.rest)
            clock.lap("rest")
            before = sum(moves(home))
            await _past_once_more(home)
            await asyncio.sleep(size.quiet)
            again = await rest(home, size.rest / 3)
            made.verdict.writes_after_quiescence = sum(moves(home)) - before
            made.verdict.unrest = made.verdict.unrest or again
            clock.lap("quiet")
            await _told(home, generator, storm, model, made)
            clock.lap("verdict")
            made.audit = await _audited(home, made.verdict)
            clock.lap("audit")
    return made


class _Clock:
    def __init__(self, took: dict[str, float], tell: Callable[[str], None]) -> None:
        self._took = took
        self._tell = tell
        self._at = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self._took[name] = now - self._at
        self._at = now
        self._tell(f"{name}: {self._took[name]:.0f} s")


async def _progress(generator: Generator, storm: Storm, tell: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        kills = storm.counts["kill"] + storm.counts["point"]
        tell(f"{generator.counts['changes']} changes, {kills} kills, {sum(storm.counts.values())} faults in all")


async def _scanned(home: House) -> None:
    async def done() -> bool:
        home.roles.failed()
        return bool(await home.store.fetchval(_SCANNED) == len(home.accounts))

    await until(done, _SCAN_SECONDS, "all accounts are scanned")


def _mend(home: House) -> None:
    """Nothing goes wrong any more."""
    for account in home.accounts.values():
        if not isinstance(account, Book):
            account.sandbox.faults.clear()  # type: ignore[attr-defined]
    for proxy in home.proxies.values():
        proxy.mode = "pass"


async def _past_once_more(home: House) -> None:
    """What came before comes again: the last webhooks, doubled and shuffled, and every Google contact."""
    for shop in home.shops:
        hooks = shop.sandbox.webhooks
        hooks.hold()
        ids = [each.recorded.body["id"] for each in hooks.deliveries[-_REDELIVERED // len(home.pairs) :]]
        for id in dict.fromkeys(ids):
            hooks.resend(shop.sandbox.events, id)
        hooks.release(shuffle=True)
    for account in home.accounts.values():
        if isinstance(account, Office):
            account.sandbox.feed.expire_tokens()


async def _audited(home: House, verdict: Verdict) -> str:
    """Decide the whole run again from its journal (P17): what `replay --audit` says, and a finding if it differs."""
    said = await home.roles.command("replay", "--audit", seconds=_AUDIT_SECONDS, statuses=(0, 1))
    line = next((line for line in reversed(said.splitlines()) if "differences=" in line), said[-300:])
    if "differences=0 writes=0" not in line:
        verdict.findings.append(Finding("audit", "", "", "", line, traces=said.splitlines()[-_LINES:]))
    return line


async def _told(home: House, generator: Generator, storm: Storm, model: Model, made: Run) -> None:
    """Gather the figures, and what is to be known about everything that is wrong."""
    verdict = made.verdict
    verdict.kills = home.roles.exits["SIGKILL"]
    verdict.changes = generator.counts["changes"]
    verdict.hard_deletes = sum(account.deletions() for account in home.accounts.values())
    stale = await home.store.fetch(_STALE)
    verdict.stale_commits = len(stale)
    made.stale = [str(dict(row)) for row in stale]
    verdict.findings = await judge(home.pairs, model, generator.made, generator.gone)
    for finding in verdict.findings[:_SHOWN]:
        finding.traces = await _traces(home, finding)
        finding.excuse = _excuse(home, finding)
    hooks = [f"whsec_{account.name}" for account in home.shops]
    made.logged, leaked = leaks(home.roles.folder, [*home.secrets.values(), *hooks])
    verdict.findings += leaked
    made.changes, made.faults, made.seconds, made.points = generator.counts, storm.counts, storm.seconds, storm.points
    made.exits, made.skews, made.recoveries = home.roles.exits, home.roles.skewed, home.roles.recoveries
    made.own_ends = home.roles.own_ends
    made.parked, made.poisoned, made.refused = await home.store.fetchval(_PARKED), storm.poisoned, storm.refused
    made.held = await home.store.fetchval(_HELD)
    for account in home.accounts.values():
        cells = [numbers for (name, _, _), numbers in model.edits.items() if name == account.name]
        carried = {number for number in account.carried() & model.past.keys() if number > generator.first}
        made.carried += len(carried - set(itertools.chain(*cells)))
    made.writes = sum(moves(home))
    made.cut = sum(proxy.cut for proxy in home.proxies.values())
    made.quotas = {type(account).__name__: _quota(account) for account in home.accounts.values()}


def _quota(account: object) -> str:
    match account:
        case Shop():
            return "25 requests a second to each endpoint, 100 in all"
        case Office():
            return "90 requests a minute, 60 of them writes"
        case Books():
            return "500 requests a minute, 10 at once"
        case _:
            return "none: a Radicale of its own"


async def _traces(home: House, finding: Finding) -> list[str]:
    """What the installation knows of a contact: its links, their last decisions and writes, and log lines."""
    at = int(finding.connection[1:])
    told: list[str] = []
    ids = []
    for account in home.pairs[at]:
        for row in await account.everybody():
            if row.email == finding.email:
                ids.append(row.id)
                told.append(f"{account.name}: {msgspec.json.encode(row).decode()}")
    names = [*ids, *(f"{home.pairs[at][1].name}{each}" for each in ids)]
    for link in await home.store.fetch(_LINK, finding.connection, names):
        told.append(f"link {dict(link)}")
        told += [f"  ledger {_short(dict(row))}" for row in await home.store.fetch(_LEDGER, link["id"])]
        told += [f"  journal {_short(dict(row))}" for row in reversed(await home.store.fetch(_JOURNAL, link["id"]))]
        told += [f"  log {line}" for line in _lines(home, str(link["id"]))]
    return told


def _excuse(home: House, finding: Finding) -> str:
    """Why nobody could have done better; nothing where somebody could."""
    right = home.pairs[int(finding.connection[1:])][1]
    if finding.kind == "duplicates" and isinstance(right, Office) and right.was_unseen(finding.email):
        return "when contactsync last asked before making it, Google didn't show the other one yet (C3)"
    asked = any('"write_asked_about"' in line and '"stale"' in line and '"right"' in line for line in finding.traces)
    if finding.kind == "lost" and isinstance(right, Books | Book) and asked:
        return "the answer to a write was lost, and where an app has no place for our mark the value decides (P4)"
    return ""


def _lines(home: House, word: str) -> list[str]:
    """The last log lines that have this word in them."""
    found: list[str] = []
    for log in home.roles.folder.glob("*.log"):
        with log.open(errors="replace") as text:
            found += [f"{log.stem} {line.strip()[:400]}" for line in text if word in line]
    return sorted(found, key=lambda line: line.partition('"timestamp"')[2])[-_LINES:]


def _short(row: dict[str, object]) -> str:
    return " ".join(f"{name}={str(value)[:160]}" for name, value in row.items() if value not in (None, b"", 0, False))
