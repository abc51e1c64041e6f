"""What the journal keeps of an input beside the decision: whom it was about and what it changed, never a value."""

from typing import Literal, TypeAlias

import msgspec

from services.contracts.commands import Version
from services.contracts.contact import Side
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    Origin,
    SubscriptionChanged,
)
from services.contracts.receipts import Receipt, Stale, Unchanged, Written
from services.sync.core.issued import Issued
from services.sync.core.slice import ContactKey, Slice
from services.sync.core.state import Record
from services.sync.core.take import Fact, Input, Sighted

Outcome: TypeAlias = Literal["written", "unchanged", "refused", "deferred", "stale", "unknown"]
TAGS, DELETED, BACK, SUBSCRIPTIONS = "*tags", "*deleted", "*back", "*subscriptions"
"""Changes that aren't one of a field's; no path of an app begins like that."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The contact that an input showed."""

    account: str
    contact: str
    origin: Origin | None = None
    """How it came; None: with a write's answer, or not from the app."""
    label: str | None = None
    """The key of the request that caused or answered it: the same key, the same write."""
    changed: tuple[str, ...] = ()
    """Paths of fields that are otherwise than they were known, and the words above."""


class Answered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The write that a receipt is about."""

    side: Side
    version: Version
    outcome: Outcome
    looked: bool = False
    """It wasn't known what became of it, and the contact was read."""


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The journal's column `detail`."""

    lines: tuple[str, ...] = ()
    writes: tuple[Issued, ...] = ()
    seen: Seen | None = None
    answered: Answered | None = None


def encoded(detail: Detail) -> str | None:
    """Return it as JSON that PostgreSQL takes; None for nothing."""
    if detail == Detail():
        return None
    return msgspec.json.encode(detail).replace(rb"\u0000", rb"\ufffd").decode()


def contact_of(item: Input) -> ContactKey | None:
    """Return the contact that an input shows or names."""
    match item:
        case (
            ContactChanged() | ContactDeleted() | ContactTouched() | ContactMerged() | SubscriptionChanged() | Sighted()
        ):
            return item.account, item.contact_id
        case Receipt(aim=aim, outcome=Written(contact_id=id) | Unchanged(contact_id=id)):
            return aim.account, id
        case Receipt(aim=aim, outcome=Stale(seen=seen)):
            return aim.account, seen.contact_id
        case _:
            return None


def known(state: Slice, item: Input) -> Record | None:
    """Return what is known of the input's contact: asked before the input is taken in, it is what it changes."""
    key = contact_of(item)
    return None if key is None else state.records.get(key)


def seen(state: Slice, item: Input, before: Record | None) -> Seen | None:
    """Return what the input, taken in by now, changed about its contact, of which `before` was known."""
    key = contact_of(item)
    if key is None:
        return None
    return Seen(
        account=key[0],
        contact=key[1],
        origin=item.origin if isinstance(item, Fact) else None,
        label=_label(item),
        changed=_changed(before, state.records.get(key)),
    )


def answered(item: Input) -> Answered | None:
    """Return the write that the input is the receipt of."""
    if not isinstance(item, Receipt):
        return None
    outcome = item.outcome
    looked = isinstance(outcome, Written) and outcome.looked
    kinds: dict[str, Outcome] = {
        "Written": "written",
        "Unchanged": "unchanged",
        "Refused": "refused",
        "Deferred": "deferred",
        "Stale": "stale",
        "Unknown": "unknown",
    }
    return Answered(side=item.aim.side, version=item.aim.version, outcome=kinds[type(outcome).__name__], looked=looked)


def _label(item: Input) -> str | None:
    if isinstance(item, Receipt):
        return item.outcome.label if isinstance(item.outcome, Written) else None
    return item.label if isinstance(item, ContactChanged | ContactDeleted) else None


def _changed(before: Record | None, after: Record | None) -> tuple[str, ...]:
    if after is None:
        return ()
    found = []
    now = after.contact
    then = None if before is None else before.contact
    if now is not None:
        old = {} if then is None else then.fields
        found = sorted(path for path, values in now.fields.items() if values != old.get(path, ()))
        found += sorted(path for path, values in old.items() if values and path not in now.fields)
        if now.tags != (() if then is None else then.tags):
            found.append(TAGS)
    was_deleted = before is not None and before.deleted
    if after.deleted != was_deleted:
        found.append(DELETED if after.deleted else BACK)
    if after.subscriptions != ({} if before is None else before.subscriptions):
        found.append(SUBSCRIPTIONS)
    return tuple(found)
