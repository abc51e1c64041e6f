"""Which writes a person means: those of an applied file, a connection, a mapping line, a rule, a time, a contact."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from services.contracts.commands import Version
from services.contracts.connection import Connection
from services.contracts.contact import Side
from services.contracts.rule import PermitEmail, Rule
from services.runtime.store import Connection as Database
from services.sync.configs import Configs
from services.sync.core.mapping import Config
from services.sync.core.rules import judge, key_of
from services.sync.core.slice import ContactKey
from services.sync.core.state import Link, Record, other
from services.sync.explain.detail import Detail

REVERT = "revert"
"""The journal's outcome of a decision that takes something back."""
_WRITES = """
SELECT number, at, link::text, connection, detail FROM sync.journal
 WHERE day BETWEEN $1::timestamptz::date - 1 AND $2::timestamptz::date + 1 AND at >= $1 AND at < $2
   AND detail ? 'writes' AND outcome <> 'revert' AND ($3::text[] IS NULL OR connection = ANY($3))
   AND ($4::uuid[] IS NULL OR link = ANY($4))
 ORDER BY number
"""
_ANSWERS = """
SELECT link::text, detail FROM sync.journal
 WHERE day >= $1::timestamptz::date - 1 AND link = ANY($2::uuid[]) AND detail ? 'answered'
"""
_OLDEST = "SELECT min(day)::timestamptz FROM sync.journal"
_CONFIGS = "SELECT version, applied_at, content FROM registry.config ORDER BY version"

Key = tuple[str, Side, Version]
"""A write: its link, the side written to, its version."""


class _Content(msgspec.Struct, frozen=True):
    connections: tuple[Connection, ...] = ()


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which a connection's writes are meant."""

    connection: str | None
    """None: every one."""
    since: datetime
    until: datetime


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What a person named."""

    spans: tuple[Span, ...]
    line: str | None = None
    """A mapping line's id, or one of its fields' paths."""
    rule: int | None = None
    """A rule's place in its connection, from 1."""
    links: tuple[str, ...] | None = None
    """The links of a contact."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A write that was decided then, and how it was answered."""

    number: int
    """Of the decision in the journal."""
    at: datetime
    link: str
    connection: str
    side: Side
    version: Version
    kind: Literal["create", "update", "tag", "untag"]
    lines: tuple[str, ...]
    action: str | None
    answer: str | None = None
    """None: it isn't answered yet."""
    contact: str | None = None
    """The contact that the answer showed."""

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.link, self.side, self.version


async def spans_of(database: Database, version: int, until: datetime) -> tuple[Span, ...] | None:
    """Return when what an applied file changed was in force, by connection; None if there is no such version.

    From its application until the next one that changed the connection again, or `until`.
    """
    applied = [
        (row["version"], row["applied_at"], _connections(row["content"])) for row in await database.fetch(_CONFIGS)
    ]
    at = next((place for place, row in enumerate(applied) if row[0] == version), None)
    if at is None:
        return None
    before: Mapping[str, Connection] = applied[at - 1][2] if at else {}
    here, found = applied[at][2], []
    for name, connection in here.items():
        if before.get(name) == connection:
            continue
        end = next((moment for _, moment, later in applied[at + 1 :] if later.get(name) != connection), until)
        found.append(Span(connection=name, since=applied[at][1], until=min(end, until)))
    return tuple(found)


def _connections(content: str) -> dict[str, Connection]:
    return {each.name: each for each in msgspec.json.decode(content, type=_Content).connections}


async def oldest(database: Database) -> datetime | None:
    """Return the first day that the journal still has; None if it is empty."""
    found: datetime | None = await database.fetchval(_OLDEST)
    return found


async def made(database: Database, configs: Configs, choice: Choice) -> Sequence[Made]:
    """Return the writes that are meant, in the order of their decisions. Those that took something back aren't."""
    found: dict[Key, Made] = {}
    for span in choice.spans:
        names = None if span.connection is None else [span.connection]
        links = None if choice.links is None else list(choice.links)
        for row in await database.fetch(_WRITES, span.since, span.until, names, links):
            detail = msgspec.json.decode(row["detail"], type=Detail)
            for write in detail.writes:
                if not _on_line(configs, row["connection"], choice.line, write.lines, write.action):
                    continue
                each = Made(
                    number=row["number"],
                    at=row["at"],
                    link=row["link"],
                    connection=row["connection"],
                    side=write.side,
                    version=write.version,
                    kind=write.kind,
                    lines=write.lines,
                    action=write.action,
                )
                found[each.key] = each
    return sorted((await _answered(database, found)).values(), key=lambda each: each.number)


async def _answered(database: Database, found: dict[Key, Made]) -> dict[Key, Made]:
    if not found:
        return found
    since = min(each.at for each in found.values())
    for row in await database.fetch(_ANSWERS, since, sorted({each.link for each in found.values()})):
        detail = msgspec.json.decode(row["detail"], type=Detail)
        answer = detail.answered
        known = None if answer is None else found.get((row["link"], answer.side, answer.version))
        if answer is None or known is None or (answer.outcome == "unknown" and known.answer is not None):
            continue
        contact = None if detail.seen is None else detail.seen.contact
        found[known.key] = msgspec.structs.replace(known, answer=answer.outcome, contact=contact)
    return found


def _on_line(configs: Configs, connection: str, line: str | None, lines: Sequence[str], action: str | None) -> bool:
    """Whether a write is one of that line; a create is made of many lines, and isn't the work of one."""
    if line is None:
        return True
    config = configs.connections.get(connection)
    named = {line}
    for each in () if config is None else config.lines:
        if line in (each.id, each.left.path, each.right.path):
            named.add(each.id)
    return action is None and not named.isdisjoint(lines)


def rule_of(config: Config, number: int) -> Rule | None:
    """Return the rule at that place of the connection; None if there is none."""
    rules = config.connection.rules
    return rules[number - 1] if 0 < number <= len(rules) else None


def by_rule(config: Config, rule: Rule, write: Made, link: Link, records: Mapping[ContactKey, Record]) -> bool:
    """Whether a write is the rule's: an action of it, or one to a pair that no other rule takes in."""
    if write.side != other(rule.source):
        return False
    actions = {key_of(action) for action in rule.actions if not isinstance(action, PermitEmail)}
    if write.action is not None:
        return write.action in actions
    half = link.half(rule.source)
    source = records.get((config.account(rule.source), half.contact_id or ""))
    if source is None:
        return False
    return judge(config, rule.source, source, there=half.there is not False).rules == (rule,)
