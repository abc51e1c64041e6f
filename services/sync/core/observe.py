"""Folding an observation into a contact's record: order by the app's own clock or versions, looks on ties (P5, P9)."""

from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from services.contracts.contact import Contact, Order, Subscription
from services.contracts.events import LookAnswer
from services.sync.core.state import Looking, Record, SubscriptionRecord

Effect: TypeAlias = Literal["new", "later", "same", "earlier", "look"]
"""What an observation did: first of its contact; applied; equal to the record; too old; can't be told, look."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """An observation of a contact, whatever message it came in. `contact` is None where it is gone."""

    order: Order
    contact: Contact | None
    addresses: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] | None = None
    scan: int | None = None
    answers: LookAnswer | None = None


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """The record after an observation."""

    record: Record
    effect: Effect
    ask: LookAnswer | None = None
    """The look that is to be sent."""


def fold(account: str, contact_id: str, record: Record | None, sight: Sight) -> Folded:
    """Fold an observation into the record of its contact (None if it has none yet)."""
    if record is None:
        new = Record(account=account, contact_id=contact_id, contact=None, order=sight.order, scan=sight.scan)
        return Folded(record=_apply(new, sight), effect="new")
    looking, answers = record.looking, sight.answers
    if looking is not None and answers == LookAnswer(looking.number, looking.attempt):
        return _answered(record, looking, sight)
    if record.contact is None and not record.deleted:
        # Only touched so far: nothing to compare with, and the look that is under way will follow.
        return Folded(record=_moved(_apply(record, sight)), effect="later")
    return _ordered(record, sight)


def touch(account: str, contact_id: str, record: Record | None, order: Order) -> Folded:
    """Fold the news that something happened to a contact: it has to be looked at."""
    if record is None:
        record = Record(account=account, contact_id=contact_id, contact=None, order=order)
    return _ask(record, record.looking)


def merged(account: str, contact_id: str, record: Record | None, into: str) -> Record:
    """Note that a contact was merged into another one; whether it is gone, a look has to say."""
    if record is None:
        record = Record(account=account, contact_id=contact_id, contact=None, order=Order(0, 0))
    return replace(record, merged_into=into)


def fold_subscription(record: Record, subscription: Subscription, order: Order, *, ended: bool) -> Folded:
    """Fold one subscription into its contact's record."""
    known = record.subscriptions.get(subscription.id)
    listed = record.subscriptions_listed
    if known is None and listed is not None and not order.later_than(listed):
        # A full list that is as new doesn't have it: it is over, or the list was read a moment before it began.
        return Folded(record=record, effect="earlier") if listed.later_than(order) else _ask(record, record.looking)
    if known is not None and known.order.later_than(order):
        return Folded(record=record, effect="earlier")
    news = SubscriptionRecord(subscription=subscription, order=order, ended=ended)
    if known is None or order.later_than(known.order):
        return Folded(record=_with_subscription(record, news), effect="later")
    if (known.subscription, known.ended) == (subscription, ended):
        return Folded(record=_with_subscription(record, replace(known, order=known.order.joined(order))), effect="same")
    return _ask(record, record.looking)


def _ordered(record: Record, sight: Sight) -> Folded:
    if sight.order.later_than(record.order):
        return Folded(record=_moved(_apply(record, sight)), effect="later")
    seen = _seen_by_scan(record, sight)
    if record.order.later_than(sight.order):
        return Folded(record=seen, effect="earlier")
    if _equal(record, sight):
        same = _apply(record, replace(sight, order=record.order.joined(sight.order)))
        if record.looking is None:
            return Folded(record=same, effect="same")
        return Folded(record=replace(same, looking=replace(record.looking, again=True)), effect="same")
    return _ask(seen, record.looking)


def _answered(record: Record, looking: Looking, sight: Sight) -> Folded:
    """The answer to the look we wait for: newer than everything folded before the look was decided."""
    answered, again = record, looking.again
    effect: Effect = "same"
    if not looking.moved:
        effect = "same" if _equal(record, sight) else "later"
        answered = _apply(record, replace(sight, order=record.order.joined(sight.order)))
    elif sight.order.later_than(record.order):
        answered, effect = _apply(record, sight), "later"
    elif not record.order.later_than(sight.order):
        if _equal(record, sight):
            answered = _apply(record, replace(sight, order=record.order.joined(sight.order)))
        else:
            again = True
    if not again:
        return Folded(record=replace(answered, looking=None), effect=effect)
    next_look = LookAnswer(looking.number, looking.attempt + 1)
    asked = Looking(number=next_look.number, attempt=next_look.attempt)
    return Folded(record=replace(answered, looking=asked), effect=effect, ask=next_look)


def _ask(record: Record, looking: Looking | None) -> Folded:
    if looking is not None:
        return Folded(record=replace(record, looking=replace(looking, again=True)), effect="look")
    number = record.looks + 1
    asked = replace(record, looks=number, looking=Looking(number=number, attempt=1))
    return Folded(record=asked, effect="look", ask=LookAnswer(number, 1))


def _moved(record: Record) -> Record:
    if record.looking is None:
        return record
    return replace(record, looking=replace(record.looking, moved=True))


def _equal(record: Record, sight: Sight) -> bool:
    if sight.contact is None or record.deleted or record.contact is None:
        return sight.contact is None and record.deleted
    return replace(record.contact, guard=None) == replace(sight.contact, guard=None)


def _seen_by_scan(record: Record, sight: Sight) -> Record:
    if sight.scan is None or (record.scan is not None and record.scan >= sight.scan):
        return record
    return replace(record, scan=sight.scan)


def _apply(record: Record, sight: Sight) -> Record:
    """Return the record with the observation in place of what it had."""
    record = _seen_by_scan(record, sight)
    if sight.contact is None:
        return replace(record, order=sight.order, deleted=True)
    if record.deleted:
        record = replace(record, merged_into=None)
    record = replace(record, order=sight.order, deleted=False, contact=sight.contact, addresses=sight.addresses)
    if sight.subscriptions is None:
        return record
    parts = {part.id: SubscriptionRecord(subscription=part, order=sight.order) for part in sight.subscriptions}
    newer = {key: part for key, part in record.subscriptions.items() if part.order.later_than(sight.order)}
    return replace(record, subscriptions={**parts, **newer}, subscriptions_listed=sight.order)


def _with_subscription(record: Record, news: SubscriptionRecord) -> Record:
    return replace(record, subscriptions={**record.subscriptions, news.subscription.id: news})
