"""`plan` and the gate of `apply`: what a file would do, and a person's yes to exactly that (G3)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from services.cli.database import opened
from services.cli.failure import FAILED, MISUSED, Failure
from services.cli.files import checked_file, manifests
from services.cli.output import age, complain, say
from services.cli.planshow import entry, summary
from services.cli.working import working
from services.runtime.registry.apply import contradictions
from services.runtime.registry.check import Config
from services.runtime.settings import Settings, load
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.configs import MissingAppError
from services.sync.plan.known import Ground, ground
from services.sync.plan.trial import trial_of
from services.sync.plan.would import Kind, Plan, PlanId, Would

_READ = """
SELECT account, last_ok_at, state, feed_cursor IS NOT NULL AS feed FROM ingest.cursor WHERE account = ANY($1::text[])
"""
_LATEST = "SELECT account, max(updated_at) AS at FROM sync.contact WHERE account = ANY($1::text[]) GROUP BY account"
_NOW = "SELECT clock_timestamp()"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed."""

    fresh: bool = False
    offline: bool = False
    limit: int = 50
    page: int = 1


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What `plan` says."""

    id: str
    """What `apply --plan` takes."""
    version: int
    """Of the config in force."""
    from_: str = msgspec.field(name="from")
    """`known`: the last known state; `fresh`: what the apps said just now."""
    read: dict[str, datetime | None]
    """Account -> when its app last answered; None: never."""
    unread: tuple[str, ...]
    paused: tuple[str, ...]
    ends: dict[str, int]
    waits: dict[str, dict[str, int]]
    counts: dict[str, dict[Kind, int]]
    contacts: dict[str, int]
    touched: dict[str, int]
    considered: int
    over: tuple[str, ...]
    total: int
    page: int
    would: tuple[Would, ...]


async def plan_file(file: Path, asked: Asked, *, as_json: bool) -> int:
    """Print the plan; the exit status says whether the file can be applied."""
    if asked.limit < 0 or asked.page < 1:
        raise Failure("--limit is a number from 0 on, --page one from 1 on.", MISUSED)
    checked = await checked_file(file, offline=asked.offline)
    if checked.config is None:
        return FAILED
    settings = load()
    async with opened(settings) as store:
        async with store.transaction(readonly=True) as database:
            reasons = await contradictions(database, checked.config)
        for reason in reasons:
            complain(reason)
        if reasons:
            return FAILED
        answer = await _answer(store, settings, checked.config, asked)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
        return 0
    _show(answer, str(file), asked)
    return 0


class Approved(msgspec.Struct, frozen=True):
    """The file may be put into force."""

    after: int | None
    """As long as this version is in force; None: whichever is."""


async def approved(store: Store, settings: Settings, config: Config, name: str, plan: str | None) -> Approved | None:
    """Return whether the file may be put into force: it does little, or its plan that was said yes to is the same.

    What stands against it is printed.
    """
    named = None if plan is None else PlanId.read(plan)
    if plan is not None and named is None:
        raise Failure(f"{plan} isn't the id of a plan: `contactsync plan {name}` prints it.", MISUSED)
    async with store.transaction("repeatable_read", readonly=True) as database:
        if await contradictions(database, config):
            return Approved(None)  # applying says so itself, and changes nothing
        try:
            under = await ground(database, manifests(), config.accounts, config.connections)
        except MissingAppError as error:
            complain(f"What the file would do can't be told beforehand. {error}")
            return Approved(None)
        if named is None and not (under.any and under.concerned):
            return Approved(None)
        trial = await trial_of(database)
    with working("planning") as went:
        now, made = under.plan(trial, went=lambda: went("", 1))
    stale = () if named is None else named.stale(now)
    if stale:
        complain(f"The plan {plan} has gone stale: nothing was changed.")
        for sentence in stale:
            complain(f"  {sentence}")
        complain(
            f"Now it is {now}: look at it with `contactsync plan {name}`, then `contactsync apply {name} --plan {now}`."
        )
        return None
    over = made.over(settings.blast_percent, settings.blast_count)
    if named is not None:
        return Approved(under.version)
    if not over:
        return Approved(None)
    for line in summary(made):
        complain(line)
    for sentence in over:
        complain(sentence)
    complain("Nothing was changed: so much waits for a yes.")
    complain(f"Look at it with `contactsync plan {name}`; `contactsync apply {name} --plan {now}` does exactly that.")
    return None


async def _answer(store: Store, settings: Settings, config: Config, asked: Asked) -> Answer:
    async with store.transaction("repeatable_read", readonly=True) as database:
        under = await ground(database, manifests(), config.accounts, config.connections)
        trial = await trial_of(database)
        read = await _read(database, under.accounts)
    if asked.fresh:
        from services.cli import fresh  # noqa: PLC0415 - only here apps are asked

        with working("reading") as went:
            await fresh.overlay(store, settings, config, under, trial, went=went)
        read = dict.fromkeys(under.accounts, datetime.now(UTC))
    with working("planning") as went:
        now, made = under.plan(trial, went=lambda: went("", 1))
    return _told(now, made, read, settings, asked, under)


def _told(
    now: PlanId, made: Plan, read: dict[str, datetime | None], settings: Settings, asked: Asked, under: Ground
) -> Answer:
    start = (asked.page - 1) * asked.limit
    return Answer(
        id=str(now),
        version=under.version,
        from_="fresh" if asked.fresh else "known",
        read=read,
        unread=made.unread,
        paused=made.paused,
        ends=made.ends,
        waits={name: dict(waits) for name, waits in sorted(made.waits.items())},
        counts=made.counts(),
        contacts=dict(sorted(made.contacts.items())),
        touched=dict(sorted(made.touched().items())),
        considered=made.considered,
        over=made.over(settings.blast_percent, settings.blast_count),
        total=len(made.would),
        page=asked.page,
        would=tuple(made.would[start : start + asked.limit]),
    )


async def _read(database: Database, accounts: tuple[str, ...]) -> dict[str, datetime | None]:
    found: dict[str, datetime | None] = dict.fromkeys(accounts)
    for row in await database.fetch(_LATEST, list(accounts)):
        found[row["account"]] = row["at"]
    for row in await database.fetch(_READ, list(accounts)):
        found[row["account"]] = row["last_ok_at"] or found[row["account"]]
    return found


def _show(answer: Answer, name: str, asked: Asked) -> None:
    now = datetime.now(UTC)
    say(f"Plan {answer.id} of {name}; version {answer.version} is in force.")
    if answer.from_ == "fresh":
        say("Made from what the apps said just now. A yes to it holds as soon as contactsync has heard the same.")
    else:
        times = ", ".join(
            f"{account} read {age(now - at)} ago" if at is not None else f"{account} never read"
            for account, at in answer.read.items()
        )
        say(f"Made from the last known state{f': {times}' if times else ''}. `--fresh` reads the apps first.")
    for line in _lines(answer):
        say(line)
    for sentence in answer.over:
        say(sentence)
    if answer.over:
        say(f"It waits for a yes: `contactsync apply {name} --plan {answer.id}`.")
    for each in answer.would:
        for line in entry(each):
            say(line)
    shown = (asked.page - 1) * asked.limit + len(answer.would)
    if shown < answer.total:
        say(f"… {answer.total - shown} more: `--page {asked.page + 1}`, or a higher `--limit`")


def _lines(answer: Answer) -> list[str]:
    made = Plan(ends=answer.ends, unread=answer.unread, paused=answer.paused, considered=answer.considered)
    return summary(made, answer.counts, answer.waits, answer.touched, answer.contacts)
