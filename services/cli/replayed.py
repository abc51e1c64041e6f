"""`replay`: history again, from the log and the database of this installation (G5)."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.database import opened
from services.cli.explained import since_of
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import complain, say
from services.runtime.archive.reading import Archive
from services.runtime.log.open import log_of
from services.runtime.settings import load
from services.sync.replay import checkpoint
from services.sync.replay.archived import run_archive
from services.sync.replay.audit import Audit, Filters
from services.sync.replay.difference import KINDS, Difference
from services.sync.replay.run import TOPICS, Audited, Went, run

_SHOWN = 20
"""Transactions between two looks at the clock."""
_LINE_SECONDS = 30.0
"""Between two lines of progress where there is no terminal."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed."""

    archive: Path | None
    start: Path | None
    resume: Path | None
    since: str | None
    until: str | None
    connection: str | None
    account: str | None
    contact: str | None
    type: str | None
    limit: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found."""

    began: str
    """The beginning, or the checkpoint's moment."""
    upto: datetime
    whole: bool
    """Whether it came to the present; else it was stopped."""
    transactions: int
    messages: int
    decisions: int
    forgotten: int
    """Messages of people who were forgotten."""
    differences: int
    writes: int
    """Writes that today's program decides and history doesn't have."""
    kinds: dict[str, int]
    links: int
    """Links about which something differs."""
    told: tuple[Difference, ...]


async def write_checkpoint(path: Path) -> int:
    """Write what is known now to a file."""
    async with opened(load()) as store, store.transaction("repeatable_read", readonly=True) as database:
        head = await checkpoint.take(database, path)
    say(f"{path}: what is known after {head.number} transactions of history. It holds contacts' data: keep it safe.")
    return 0


def filters_of(asked: Asked) -> Filters:
    """Return what a person wants told. Raises `Failure` for a time that is none."""
    now = datetime.now(UTC)
    return Filters(
        connection=asked.connection,
        account=asked.account,
        contact=asked.contact,
        type=asked.type,
        since=_micros(since_of(asked.since, now)),
        until=_micros(since_of(asked.until, now)),
    )


async def audit(asked: Asked, *, as_json: bool) -> int:
    """Audit history and print what differs; 0 only if nothing does and the present was reached."""
    if asked.limit < 0:
        raise Failure("--limit is how many differences are told: a number from 0 on.", MISUSED)
    path = asked.resume if asked.resume is not None and asked.resume.exists() else asked.start
    start = None if path is None else checkpoint.read(path)
    filters = filters_of(asked)
    with _shown(asked.resume) as went:
        if asked.archive is not None:
            exported = Archive(asked.archive)
            done = await run_archive(exported, manifests(), start=start, filters=filters, went=went)
        else:
            settings = load()
            async with opened(settings) as store, log_of(settings, store) as log:
                bounds = {place: span for topic in TOPICS for place, span in (await log.bounds(topic)).items()}
                done = await run(store, log.read, bounds, manifests(), start=start, filters=filters, went=went)
    if asked.resume is not None:
        _keep(asked.resume, done)
    began = "the beginning" if start is None else f"the checkpoint of {_moment(start[0].at)}"
    answer = _answer(done, began)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        _print(answer, asked.limit)
        if not answer.whole:
            say(f"It was stopped. `--resume {asked.resume}` goes on from there." if asked.resume else "It was stopped.")
    return 0 if done.audit.clean and done.whole else 1


def _keep(path: Path, done: Audited) -> None:
    if done.whole:
        path.unlink(missing_ok=True)
    else:
        checkpoint.write(path, done.head, done.audit.world.rows())


def _answer(done: Audited, began: str) -> Answer:
    found = done.audit
    return Answer(
        began=began,
        upto=datetime.fromtimestamp(done.head.at / 1_000_000, UTC),
        whole=done.whole,
        transactions=found.transactions,
        messages=found.messages,
        decisions=found.decisions,
        forgotten=found.forgotten,
        differences=sum(found.counts.values()),
        writes=found.writes,
        kinds={kind: found.counts[kind] for kind in KINDS if found.counts[kind]},
        links=len(found.links),
        told=tuple(found.differences),
    )


def _print(answer: Answer, limit: int) -> None:
    for difference in answer.told[:limit]:
        say(difference.told())
    if answer.differences > limit:
        say(f"… and {answer.differences - min(limit, len(answer.told))} more (--limit)")
    if answer.kinds:
        kinds = ", ".join(f"{kind} {count}" for kind, count in answer.kinds.items())
        say(f"Differences by kind: {kinds}; about {answer.links} links.")
    if answer.forgotten:
        say(f"{answer.forgotten} messages of people who were forgotten were left out.")
    say(
        f"Audited from {answer.began} to {answer.upto:%Y-%m-%d %H:%M:%S} UTC: {answer.transactions} transactions, "
        f"{answer.messages} messages, {answer.decisions} decisions."
    )
    say(f"differences={answer.differences} writes={answer.writes}")


@contextmanager
def _shown(resume: Path | None) -> Iterator[Went]:
    """Show how far it is: a bar on a terminal, a line now and then otherwise. Ctrl-C stops it in good order."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    if resume is not None:
        loop.add_signal_handler(signal.SIGINT, stopped.set)
    console = Console(stderr=True)
    columns = (
        TextColumn("audit"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    began = loop.time()
    last = began
    try:
        with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
            task = progress.add_task("audit", total=None, rate="")

            def went(audit: Audit, total: int) -> bool:
                nonlocal last
                if audit.transactions % _SHOWN and audit.transactions != total:
                    return not stopped.is_set()
                seconds = max(loop.time() - began, 0.001)
                rate = f"{audit.messages / seconds:,.0f} messages/s"
                progress.update(task, completed=audit.transactions, total=total, rate=rate)
                if progress.disable and loop.time() - last > _LINE_SECONDS:
                    last = loop.time()
                    left = seconds / audit.transactions * (total - audit.transactions)
                    complain(f"audit: {audit.transactions} of {total}, {rate}, some {left:.0f} s left")
                return not stopped.is_set()

            yield went
    finally:
        if resume is not None:
            loop.remove_signal_handler(signal.SIGINT)


def _micros(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1_000_000)


def _moment(micros: int) -> str:
    return f"{datetime.fromtimestamp(micros / 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
