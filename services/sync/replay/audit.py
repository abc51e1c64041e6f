"""The audit: history's inputs through today's code, in the journal's order, beside what was decided then (P17).

Pure: it is given each transaction with its messages, and writes nothing anywhere.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from services.contracts.app import Manifest
from services.contracts.contact import SIDES
from services.sync.configs import Configs, Told, configs_of
from services.sync.core.issued import Issued
from services.sync.core.take import Input, Reconsider, Restored, Sighted
from services.sync.replay.difference import Difference, Kind, Outcome, compared, outcome_of
from services.sync.replay.effect import effect
from services.sync.replay.inputs import Due, Entry, Given, Message, Retired, Sight
from services.sync.replay.world import World
from services.sync.transact import Cause

MOST_TOLD = 1_000
"""Differences that are kept to be told; all are counted."""


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """A message that can't be taken in again."""

    message: Message
    unread: str = ""
    """Why today's program can't read it; empty: it isn't there any more, since a person was forgotten."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction as it was."""

    entry: Entry
    outcomes: tuple[Outcome, ...]
    """What was decided, in order."""
    messages: tuple[Cause | Missing, ...] = ()
    """The content of the entry's messages, in order."""


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which differences are of interest; everything is decided again all the same."""

    connection: str | None = None
    account: str | None = None
    contact: str | None = None
    type: str | None = None
    """The input's type, such as contact.changed or reconsider."""
    since: int | None = None
    """Microseconds since 1970."""
    until: int | None = None


