"""The plan of a revert: what would go back, contact by contact, and what stays and why. Writes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from services.contracts.app import Manifest
from services.contracts.commands import Write
from services.contracts.contact import SIDES, Contact, Side
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.configs import Configs, read_configs
from services.sync.core.slice import ContactKey
from services.sync.core.state import Link, Record
from services.sync.core.why import values_told
from services.sync.revert.back import Due, Intent, due, intents
from services.sync.revert.chosen import Choice, Key, Made, by_rule, made, rule_of
from services.sync.revert.past import Readable, sent, shown

_LINKS = "SELECT state FROM sync.link WHERE id = ANY($1::uuid[])"
_CONTACTS = """
SELECT c.state FROM sync.contact c
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON c.account = k.account AND c.contact_id = k.id
"""
_CHUNK = 500
_DEPTH = 16
"""Links that became part of one another, in a row."""
_links = msgspec.json.Decoder(Link).decode
_records = msgspec.json.Decoder(Record).decode


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A field that goes back."""

    field: str
    now: tuple[str, ...]
    back: tuple[str, ...]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back on one contact."""

    connection: str
    link: str
    account: str
    contact: str
    trash: bool = False
    """It was created by contactsync, and gets the trash tag."""
    changes: tuple[Change, ...] = ()
    tags: tuple[str, ...] = ()
    """Tags that are set again."""
    untags: tuple[str, ...] = ()
    """Tags that are removed again."""


class Stays(msgspec.Struct, frozen=True, kw_only=True):
    """Something that isn't taken back, and why."""

    connection: str
    account: str
    contact: str
    """Empty where even that isn't known any more."""
    what: str
    why: str


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a revert would do."""

    writes: int
    """Writes of ours that were meant."""
    contacts: int
    """Contacts that would be written to."""
    fields: int
    created: int
    """Contacts that would get the trash tag."""
    tags: int
    already: int
    """What is as it was before already."""
    steps: tuple[Step, ...]
    stays: tuple[Stays, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan as it is told, and what carries it out."""

    told: Planned
    intents: tuple[Intent, ...]
    """In the order of `told.steps`."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    links: Mapping[str, Link]
    """By the id they were asked for: one that became part of another leads to that one."""
    records: Mapping[ContactKey, Record]


async def plan(store: Store, log: Readable, manifests: Mapping[str, Manifest], choice: Choice) -> Plan:
    """Return the plan. Raises `LogUnavailableError`."""
    async with store.transaction("repeatable_read", readonly=True) as database:
        configs = await read_configs(database, manifests)
        writes = await made(database, configs, choice)
        if choice.rule is not None:
            writes = await _of_rule(database, configs, choice.rule, writes)
    commands, answers = await _past(log, configs, writes)
    wanted, lost = intents(writes, commands, answers, configs.connections)
    if choice.line is not None:
        wanted = [_narrowed(configs, intent, choice.line) for intent in wanted]
    steps: list[Step] = []
    stays = [
        Stays(
            connection=write.connection,
            account=_account(configs, write.connection, write.side),
            contact=write.contact or "",
            what=left.what,
            why=left.why,
        )
        for write, left in lost
    ]
    carried: list[Intent] = []
    already = 0
    async with store.transaction("repeatable_read", readonly=True) as database:
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            known = await _known(database, configs, {intent.link for intent in chunk})
            for asked in chunk:
                intent, found = _found(configs, known, asked)
                account = _account(configs, intent.connection, intent.side)
                already += found.already
                stays += [
                    Stays(
                        connection=intent.connection,
                        account=account,
                        contact=intent.contact,
                        what=each.what,
                        why=each.why,
                    )
                    for each in found.left
                ]
                # What has to wait a moment is tried when it is carried out.
                if not found.nothing or any(each.passing for each in found.left):
                    carried.append(intent if found.nothing else _shown(intent, found))
                    steps.append(_step(intent, account, found))
    told = Planned(
        writes=len(writes),
        contacts=len({(step.account, step.contact) for step in steps}),
        fields=sum(len(step.changes) for step in steps),
        created=sum(step.trash for step in steps),
        tags=sum(len(step.tags) + len(step.untags) for step in steps),
        already=already,
        steps=tuple(steps),
        stays=tuple(stays),
    )
    return Plan(told=told, intents=tuple(carried))


def _narrowed(configs: Configs, intent: Intent, line: str) -> Intent:
    """Return the intent with that mapping line's fields only: a write may carry several lines."""
    # A line of a person's own is named by both its fields, also when it isn't in force any more.
    paths = {line, *line.split("=")}
    config = configs.connections.get(intent.connection)
    for each in () if config is None else config.lines:
        if line in (each.id, each.left.path, each.right.path):
            paths.add(each.field(intent.side).path)
    return msgspec.structs.replace(intent, fields=tuple(each for each in intent.fields if each.path in paths))


