"""What has to be true of every command at the moment it is issued (P1, P8, P9, P11, P12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.contracts.app import TRASH
from services.contracts.commands import Command, Create, Tag, Update, Version, Write
from services.contracts.contact import SIDES, Side
from services.contracts.receipts import Receipt, Unknown
from services.sync.core.state import Link, other
from tests.simulation.account import PATHS, SECOND

if TYPE_CHECKING:
    from tests.simulation.sync import Sync

MERGE_WINDOW = 2 * SECOND
"""What the accounts' manifests say, by default (P13)."""


@dataclass(frozen=True)
class Unsettled:
    """A write without a receipt, and the fields that it is about, as a person calls them."""

    version: Version
    names: frozenset[str]


@dataclass(frozen=True)
class Pair:
    """What a link was."""

    contacts: frozenset[tuple[str, str | None]]
    direction: str
    unsettled: frozenset[tuple[Side, Version]]


@dataclass
class Watch:
    """The writes that were issued, seen from outside the core."""

    open: dict[tuple[str, str], Unsettled] = field(default_factory=dict)
    last: dict[tuple[str, str], Version] = field(default_factory=dict)
    gone: dict[tuple[str, str], int] = field(default_factory=dict)
    """Contact -> since when sync knows that it is deleted."""
    pairs: dict[str, Pair] = field(default_factory=dict)
    """Link -> what it was when sync had taken in what came before."""

    def answered(self, receipt: Receipt) -> None:
        """A receipt is about to be folded."""
        key = receipt.aim.link, receipt.aim.side
        unsettled = self.open.get(key)
        settles = unsettled is not None and unsettled.version == receipt.aim.version
        if settles and not isinstance(receipt.outcome, Unknown):
            del self.open[key]

    def took(self, world: Sync) -> list[str]:
        """Return what is wrong with how sync took something in."""
        for key, record in world.state.records.items():
            if record.deleted:
                self.gone.setdefault(key, world.now)
            else:
                self.gone.pop(key, None)
        before, self.pairs = self.pairs, {link.id: _pair(world, link) for link in world.state.links.values()}
        return [line for key, pair in before.items() for line in self._changed(world, key, pair)]

    def _changed(self, world: Sync, key: str, before: Pair) -> list[str]:
        """A pair stays one while both are there (C1); a direction waits until everything is settled (P11)."""
        wrong, after = [], self.pairs[key]
        if before.direction != after.direction and before.unsettled & after.unsettled:
            wrong.append(f"P11: {key[:8]} takes a new direction while {sorted(before.unsettled)} has no receipt")
        there = all(contact in world.state.records and contact not in self.gone for contact in before.contacts)
        by_hand = bool(before.contacts & world.by_hand) or world.hands
        if len(before.contacts) == len(SIDES) and before.contacts != after.contacts and there and not by_hand:
            wrong.append(f"C1: {key[:8]} parts with {sorted(before.contacts - after.contacts)}, who are both there")
        return wrong

    def issued(self, world: Sync, command: Command) -> list[str]:
        """Return what is wrong with a command that sync has just issued."""
        if not isinstance(command, Write):
            return []
        aim = command.aim
        key, told = (aim.link, aim.side), f"{type(command).__name__} {aim.link[:8]}/{aim.side}/{aim.version.n}"
        unsettled = self.open.get(key)
        if unsettled is not None and unsettled.version == aim.version:
            return []  # sent again
        wrong = [] if unsettled is None else [f"P1: {told} is issued while {unsettled.version.n} has no receipt"]
        if key in self.last and aim.version <= self.last[key]:
            wrong.append(f"P12: {told} is issued after {self.last[key].n}")
        across = self.open.get((aim.link, other(aim.side)))
        names = _names(command)
        if across is not None and names & across.names:
            wrong.append(f"P1: {told} decides {sorted(names & across.names)} while its other side's write is under way")
        self.open[key] = Unsettled(aim.version, names)
        self.last[key] = aim.version
        if isinstance(command, Tag) and command.tag == TRASH:
            partner = world.state.links[aim.link].half(other(aim.side)).contact_id or ""
            since = self.gone.get((world.account(world.state.links[aim.link], other(aim.side)), partner))
            if since is None or world.now - since < MERGE_WINDOW:
                wrong.append(f"P13: {told} is issued before anybody could see whether it was a merge")
        return [*wrong, *_untimely(world, command, told), *_blind(world, command, told)]


def _pair(world: Sync, link: Link) -> Pair:
    halves = () if link.status == "ended" else SIDES
    contacts = {(world.account(link, side), link.half(side).contact_id) for side in halves}
    pending = [(side, link.half(side).pending) for side in SIDES]
    return Pair(
        contacts=frozenset(contact for contact in contacts if contact[1] is not None),
        direction=link.direction,
        unsettled=frozenset((side, write.version) for side, write in pending if write is not None),
    )


def _names(command: Write) -> frozenset[str]:
    if not isinstance(command, Create | Update):
        return frozenset()
    return frozenset(name for name, path in PATHS[command.aim.account].items() if path in command.fields)


def _blind(world: Sync, command: Write, told: str) -> list[str]:
    """A write says what it was decided on: the version, and what its fields held (P14)."""
    if isinstance(command, Create):
        return []
    record = world.state.records[command.aim.account, command.contact_id]
    contact = record.contact
    if contact is None or record.deleted:
        return [f"P14: {told} is decided on nothing"]
    seen = {path: contact.fields.get(path, ()) for path in command.fields} if isinstance(command, Update) else {}
    same = not isinstance(command, Update) or command.expected == seen
    return [] if same and command.guard == contact.guard else [f"P14: {told} expects what wasn't there"]


def _untimely(world: Sync, command: Write, told: str) -> list[str]:
    aim, wrong = command.aim, []
    link = world.state.links[aim.link]
    if aim.config_version < link.config_version:
        wrong.append(f"P11: {told} is issued under {aim.config_version}, after {link.config_version}")
    if not world.behind and aim.connection in world.paused:
        wrong.append(f"P11: {told} is issued while its connection is paused")
    if not world.behind and aim.config_version != world.version:
        wrong.append(f"P11: {told} is issued under the config {aim.config_version}")
    for side in SIDES:
        record = world.state.records.get((world.account(link, side), link.half(side).contact_id or ""))
        if record is not None and record.looking is not None:
            wrong.append(f"P9: {told} is issued while {record.contact_id} is being looked at")
    if isinstance(command, Create):
        unread = {world.account(link, side) for side in SIDES} - world.state.scanned
        if unread:
            wrong.append(f"P7: {told} is issued before the first scan of {sorted(unread)} has passed")
        known = world.state.sharing(aim.account, command.addresses)
        if known:
            wrong.append(f"P8: {told} for {command.addresses} is issued although {known[0].contact_id} is known")
    return wrong
