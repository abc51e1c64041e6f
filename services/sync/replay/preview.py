"""The preview: what people did, as history has it, under other rules, in a world of its own (G5).

History is decided again beside it, as it was, which tells our own writes from people's: their echoes are left out.
Pure: it is given each transaction with its messages, and writes nothing anywhere.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from services.contracts.commands import Create, Find, Look, Tag, Untag, Update, Write
from services.contracts.contact import Contact, Order, Side, Values
from services.contracts.events import ContactChanged, ContactDeleted, SubscriptionChanged
from services.contracts.receipts import Receipt, Stale, Unchanged, Written
from services.sync.configs import Configs
from services.sync.core.mapping import normal
from services.sync.core.slice import ContactKey, Slice
from services.sync.core.take import Input, Reconsider
from services.sync.journal import Journalled
from services.sync.plan.course import Course
from services.sync.plan.obedient import named_as
from services.sync.plan.trial import Trial
from services.sync.plan.would import Kind
from services.sync.replay.audit import Audit, Missing, Past
from services.sync.replay.inputs import Given, Scanned
from services.sync.replay.world import World
from services.sync.transact import Cause

_MOST = 32
"""Writes of one field of one contact whose echo may be outstanding."""
_KINDS: Mapping[type[Write], Kind] = {Create: "create", Update: "update", Tag: "tag", Untag: "untag"}


class Witness(World):
    """History's own world: it remembers what was sent in the transaction that was taken last."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Write] = []

    def fold(
        self,
        causes: Sequence[Cause],
        configs: Configs,
        *,
        now: int,
        active: Mapping[str, int] | None = None,
        seqs: Mapping[str, int] | None = None,
    ) -> tuple[list[Journalled], Slice, dict[ContactKey, str]]:
        """Decide as it was decided."""
        found = super().fold(causes, configs, now=now, active=active, seqs=seqs)
        self.sent += [command for command, _ in found[1].commands if not isinstance(command, Look | Find)]
        return found


