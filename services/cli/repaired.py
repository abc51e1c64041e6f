"""`replay --repair`: what should be is worked out from what is last known, and what is missing is sent (G5, P17)."""

from __future__ import annotations

from collections import Counter

import msgspec

from services.cli.agreed import agreed
from services.cli.contacts import connections, unknown
from services.cli.counting import counting
from services.cli.database import opened
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import complain, say, visible
from services.contracts.contact import SIDES
from services.runtime.settings import Settings, load
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.configs import read_configs
from services.sync.explain.find import meant
from services.sync.explain.report import Planned
from services.sync.repair import mend
from services.sync.repair.missing import Chosen, Missing, active, count, missing

_READS = ("look", "find")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a repair found, and what became of it."""

    pairs: int
    """Gone through."""
    unread: int
    """Contacts that should have been read anew and weren't."""
    commands: dict[str, int]
    """What is missing, by kind."""
    missing: tuple[Missing, ...]
    over: str | None = None
    """Why it is over the limit."""
    sent: int | None = None
    """Writes that were decided; None: it wasn't carried out."""
    waiting: int = 0
    """Pairs about which not everything is settled."""


async def repair(
    *,
    connection: str | None,
    account: str | None,
    contact: str | None,
    fresh: bool,
    yes: bool,
    as_json: bool,
    limit: int = 30,
) -> int:
    """Work out what is missing, show it, ask, send it; 0 if nothing is missing in the end."""
    if limit < 0:
        raise Failure("--limit is how many pairs are shown: a number from 0 on.", MISUSED)
    settings = load()
    async with opened(settings) as store:
        async with store.transaction("repeatable_read", readonly=True) as database:
            chosen = await _chosen(database, connection, account, contact)
            pairs = await count(database, chosen)
        unread = 0
        if fresh:
            with counting("Reading anew", 2 * pairs) as went:
                unread = await mend.read_anew(store, manifests(), chosen, went)
            if unread:
                complain(f"{unread} contacts weren't read: `contactsync run` has to work for that.")
        answer = await _found(store, settings, chosen, pairs, unread)
        if not as_json:
            _show(answer, limit)
        if not answer.missing or (as_json and not yes):
            if as_json:
                _print(answer, limit)
            return 0 if not answer.missing and not unread else 1
        if answer.over is not None and yes:
            raise Failure(
                f"{answer.over} --yes isn't enough for that: run it at a terminal and say yes there, or narrow it with "
                "--connection, --account or --contact."
            )
        if not agreed("Send this?", yes=yes):
            return 1
        links = [each.link for each in answer.missing]
        with counting("Sending", len(links)) as went:
            sent, waiting = await mend.send(store, links, went)
        answer = msgspec.structs.replace(answer, sent=sent, waiting=waiting)
    if as_json:
        _print(answer, limit)
    else:
        say(f"{sent} commands were decided.")
        if waiting:
            say(f"{waiting} pairs aren't done yet: `contactsync run` has to work; `contactsync status` shows them.")
    return 0 if not waiting else 1


async def _chosen(database: Database, connection: str | None, account: str | None, contact: str | None) -> Chosen:
    among = [pair for pair in await connections(database, connection) if account in (None, pair.left, pair.right)]
    if not among:
        raise Failure(f"No connection has the account {account}.", MISUSED)
    names = tuple(pair.name for pair in among)
    if contact is None:
        return Chosen(connections=names)
    configs = await read_configs(database, manifests())
    links = (await meant(database, configs, contact, connection)).links
    if not links:
        accounts = sorted({configs.connections[name].account(side) for name in names for side in SIDES})
        raise await unknown(database, contact, accounts)
    return Chosen(connections=names, links=links)


async def _found(store: Store, settings: Settings, chosen: Chosen, total: int, unread: int) -> Answer:
    pairs, found = 0, list[Missing]()
    with counting("Deciding anew", total) as went:
        async for number, some in missing(store, manifests(), chosen):
            pairs += number
            found += some
            went(number)
    async with store.transaction(readonly=True) as database:
        among = await active(database, chosen)
    touched = sum(any(command.kind not in (*_READS, "create") for command in each.commands) for each in found)
    return Answer(
        pairs=pairs,
        unread=unread,
        commands=dict(Counter(command.kind for each in found for command in each.commands)),
        missing=tuple(found),
        over=_over(settings, touched, among),
    )


def _over(settings: Settings, touched: int, among: int) -> str | None:
    """Why so many contacts aren't overwritten by the way."""
    if touched > settings.blast_count:
        return f"{touched} contacts would be overwritten or tagged, the limit is {settings.blast_count}."
    if touched > 1 and among and 100 * touched > settings.blast_percent * among:
        return f"{touched} of {among} pairs would be written to, the limit is {settings.blast_percent:g} %."
    return None


def _show(answer: Answer, limit: int) -> None:
    for each in answer.missing[:limit]:
        say(f"{each.connection}: {each.left or 'nobody'} <-> {each.right or 'nobody'}: {each.reason}")
        for command in each.commands:
            say(visible(f"  {_told(command)}"))
    if len(answer.missing) > limit:
        say(f"… and {len(answer.missing) - limit} pairs more (--limit)")
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(answer.commands.items()))
    say(f"{answer.pairs} pairs decided anew from what is last known; missing: {kinds or 'nothing'}.")
    if answer.over is not None:
        say(answer.over)


def _told(command: Planned) -> str:
    changes = "; ".join(
        f"{change.field}: {', '.join(change.before) or '(empty)'} -> {', '.join(change.after) or '(empty)'}"
        for change in command.changes
    )
    return " ".join(filter(None, (command.kind, command.account, command.contact, command.tag, changes)))


def _print(answer: Answer, limit: int) -> None:
    shown = msgspec.structs.replace(answer, missing=answer.missing[:limit])
    say(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