async def _of_rule(database: Database, configs: Configs, number: int, writes: Sequence[Made]) -> list[Made]:
    found: list[Made] = []
    for start in range(0, len(writes), _CHUNK):
        chunk = writes[start : start + _CHUNK]
        known = await _known(database, configs, {write.link for write in chunk})
        for write in chunk:
            config, link = configs.connections.get(write.connection), known.links.get(write.link)
            rule = None if config is None else rule_of(config, number)
            if config is None or rule is None or link is None:
                continue
            if by_rule(config, rule, write, link, known.records):
                found.append(write)
    return found


async def _past(log: Readable, configs: Configs, writes: Sequence[Made]) -> tuple[dict[Key, Write], dict[Key, Contact]]:
    """Return what was sent and what the answers showed."""
    done = [write for write in writes if write.answer == "written" and write.kind != "create"]
    if not done:
        return {}, {}
    since = min(write.at for write in done)
    accounts = {_account(configs, write.connection, write.side) for write in done}
    apps = {configs.manifests[account].name for account in accounts if account in configs.manifests}
    commands = await sent(log, apps, since, [write.key for write in done])
    return commands, await shown(log, since, [write.key for write in done if write.kind == "update"])


def _account(configs: Configs, connection: str, side: Side) -> str:
    config = configs.connections.get(connection)
    return "" if config is None else config.account(side)


async def _known(database: Database, configs: Configs, ids: Iterable[str]) -> _Known:
    """Return links and the contacts of their halves."""
    wanted = sorted(ids)
    read: dict[str, Link] = {}
    missing = set(wanted)
    for _ in range(_DEPTH):
        if not missing:
            break
        rows = await database.fetch(_LINKS, sorted(missing))
        read |= {link.id: link for link in (_links(row["state"]) for row in rows)}
        missing = {link.alias_of for link in read.values() if link.alias_of is not None} - set(read)
    links: dict[str, Link] = {}
    for id in wanted:
        link = read.get(id)
        for _ in range(_DEPTH):
            if link is None or link.alias_of is None:
                break
            link = read.get(link.alias_of)
        if link is not None:
            links[id] = link
    keys: set[ContactKey] = set()
    for link in links.values():
        for side in SIDES:
            contact_id = link.half(side).contact_id
            if contact_id is not None and link.connection in configs.connections:
                keys.add((configs.connections[link.connection].account(side), contact_id))
    ordered = sorted(keys)
    rows = await database.fetch(_CONTACTS, [key[0] for key in ordered], [key[1] for key in ordered])
    records = [_records(row["state"]) for row in rows]
    return _Known(links=links, records={(record.account, record.contact_id): record for record in records})


def _found(configs: Configs, known: _Known, intent: Intent) -> tuple[Intent, Due]:
    link = known.links.get(intent.link)
    config = configs.connections.get(intent.connection)
    if link is None:
        return intent, due(None, Link(id=intent.link, connection=intent.connection), None, intent)
    contact_id = link.half(intent.side).contact_id or ""
    record = None if config is None else known.records.get((config.account(intent.side), contact_id))
    intent = msgspec.structs.replace(intent, link=link.id)
    return intent, due(config, link, record, intent)


def _shown(intent: Intent, found: Due) -> Intent:
    """Return what of the intent was shown as going back: that is what gets a yes."""
    return msgspec.structs.replace(intent, fields=found.fields, marks=found.marks)


def _step(intent: Intent, account: str, found: Due) -> Step:
    return Step(
        connection=intent.connection,
        link=intent.link,
        account=account,
        contact=intent.contact,
        trash=found.trash,
        changes=tuple(
            Change(field=each.path, now=values_told(found.now.get(each.path, ())), back=values_told(each.back))
            for each in found.fields
        ),
        tags=tuple(mark.tag for mark in found.marks if not mark.present),
        untags=tuple(mark.tag for mark in found.marks if mark.present),
    )