class Preview:
    """Takes history's transactions one after the other: as they were, and under the rules that are previewed."""

    def __init__(self, wanted: Configs, audit: Audit) -> None:
        self.witness = Witness()
        self.audit = audit
        self.audit.world = self.witness
        self.trial = Trial()
        self.would: Counter[tuple[str, Kind]] = Counter()
        """(connection, kind) -> writes under the rules that are previewed."""
        self.happened: Counter[tuple[str, Kind]] = Counter()
        """The same of the writes that were sent."""
        self.observations = 0
        self.echoes = 0
        """Observations that showed nothing but our own writes."""
        self.words = 0
        """What people said by hand (links, holds): left out."""
        self.lost = 0
        """Observations of contacts that wouldn't have been made."""
        self.at = 0
        """Microseconds since 1970: the last observation."""
        # A pause is no rule: what it would have led to is asked as if there were none.
        running = {name: replace(config, paused=False) for name, config in wanted.connections.items()}
        self._wanted = dataclasses.replace(wanted, connections=running, catching_up=False)
        self._course: Course | None = None
        self._written: defaultdict[ContactKey, dict[str, list[tuple[str, ...]]]] = defaultdict(dict)
        """Contact -> field -> values that we wrote, in comparable form, whose echo hasn't been seen."""
        self._tags: defaultdict[ContactKey, list[tuple[str, bool]]] = defaultdict(list)
        self._creates: dict[tuple[str, Side], dict[str, Values]] = {}
        self.made: dict[ContactKey, tuple[str, Side]] = {}
        """Contacts that we made -> the link and the side that they were made for."""

    @property
    def course(self) -> Course:
        """The previewed world as it goes on."""
        if self._course is None:
            self._course = Course(self.trial, self._wanted, now=self.at, noted=self._note)
        return self._course

    def take(self, past: Past) -> None:
        """Take one transaction of history."""
        self.at = past.entry.now
        self.course.until(past.entry.now)
        for item in past.entry.body.items:
            if isinstance(item, Given):
                self._given(item)
        seen = [self._observed(cause.item) for cause in past.messages if not isinstance(cause, Missing)]
        self.witness.sent.clear()
        self.audit.take(past)
        for write in self.witness.sent:
            self.happened[write.aim.connection, _KINDS[type(write)]] += 1
            self._remember(write)
        for each in seen:
            if each is not None:
                self.course.take(each)

    def end(self, moment: int) -> None:
        """History is at its end: what was due by that moment comes."""
        self.course.until(moment)

    def made_as(self) -> dict[ContactKey, ContactKey]:
        """Return which contact was really made where the preview makes one: the preview's -> history's."""
        return {(key[0], named_as(*place)): key for key, place in self.made.items()}

    def _note(self, write: Write, _: Trial) -> None:
        self.would[write.aim.connection, _KINDS[type(write)]] += 1

    def _given(self, given: Given) -> None:
        scanned = [row.account for row in given.rows if isinstance(row, Scanned)]
        if not scanned:
            self.words += 1
        self.trial.scanned.update(scanned)
        for link in list(self.trial.links()) if scanned else ():
            if link.wait is not None and link.wait.reason == "scan":
                self.course.take(Reconsider(link=link.id))

    def _remember(self, write: Write) -> None:
        account = write.aim.account
        match write:
            case Create():
                self._creates[write.aim.link, write.aim.side] = dict(write.fields)
            case Update():
                for path, values in write.fields.items():
                    known = self._written[account, write.contact_id].setdefault(path, [])
                    known.append(self._comparable(account, path, values))
                    del known[:-_MOST]
            case Tag() | Untag():
                self._tags[account, write.contact_id].append((write.tag, isinstance(write, Tag)))

    def _observed(self, item: Input) -> Input | None:
        match item:
            case ContactChanged():
                return self._changed(item)
            case ContactDeleted():
                key = self._place((item.account, item.contact_id), None)
                record = None if key is None else self.trial.record(*key)
                if key is None or record is None:
                    return None
                self.observations += 1
                return replace(item, contact_id=key[1], order=_next(item.order, record.order), look=None)
            case SubscriptionChanged():
                key = self._place((item.account, item.contact_id), None)
                if key is None or self.trial.record(*key) is None:
                    return None
                self.observations += 1
                return replace(item, contact_id=key[1])
            case Receipt():
                return self._received(item)
            case _:
                return None  # touches and looks say nothing by themselves, finds were answered under the rules of then

    def _received(self, receipt: Receipt) -> Input | None:
        outcome = receipt.outcome
        place = (receipt.aim.link, receipt.aim.side)
        if not isinstance(outcome, Written | Unchanged | Stale) or outcome.seen is None:
            if isinstance(outcome, Written) and place in self._creates:
                self.made.setdefault((receipt.aim.account, outcome.contact_id), place)
            return None
        seen = outcome.seen
        key = (receipt.aim.account, seen.contact_id)
        if self.witness.record(*key) is None and place in self._creates:
            self.made.setdefault(key, place)
        return self._changed(
            ContactChanged(
                account=key[0],
                contact_id=key[1],
                order=seen.order,
                origin="feed",
                contact=seen.contact,
                object=seen.object,
            )
        )

    def _changed(self, event: ContactChanged) -> Input | None:
        """Return the observation as it would have been, without our own writes; None if nothing else is in it."""
        if event.account not in self.witness.scanned and event.account not in self._wanted.manifests:
            return None
        real = (event.account, event.contact_id)
        key = self._place(real, event.contact.mark)
        if key is None:
            self.lost += 1
            return None
        before = self.witness.record(*real)
        known = self.trial.record(*key)
        if known is None or known.contact is None:
            if real in self.made:
                self.lost += 1
                return None
            self.observations += 1
            return replace(event, look=None, scan=None)
        was = self._was(real, before.contact if before is not None else None)
        fields = {
            path: values
            for path, values in event.contact.fields.items()
            if values != was.fields.get(path, ()) and not self._own(real, path, values)
        }
        tags = self._tags_of(real, was, event.contact, known.contact)
        news = fields or tags != known.contact.tags or event.contact.unsubscribed != was.unsubscribed
        if not news and event.subscriptions is None and not known.deleted:
            self.echoes += 1
            return None
        self.observations += 1
        contact = replace(
            known.contact,
            fields={**known.contact.fields, **fields},
            tags=tags,
            unsubscribed=event.contact.unsubscribed,
            guard=event.contact.guard,
        )
        order = _next(event.order, known.order)
        return replace(event, contact_id=key[1], order=order, contact=contact, look=None, scan=None, prior={})

    def _was(self, real: ContactKey, before: Contact | None) -> Contact:
        if before is not None:
            return before
        place = self.made.get(real)
        return Contact(fields={} if place is None else self._creates.get(place, {}))

    def _place(self, real: ContactKey, mark: str | None) -> ContactKey | None:
        """Return the contact of the preview that this one of history is; None if it wouldn't have been made."""
        if real not in self.made and mark is not None and self.witness.record(*real) is None:
            for side in ("left", "right"):
                config = self._of_mark(mark, side)
                if config == real[0]:
                    self.made[real] = (mark, side)
        place = self.made.get(real)
        if place is None:
            return real
        named = (real[0], named_as(*place))
        return named if self.trial.record(*named) is not None else None

    def _of_mark(self, mark: str, side: Side) -> str | None:
        """Return the account that a contact was made in for that link and side, if we made one."""
        link = self.witness.link(mark)
        if link is None or (mark, side) not in self._creates:
            return None
        config = self._wanted.connections.get(link.connection)
        return None if config is None else config.account(side)

    def _own(self, real: ContactKey, path: str, values: Values) -> bool:
        known = self._written.get(real, {}).get(path, [])
        told = self._comparable(real[0], path, values)
        if told not in known:
            return False
        del known[: known.index(told) + 1]
        return True

    def _tags_of(self, real: ContactKey, was: Contact, now: Contact, known: Contact) -> tuple[str, ...]:
        """Return the preview's tags with what a person added or removed since."""
        found = set(known.tags)
        ours = self._tags.get(real, [])
        for tag in set(now.tags) ^ set(was.tags):
            done = (tag, tag in now.tags)
            if done in ours:
                ours.remove(done)
            elif done[1]:
                found.add(tag)
            else:
                found.discard(tag)
        return tuple(sorted(found))

    def _comparable(self, account: str, path: str, values: Values) -> tuple[str, ...]:
        manifest = self._wanted.manifests.get(account)
        field = None if manifest is None else next((each for each in manifest.fields if each.path == path), None)
        kind = "text" if field is None else field.type
        return tuple(text for value in values if (text := normal(value, kind)))


def _next(order: Order, before: Order) -> Order:
    return order if order.later_than(before) else Order(before.end + 1, before.end + 1)
