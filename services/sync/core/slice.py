"""The slice of sync's state that one transaction works on: loaded under locks, changed in memory, saved whole."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from services.contracts.app import Manifest
from services.contracts.commands import Command
from services.contracts.contact import SIDES, Side
from services.contracts.envelope import derived
from services.sync.core.issued import issued
from services.sync.core.mapping import Config
from services.sync.core.state import Decision, Half, Link, Record, Wait, WaitReason, Window, other

_NUMBERS = 1_000_000_000
"""Looks at one contact, or finds for one link, in one incarnation."""
NEW = 1 << 62
"""From here on a link's place in the order of first sight isn't the lasting one, which storing gives."""
ContactKey = tuple[str, str]
"""(account, contact id)."""


class MissingLockError(Exception):
    """Deciding needs the lock `key`, of which the inputs don't tell: nothing was written."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class OlderConfigError(Exception):
    """A link was decided under a newer config than the one at hand: read the connections again."""


@dataclass(kw_only=True)
class Slice:
    """Everything that the inputs at hand may touch. Nothing outside it is read or written."""

    now: int
    """Microseconds since 1970 on the database's clock."""
    incarnation: int
    configs: dict[str, Config]
    manifests: dict[str, Manifest]
    """By account."""
    scanned: frozenset[str]
    """Accounts whose first scan has passed."""
    catching_up: bool = False
    """The database was restored from a copy and knows less than the log: nothing is decided, only recorded (P12)."""
    records: dict[ContactKey, Record] = field(default_factory=dict)
    objects: dict[ContactKey, msgspec.Raw] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    reservations: dict[ContactKey, str] = field(default_factory=dict)
    """(account, address) -> link that holds it."""
    by_contact: dict[tuple[str, Side, str], str] = field(default_factory=dict)
    """(connection, side, contact id) -> its link that hasn't ended."""
    windows: dict[str, dict[int, Window]] = field(default_factory=dict)
    """Connection -> its windows of deletions by their opening; only those under lock."""
    active: dict[str, int] = field(default_factory=dict)
    """Connection -> links that are active now; of those under lock."""
    dirty_windows: set[tuple[str, int]] = field(default_factory=set)
    commands: list[tuple[Command, str]] = field(default_factory=list)
    """Commands with the app they go to."""
    decisions: list[Decision] = field(default_factory=list)
    freed: set[str] = field(default_factory=set)
    """Addresses, links and contacts for which others may be waiting."""
    dirty_records: set[ContactKey] = field(default_factory=set)
    readdressed: set[ContactKey] = field(default_factory=set)
    """Of the dirty records those whose addresses aren't the ones that were loaded."""
    dirty_links: set[str] = field(default_factory=set)
    sightings: int = 0
    changes: int = 0
    """How often a record was changed."""

    def load_link(self, link: Link) -> None:
        """Take in a stored link."""
        self.links[link.id] = link
        self._index(link)

    def _index(self, link: Link) -> None:
        if link.status == "ended":
            return
        for side in SIDES:
            contact_id = link.half(side).contact_id
            if contact_id is not None:
                self.by_contact[link.connection, side, contact_id] = link.id

    def _forget(self, link: Link) -> None:
        for side in SIDES:
            key = (link.connection, side, link.half(side).contact_id or "")
            if self.by_contact.get(key) == link.id:
                del self.by_contact[key]

    def put_link(self, link: Link) -> Link:
        """Change a link; who waits for one that ends, or that is set aside, is woken."""
        before = self.links.get(link.id)
        if before == link:
            return link
        self.links[link.id] = link
        if before is not None:
            self._forget(before)
        self._index(link)
        self.dirty_links.add(link.id)
        ended = link.status == "ended" and (before is None or before.status != "ended")
        settled = before is not None and before.unsettled and not link.unsettled
        # A half-link comes before later ones with its address only as long as it may get a partner (C4).
        aside = before is not None and before.status == "pairing" and link.status in ("outside", "duplicate")
        if ended or settled or aside:
            self.freed.add(link.id)
        if ended:
            self.release(link)
        return link

    def put_window(self, window: Window) -> None:
        """Change a window of deletions."""
        self.windows.setdefault(window.connection, {})[window.opened] = window
        self.dirty_windows.add((window.connection, window.opened))

    def put_record(self, record: Record) -> None:
        """Change a record; who waits for an address it no longer has is woken."""
        key = (record.account, record.contact_id)
        before = self.records.get(key)
        if before == record:
            return
        self.records[key] = record
        self.dirty_records.add(key)
        self.changes += 1
        if before is None or before.addresses != record.addresses:
            self.readdressed.add(key)
        if before is None:
            return
        if before.looking is not None and record.looking is None:
            self.freed.add(record.contact_id)
        if before.addresses != record.addresses or before.live != record.live:
            self.freed.update(before.addresses, record.addresses)
            self.freed.update(link.id for link in self.links_of(record))

    def record(self, config: Config, side: Side, half: Half) -> Record | None:
        """Return the record of that half's contact."""
        if half.contact_id is None:
            return None
        return self.records.get((config.account(side), half.contact_id))

    def links_of(self, record: Record) -> list[Link]:
        """Return the links of a contact in all connections, those that haven't ended."""
        found = []
        for config in self.configs.values():
            for side in SIDES:
                link_id = self.by_contact.get((config.connection.name, side, record.contact_id))
                if link_id is not None and config.account(side) == record.account:
                    found.append(self.links[link_id])
        return found

    def link_of(self, config: Config, side: Side, contact_id: str) -> Link | None:
        """Return the contact's link in that connection."""
        link_id = self.by_contact.get((config.connection.name, side, contact_id))
        return None if link_id is None else self.links[link_id]

    def sharing(self, account: str, addresses: Iterable[str], *, but: str | None = None) -> list[Record]:
        """Return the live contacts of an account with one of the addresses, in the addresses' order."""
        found: dict[str, Record] = {}
        for address in addresses:
            for record in self.records.values():
                if record.account == account and record.live and address in record.addresses:
                    found.setdefault(record.contact_id, record)
        found.pop(but or "", None)
        return list(found.values())

    def heir(self, record: Record) -> list[Record]:
        """Return the contact that the app says a deleted one was merged into, if it is there or may be."""
        passed: set[str] = set()
        into: Record | None = record
        while into is not None and into.deleted and into.merged_into is not None and into.contact_id not in passed:
            passed.add(into.contact_id)
            into = self.records.get((record.account, into.merged_into))
        there = into is not None and not into.deleted and into.contact_id not in passed
        return [into] if into is not None and there else []

    def absorbed(self, record: Record) -> list[Record]:
        """Return the contacts that the app says were merged into this one, unless they turned out to be there."""
        told = [each for each in self.records.values() if each.merged_into == record.contact_id]
        return [each for each in told if each.account == record.account and not (each.live and each.looking is None)]

    def bereft(self, config: Config, side: Side, record: Record) -> list[Link]:
        """Return the tombstones whose deleted contact on that side, or its partner, had one of these addresses."""
        found = []
        for link in self.links.values():
            if link.connection != config.connection.name or link.status != "tombstone":
                continue
            lost = self.record(config, side, link.half(side))
            kept = self.record(config, other(side), link.half(other(side)))
            had = {*(lost.addresses if lost else ()), *(kept.addresses if kept else ())}
            if lost is not None and lost.deleted and not had.isdisjoint(record.addresses):
                found.append(link)
        return sorted(found, key=lambda link: link.seq or 0)

    def first_sight(self, config: Config, side: Side, contact_id: str) -> Link:
        """Return the contact's link in that connection, a new half-link if it has none."""
        link = self.link_of(config, side, contact_id)
        if link is not None:
            return link
        link_id = derived("link", config.connection.name, side, contact_id)
        known = self.links.get(link_id)
        if known is not None and (known.status != "ended" or self._marked(config, side, known)):
            # Born from this contact, it has moved on to another one since (a merge), or a person parted it from a
            # contact that may carry its id, and would be taken for what a create makes: this is a second life.
            link_id, known = derived("link", config.connection.name, side, contact_id, self.now), None
        fresh = Link(
            id=link_id,
            connection=config.connection.name,
            direction=config.connection.direction,
            config_version=config.version,
            seq=self.sighted() if known is None else known.seq,
        ).with_half(side, Half(contact_id=contact_id))
        if known is not None:
            fresh = _versions_kept(fresh, known)
        return self.put_link(fresh)

    def _marked(self, config: Config, side: Side, link: Link) -> bool:
        """Whether the ended link was a pair itself whose other contact is still there."""
        partner = self.record(config, other(side), link.half(other(side)))
        return link.alias_of is None and partner is not None and not partner.deleted

    def sighted(self) -> int:
        """Return a place after every stored link, in the order of sight; storing gives the lasting one."""
        self.sightings += 1
        return NEW + self.sightings

    def reserve(self, link: Link, accounts: tuple[str, ...], addresses: tuple[str, ...]) -> str | None:
        """Reserve all addresses in all accounts for the link, or none; return the address that another holds.

        What it held beside these goes: a changed address is free.
        """
        wanted = [(account, address) for address in addresses for account in accounts]
        taken = next((key[1] for key in wanted if self.reservations.get(key, link.id) != link.id), None)
        if taken is not None:
            self.release(link)
            return taken
        for key in [key for key, holder in self.reservations.items() if holder == link.id and key not in wanted]:
            del self.reservations[key]
            self.freed.add(key[1])
        for key in wanted:
            self.reservations[key] = link.id
        return None

    def release(self, link: Link) -> None:
        """Give the link's reservations back and wake who waits for them."""
        mine = [key for key, holder in self.reservations.items() if holder == link.id]
        for key in mine:
            del self.reservations[key]
            self.freed.add(key[1])

    def waiting(self, link: Link, reason: WaitReason, on: str = "", *, until: int | None = None) -> Link:
        """Return the link waiting; the clock of a wait that goes on isn't reset."""
        since = self.now
        if link.wait is not None and (link.wait.reason, link.wait.on) == (reason, on):
            since = link.wait.since
        return replace(link, wait=Wait(reason=reason, on=on, since=since), reconsider_at=until)

    def numbered(self, count: int) -> int:
        """Return the number of the next look or find after `count` of them.

        A database restored from a copy has forgotten some: each incarnation has numbers of its own (P12).
        """
        return max(count, (self.incarnation - 1) * _NUMBERS) + 1

    def object(self, record: Record) -> msgspec.Raw:
        """Return the app's own object as last observed."""
        return self.objects.get((record.account, record.contact_id), msgspec.Raw(b"null"))

    def put_object(self, record: Record, raw: msgspec.Raw) -> None:
        """Change the app's own object of a contact."""
        key = (record.account, record.contact_id)
        if self.objects.get(key) != raw:
            self.objects[key] = raw
            self.dirty_records.add(key)

    def decide(self, before: Link, link: Link, config: Config, outcome: str, reason: str, *lines: str) -> Link:
        """Store the link as decided under the config, and journal the decision."""
        return self.note(
            before,
            replace(link, config_version=max(config.version, link.config_version)),
            config,
            outcome,
            reason,
            *lines,
        )

    def note(self, before: Link, link: Link, config: Config, outcome: str, reason: str, *lines: str) -> Link:
        """Store what a receipt made of the link and journal it: under the config of before, nothing is decided yet."""
        self.put_link(link)
        self.decisions.append(
            Decision(
                link=link.id,
                connection=link.connection,
                config_version=config.version,
                outcome=outcome,
                reason=reason,
                lines=lines,
                changed=replace(link, reconsider_at=None) != replace(before, reconsider_at=None),
                writes=issued(before, link),
            )
        )
        return link


def _versions_kept(fresh: Link, known: Link) -> Link:
    """A link that comes back to life goes on counting its versions: the ledger never sees one twice."""
    for side in SIDES:
        old = known.half(side)
        half = replace(fresh.half(side), issued=old.issued, settled=old.settled, pending=old.pending)
        fresh = fresh.with_half(side, half)
    return replace(fresh, finds=known.finds)


def clear(link: Link) -> Link:
    """Return the link waiting for nothing."""
    return replace(link, wait=None, reconsider_at=None)
