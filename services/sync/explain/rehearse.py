"""The step on a copy of what is known: what would be decided about a link now. Locks nothing and writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.commands import Create, Find, Look, Tag, Untag, Update
from services.contracts.contact import SIDES, Fields
from services.runtime.store import Connection as Database
from services.sync.closure import Keys, closure
from services.sync.configs import Configs
from services.sync.core.slice import ContactKey, MissingLockError, OlderConfigError, Slice
from services.sync.core.state import Decision, Link, Record
from services.sync.core.take import Reconsider, take
from services.sync.core.why import values_told
from services.sync.explain.report import Change, NextTold, Planned
from services.sync.load import load
from services.sync.save import account_of

_SCANNED = "SELECT account FROM sync.account WHERE scanned_at IS NOT NULL"
_LINKS = "SELECT id::text, seq, state FROM sync.link WHERE id = ANY($1::uuid[]) ORDER BY id"
_CONTACTS = """
SELECT c.account, c.contact_id, c.state, c.object FROM sync.contact c
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON c.account = k.account AND c.contact_id = k.id
 ORDER BY c.account, c.contact_id
"""
_TRIES = 5
"""Each finds one key more that deciding needs; there are few of that kind."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A link before and after the decision that would be taken now."""

    now: int
    """Microseconds since 1970 on the database's clock."""
    link: Link
    after: Link
    records: dict[ContactKey, Record]
    """As they are known, not as the decision would leave them."""
    around: tuple[Link, ...]
    """Links of its contacts in other connections."""
    next: NextTold

    def record(self, account: str, contact_id: str | None) -> Record | None:
        """Return what is known of a contact."""
        return None if contact_id is None else self.records.get((account, contact_id))


async def rehearse(database: Database, configs: Configs, link_id: str) -> Rehearsal | None:
    """Return what would be decided about the link now; None if there is no such link.

    The transaction has to be a repeatable read: nothing is locked.
    """
    keys = Keys()
    for _ in range(_TRIES):
        keys.add(await closure(database, Keys(links={link_id}), configs))
        state = await _load(database, configs, keys)
        link = state.links.get(link_id)
        if link is None:
            return None
        records = dict(state.records)
        around = _around(state, link)
        try:
            return Rehearsal(
                now=state.now,
                link=link,
                next=_tried(state, link),
                after=state.links[link_id],
                records=records,
                around=around,
            )
        except MissingLockError as error:
            keys.addresses.add(error.key)
    raise AssertionError(f"deciding about {link_id} asks for ever more keys")


async def _load(database: Database, configs: Configs, keys: Keys) -> Slice:
    scanned = frozenset(row["account"] for row in await database.fetch(_SCANNED))
    links = await database.fetch(_LINKS, sorted(keys.links))
    contacts = sorted(keys.contacts)
    records = await database.fetch(_CONTACTS, [key[0] for key in contacts], [key[1] for key in contacts])
    return await load(database, keys, configs, links, records, scanned)


def _around(state: Slice, link: Link) -> tuple[Link, ...]:
    config = state.configs.get(link.connection)
    if config is None:
        return ()
    records = [state.record(config, side, link.half(side)) for side in SIDES]
    found = {other.id: other for record in records if record is not None for other in state.links_of(record)}
    found.pop(link.id, None)
    return tuple(found.values())


def _tried(state: Slice, link: Link) -> NextTold:
    config = state.configs.get(link.connection)
    if config is None or config.removed:
        return _nothing(link, "the connection isn't in force any more: nothing is decided")
    if link.status == "ended":
        return _nothing(link, "the link has ended: nothing is decided about it any more")
    try:
        take(state, Reconsider(link=link.id))
    except OlderConfigError:
        return _nothing(link, "it was decided under a newer version of the connection than is in force")
    after = state.links[link.id]
    decided = _decided(state.decisions, link.id, after.alias_of)
    sent = [_planned(command) for command, _ in state.commands]
    if decided is None:
        return NextTold(outcome="nothing", reason="nothing is to be decided", commands=tuple(sent), status=after.status)
    return NextTold(outcome=decided.outcome, reason=decided.reason, commands=tuple(sent), status=after.status)


def _decided(decisions: Sequence[Decision], link: str, alias: str | None) -> Decision | None:
    """Return the last decision about the link, or about the one it would become part of."""
    own = [each for each in decisions if each.link == link]
    joined = [each for each in decisions if each.link == alias]
    return next(reversed(joined or own), None)


def _nothing(link: Link, reason: str) -> NextTold:
    return NextTold(outcome="nothing", reason=reason, commands=(), status=link.status)


def _planned(command: Create | Update | Tag | Untag | Look | Find) -> Planned:
    account = account_of(command)
    match command:
        case Create():
            return Planned(account=account, kind="create", contact=None, changes=_changes(command.fields, {}))
        case Update():
            changes = _changes(command.fields, command.expected)
            return Planned(account=account, kind="update", contact=command.contact_id, changes=changes)
        case Tag():
            return Planned(account=account, kind="tag", contact=command.contact_id, tag=command.tag)
        case Untag():
            return Planned(account=account, kind="untag", contact=command.contact_id, tag=command.tag)
        case Look():
            return Planned(account=account, kind="look", contact=command.contact_id)
        case Find():
            return Planned(account=account, kind="find", contact=None)


def _changes(fields: Fields, expected: Fields) -> tuple[Change, ...]:
    return tuple(
        Change(field=path, before=values_told(expected.get(path, ())), after=values_told(values))
        for path, values in fields.items()
    )