@dataclass
class Audit:
    """Takes history's transactions one after the other; counts and keeps what differs."""

    manifests: Mapping[str, Manifest]
    """By app."""
    told: dict[str, Told]
    """Fingerprint -> what the registry said; filled by whoever reads."""
    world: World = field(default_factory=World)
    filters: Filters = field(default_factory=Filters)
    transactions: int = 0
    messages: int = 0
    decisions: int = 0
    at: int = 0
    """Microseconds since 1970: how far it has come."""
    number: int = 0
    """The highest number taken."""
    counts: Counter[Kind] = field(default_factory=Counter)
    writes: int = 0
    """Writes that today's code decides and history doesn't have."""
    forgotten: int = 0
    """Messages that are no longer there, of people who were forgotten."""
    differences: list[Difference] = field(default_factory=list)
    aside: set[str] = field(default_factory=set)
    """Links of people who were forgotten: what was decided about them can't be told any more."""
    links: set[str] = field(default_factory=set)
    """Links about which something differs."""
    _latest: Configs | None = None
    _compiled: dict[tuple[str, int, bool], Configs] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing differs."""
        return not self.counts and not self.writes

    def take(self, past: Past) -> None:
        """Decide about a transaction's inputs again, and compare. Raises `MissingAppError`."""
        entry = past.entry
        self.transactions += 1
        self.number, self.at = max(self.number, entry.number), entry.now
        given = [item for item in entry.body.items if isinstance(item, Given)]
        if given:
            for each in given:
                self.world.give(each)
            return
        causes = self._causes(past)
        partial = len(causes) < len(entry.body.items)
        now: tuple[Outcome, ...] = ()
        told = ""
        if causes:
            configs = self._configs(entry)
            try:
                journal, state, before = self.world.fold(
                    causes, configs, now=entry.now, active=entry.body.active, seqs=entry.body.seqs
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, today's code can't take in what was taken in
                self._differs(
                    Difference(
                        kind="error", number=entry.number, at=entry.now, now=type(error).__name__, was="taken in"
                    )
                )
                return
            now = tuple(outcome_of(row) for row in journal)
            told = effect(before, state)
        self.decisions += len(now)
        self._compare(past, now, told, partial=partial)

    def _compare(self, past: Past, now: tuple[Outcome, ...], told: str, *, partial: bool) -> None:
        entry = past.entry
        if past.outcomes == now and told == entry.effect:
            return
        if partial:
            self.aside.update(each.link for each in past.outcomes if each.link)
        was = [each for each in past.outcomes if not self._aside(each, partial=partial)]
        now = tuple(each for each in now if not self._aside(each, partial=partial))
        found = compared(entry.number, entry.now, was, now)
        self.writes += len(_written(now) - _written(was))
        for difference in found:
            self._differs(difference)
        if not found and told != entry.effect and not (partial or self._touches_aside(past)):
            about = next((each for each in (*now, *was) if each.link), None)
            self._differs(
                Difference(
                    kind="effect",
                    number=entry.number,
                    at=entry.now,
                    input=about.input if about else "",
                    cause=about.cause if about else "",
                    link=about.link if about else "",
                    connection=about.connection if about else "",
                    contact=about.contact if about else None,
                    was="the same decision",
                    now="with other values stored or sent",
                )
            )

    def _aside(self, one: Outcome, *, partial: bool) -> bool:
        return one.link in self.aside or (partial and not one.link)

    def _touches_aside(self, past: Past) -> bool:
        if not self.forgotten:
            return False
        links = {item.link for item in past.entry.body.items if isinstance(item, Due | Retired)}
        links |= {each.link for each in past.outcomes if each.link}
        return any(link in self.aside or self.world.link(link) is None for link in links)

    def differs(self, difference: Difference) -> None:
        """Count a difference that was found elsewhere, such as in what is known in the end."""
        self._differs(difference)

    def _differs(self, difference: Difference) -> None:
        if not self._wanted(difference):
            return
        self.counts[difference.kind] += 1
        if difference.link:
            self.links.add(difference.link)
        if len(self.differences) < MOST_TOLD:
            self.differences.append(difference)

    def _wanted(self, one: Difference) -> bool:
        want = self.filters
        if not (want.since is None or one.at >= want.since) or not (want.until is None or one.at < want.until):
            return False
        if want.connection is not None and one.connection != want.connection:
            return False
        if want.type is not None and one.input != want.type:
            return False
        if want.account is None and want.contact is None:
            return True
        about = {one.contact} if one.contact else set()
        link = self.world.link(one.link) if one.link else None
        config = None if link is None or self._latest is None else self._latest.connections.get(link.connection)
        if link is not None and config is not None:
            halves = ((config.account(side), link.half(side).contact_id) for side in SIDES)
            about |= {(account, contact) for account, contact in halves if contact is not None}
        return any(want.account in (None, account) and want.contact in (None, contact) for account, contact in about)

    def _configs(self, entry: Entry) -> Configs:
        key = (entry.config, entry.body.incarnation, entry.body.catching_up)
        if key not in self._compiled:
            told = self.told[entry.config]
            self._compiled[key] = configs_of(
                told, self.manifests, incarnation=entry.body.incarnation, catching_up=entry.body.catching_up
            )
        self._latest = self._compiled[key]
        return self._latest

    def _causes(self, past: Past) -> list[Cause]:
        messages = iter(past.messages)
        causes: list[Cause] = []
        for item in past.entry.body.items:
            match item:
                case Message():
                    self.messages += 1
                    found = next(messages)
                    if isinstance(found, Missing) and found.unread:
                        unread = Difference(
                            kind="error",
                            number=past.entry.number,
                            at=past.entry.now,
                            cause=found.message.id,
                            was="read",
                            now=found.unread,
                        )
                        self.differs(unread)
                    elif isinstance(found, Missing):
                        self.forgotten += 1
                    else:
                        causes.append(found)
                case Due(link=link):
                    causes.append(_cause(Reconsider(link=link), "reconsider", link))
                case Retired(link=link):
                    causes.append(_cause(Restored(link=link), "restored", link))
                case Sight(account=account, contact_id=contact_id, look=look):
                    sighted = Sighted(account=account, contact_id=contact_id, look=look)
                    causes.append(_cause(sighted, "sighted", contact_id))
                case Given():
                    continue
        return causes


def _cause(item: Input, type: str, id: str) -> Cause:
    return Cause(item=item, type=type, id=id)


def _written(outcomes: Sequence[Outcome]) -> set[tuple[str, Issued]]:
    return {(each.link, write) for each in outcomes for write in each.writes}
