"""`explain`: what is known about a contact and why, asked of sync and of the connectors' ledger (G4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from services.cli.contacts import connections, unknown
from services.cli.database import opened
from services.cli.explanation import show
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import say
from services.contracts.contact import SIDES, Side
from services.runtime.settings import load
from services.runtime.store import Connection as Database
from services.sync.configs import Configs, read_configs
from services.sync.explain.find import Meant, meant
from services.sync.explain.report import Explanation
from services.sync.explain.tell import Window
from services.sync.explain.tell import explain as told_of

_SPAN = re.compile(r"(?P<count>[0-9]{1,6}) ?(?P<unit>s|min|h|d)")
_UNITS = {"s": timedelta(seconds=1), "min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_LEDGER = """
SELECT link::text, side, account, incarnation || '.' || n AS write, state, attempt, next_try_at, unknown_since,
       unknown_reason
  FROM connectors.ledger WHERE link = ANY($1::uuid[]) AND state <> 'settled' ORDER BY link, side
"""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a person typed."""

    what: str
    connection: str | None
    since: str | None
    limit: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A write as the connectors have it, as long as it isn't answered."""

    link: str
    side: Side
    account: str
    write: str
    """Its version."""
    state: str
    """`pending`: not under way; `inflight`: being sent; `unknown`: sent, its outcome isn't known."""
    attempt: int
    """How often it was sent."""
    next_try_at: datetime
    unknown_since: datetime | None
    unknown_reason: str | None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `explain` shows."""

    at: datetime
    what: str
    explanations: tuple[Explanation, ...]
    """One for each link, connection by connection."""
    attempts: tuple[Attempt, ...]
    """Of all these links."""


async def explain(asked: Asked, *, as_json: bool) -> int:
    """Print it."""
    if asked.limit < 0:
        raise Failure("--limit is how many entries are shown: a number from 0 on.", MISUSED)
    async with opened(load()) as store, store.transaction("repeatable_read", readonly=True) as database:
        answer = await _answer(database, asked)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
        return 0
    for number, each in enumerate(answer.explanations):
        if number:
            say("")
        show(each, [_told(attempt, answer.at) for attempt in answer.attempts if attempt.link == each.link])
    return 0


async def _answer(database: Database, asked: Asked) -> Answer:
    await connections(database, asked.connection)
    now: datetime = await database.fetchval("SELECT now()")
    window = Window(since=since_of(asked.since, now), most=asked.limit)
    configs = await read_configs(database, manifests())
    found = await meant(database, configs, asked.what, asked.connection)
    explanations = [
        told for link in found.links if (told := await told_of(database, configs, link, window)) is not None
    ]
    if not explanations:
        raise await _nothing(database, configs, asked, found)
    rows = await database.fetch(_LEDGER, [each.link for each in explanations])
    return Answer(
        at=now,
        what=asked.what,
        explanations=tuple(explanations),
        attempts=tuple(Attempt(**dict(row)) for row in rows),
    )


async def _nothing(database: Database, configs: Configs, asked: Asked, found: Meant) -> Failure:
    """Why there is nothing to explain."""
    if not found.contacts:
        account, slash, contact = asked.what.partition("/")
        if slash and account in configs.manifests:
            return await unknown(database, contact, [account])
        if _is_uuid(asked.what):
            return Failure(f"There is no link {asked.what}, and no contact of that id.")
        in_force = [config for config in configs.connections.values() if not config.removed]
        accounts = [config.account(side) for config in in_force for side in SIDES]
        return await unknown(database, asked.what, accounts)
    account, contact = found.contacts[0]
    pairs = [
        name
        for name, config in configs.connections.items()
        if account in (config.account("left"), config.account("right")) and not config.removed
    ]
    if asked.connection is not None and asked.connection not in pairs:
        return Failure(f"{contact} of {account} has no link in {asked.connection}: the account isn't in it.")
    if not pairs:
        return Failure(f"{contact} of {account} is in no connection: nothing is done with it.")
    return Failure(
        f"{contact} of {account} has no link in {asked.connection or ' or '.join(pairs)}. If it still exists, it gets "
        "one when `contactsync run` works: a connection's contacts are gone through every minute."
    )


def _is_uuid(word: str) -> bool:
    try:
        UUID(word.strip())
    except ValueError:
        return False
    return True


def since_of(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that a person means by a span before `now`, or by a time."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return now - int(span["count"]) * _UNITS[span["unit"]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        sentence = f"{text} is no time. Write how long ago (30min, 2h, 3d), or a time such as 2026-11-22T14:00 (UTC)."
        raise Failure(sentence, MISUSED) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _told(attempt: Attempt, now: datetime) -> str:
    """The write as the connectors have it, as a sentence."""
    times = {0: "not sent yet", 1: "sent once"}.get(attempt.attempt, f"sent {attempt.attempt} times")
    said = f"write {attempt.write} to {attempt.account}: {times}"
    if attempt.state == "inflight":
        return f"{said}, being sent now"
    if attempt.unknown_since is not None:
        return f"{said}; whether it was done isn't known: {attempt.unknown_reason or 'no answer came'}"
    seconds = round((attempt.next_try_at - now).total_seconds())
    return f"{said}, {f'tried again in {seconds} s' if seconds > 0 else 'its turn comes'}"
