"""`revert`: what contactsync wrote goes back, planned first, then asked, then done (G6)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import msgspec

from services.cli.agreed import agreed
from services.cli.contacts import connections, unknown
from services.cli.counting import counting
from services.cli.database import opened
from services.cli.explained import since_of
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import complain, say, visible
from services.contracts.contact import SIDES
from services.runtime.log.open import log_of
from services.runtime.settings import load
from services.runtime.store import Connection as Database
from services.sync.configs import read_configs
from services.sync.explain.find import meant
from services.sync.revert.chosen import Choice, Span, oldest, rule_of, spans_of
from services.sync.revert.plan import Planned, Step, plan
from services.sync.revert.run import Reverted, run

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed."""

    contact: str | None
    config: int | None
    connection: str | None
    line: str | None
    rule: int | None
    since: str | None
    until: str | None
    yes: bool
    limit: int


class Stayed(msgspec.Struct, frozen=True, kw_only=True):
    """What wasn't taken back when it was to be done, and why."""

    connection: str
    contact: str
    what: str
    why: str


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    sent: int
    answers: dict[str, int]
    unanswered: int
    stays: tuple[Stayed, ...]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The plan, and what became of it if it was carried out."""

    plan: Planned
    done: Done | None = None


async def revert(asked: Asked, *, as_json: bool) -> int:
    """Plan it, show it, ask, do it; 0 if all went back that could."""
    _check(asked)
    settings = load()
    async with opened(settings) as store, log_of(settings, store) as log:
        async with store.transaction("repeatable_read", readonly=True) as database:
            choice = await _choice(database, asked)
            first = await oldest(database)
        made = await plan(store, log, manifests(), choice)
        told = made.told
        if not as_json:
            _show(told, asked.limit)
            if first is not None and min(span.since for span in choice.spans) < first:
                say(f"What was written before {first:%Y-%m-%d} is in no journal any more: it isn't part of this.")
        if not made.intents or (as_json and not asked.yes):
            if as_json:
                _print(Answer(plan=told))
            return 0
        if not agreed(f"Write to {told.contacts} contacts?", yes=asked.yes):
            return 1
        with counting("Taking back", len(made.intents)) as went:
            done = await run(store, manifests(), made.intents, went)
    if as_json:
        _print(Answer(plan=told, done=_done(done)))
    else:
        _show_done(done)
    return 0 if done.whole else 1


def _check(asked: Asked) -> None:
    if (asked.contact, asked.config, asked.connection, asked.since) == (None, None, None, None):
        raise Failure(
            "Say what is to be taken back: --since 2h, --config VERSION, --connection NAME, or a contact. "
            "`contactsync revert --help` tells more.",
            MISUSED,
        )
    if asked.connection is None and (asked.line is not None or asked.rule is not None):
        raise Failure("--line and --rule are a connection's: add --connection NAME.", MISUSED)
    if asked.line is not None and asked.rule is not None:
        raise Failure("A mapping line's writes are no rule's: name --line or --rule.", MISUSED)
    if asked.limit < 0:
        raise Failure("--limit is how many contacts are shown: a number from 0 on.", MISUSED)


async def _choice(database: Database, asked: Asked) -> Choice:
    now: datetime = await database.fetchval("SELECT now()")
    since = since_of(asked.since, now) or _BEGINNING
    until = since_of(asked.until, now) or now
    configs = await read_configs(database, manifests())
    if asked.connection is not None and asked.connection not in configs.connections:
        await connections(database, asked.connection)  # says which there are
    links: tuple[str, ...] | None = None
    if asked.contact is not None:
        links = (await meant(database, configs, asked.contact, asked.connection)).links
        if not links:
            accounts = sorted({config.account(side) for config in configs.connections.values() for side in SIDES})
            raise await unknown(database, asked.contact, accounts)
    if asked.rule is not None and asked.connection is not None:
        config = configs.connections[asked.connection]
        if rule_of(config, asked.rule) is None:
            count = len(config.connection.rules)
            raise Failure(f"{asked.connection} has no rule {asked.rule}: there are {count}, numbered from 1.", MISUSED)
    if asked.line is not None and asked.connection is not None:
        lines = configs.connections[asked.connection].lines
        known = sorted({name for each in lines for name in (each.id, each.left.path, each.right.path)})
        if asked.line not in known:
            complain(f"{asked.connection} has no line {asked.line} now; what it wrote is looked for all the same.")
    spans: tuple[Span, ...] = (Span(connection=asked.connection, since=since, until=until),)
    if asked.config is not None:
        found = await spans_of(database, asked.config, until)
        if found is None:
            raise Failure(f"No file was applied as version {asked.config}. `contactsync status` shows the present one.")
        spans = tuple(
            msgspec.structs.replace(span, since=max(span.since, since))
            for span in found
            if asked.connection in (None, span.connection)
        )
        if not spans:
            raise Failure(f"Version {asked.config} changed nothing of {asked.connection or 'any connection'}.")
    return Choice(spans=spans, line=asked.line, rule=asked.rule, links=links)


def _show(told: Planned, limit: int) -> None:
    if not told.steps and not told.stays:
        say("There is nothing to take back.")
        return
    say(f"Of {told.writes} writes, this goes back:")
    say(f"  {told.fields} fields, {told.tags} tags; {told.created} created contacts get the trash tag")
    if told.already:
        say(f"  {told.already} are as they were before already")
    if told.steps:
        say("")
    for step in told.steps[:limit]:
        _show_step(step)
    if len(told.steps) > limit:
        say(f"… and {len(told.steps) - limit} contacts more (--limit)")
    if told.stays:
        say("")
        say(f"{len(told.stays)} stay as they are:")
        for why, count in Counter(each.why for each in told.stays).most_common():
            say(f"  {count}: {why}")
        for each in told.stays[:limit]:
            say(f"  {each.account} {each.contact}  {each.what}: {each.why}")
        if len(told.stays) > limit:
            say(f"  … and {len(told.stays) - limit} more (--limit)")


def _show_step(step: Step) -> None:
    say(f"{step.account} {step.contact} ({step.connection})")
    if step.trash:
        say("  created by contactsync: gets the trash tag")
    for change in step.changes:
        say(visible(f"  {change.field}: {_values(change.now)} -> {_values(change.back)}"))
    for tag in step.untags:
        say(visible(f"  tag {tag}: removed again"))
    for tag in step.tags:
        say(visible(f"  tag {tag}: set again"))
    if not (step.trash or step.changes or step.untags or step.tags):
        say("  a write is under way: decided when that is answered")


def _values(values: tuple[str, ...]) -> str:
    return ", ".join(values) or "(empty)"


def _show_done(done: Reverted) -> None:
    say("")
    written = sum(count for answer, count in done.answers.items() if answer in ("written", "unchanged"))
    say(f"{written} of {done.sent} writes are in the apps.")
    for answer, count in sorted(done.answers.items()):
        if answer not in ("written", "unchanged"):
            say(f"  {count} {_ANSWERS[answer]}")
    if done.unanswered:
        say(f"  {done.unanswered} aren't answered yet: `contactsync run` has to work; `contactsync status` shows them")
    for intent, left in done.stays:
        say(f"  {intent.contact}  {left.what}: {left.why}")
    if not done.whole:
        say("The same command again takes back what is left.")


_ANSWERS = {
    "refused": "were refused by the app; `contactsync explain CONTACT` tells why",
    "stale": "weren't written, as the contact had just been changed",
    "deferred": "were put off: the connection is paused or changed, or the account is away",
}


def _done(done: Reverted) -> Done:
    stays = tuple(
        Stayed(connection=intent.connection, contact=intent.contact, what=left.what, why=left.why)
        for intent, left in done.stays
    )
    return Done(sent=done.sent, answers=dict(done.answers), unanswered=done.unanswered, stays=stays)


def _print(answer: Answer) -> None:
    say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
