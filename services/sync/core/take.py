"""Taking an input in: an event, a receipt, an answer or the time that has come, folded into a slice and stepped."""

from typing import TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Look
from services.contracts.contact import SIDES, Order
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    LookAnswer,
    SubscriptionChanged,
)
from services.contracts.receipts import Absent, Found, Receipt
from services.sync.core.identity import addresses
from services.sync.core.issue import RESEND, send_again
from services.sync.core.observe import Folded, Sight, fold, fold_subscription, merged, touch
from services.sync.core.overwrite import notice
from services.sync.core.settle import fold_find, settle
from services.sync.core.slice import Slice
from services.sync.core.state import Decision, Record
from services.sync.core.step import step, turn


class Reconsider(msgspec.Struct, frozen=True, kw_only=True):
    """A link whose time has come."""

    link: str


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """A link with unsettled writes, in a database that was restored from a copy: nobody knows what became of them."""

    link: str


class Sighted(msgspec.Struct, frozen=True, kw_only=True):
    """A known contact that a connection hasn't considered yet, or that is to be looked at anew."""

    account: str
    contact_id: str
    look: bool = False


Fact: TypeAlias = ContactChanged | ContactDeleted | ContactTouched | ContactMerged | SubscriptionChanged
Input: TypeAlias = Fact | Receipt | Found | Absent | Reconsider | Restored | Sighted


def take(state: Slice, item: Input) -> None:
    """Fold one input into the slice and run the step of every link it concerns."""
    match item:
        case (
            ContactChanged() | ContactDeleted() | ContactTouched() | ContactMerged() | SubscriptionChanged() | Sighted()
        ):
            if item.account in state.manifests:
                _take_fact(state, item)
        case Receipt():
            _receive(state, item)
        case Found() | Absent():
            link = state.links.get(item.link)
            config = None if link is None else state.configs.get(link.connection)
            if link is not None and config is not None and fold_find(state, config, item):
                step(state, link.id)
        case Reconsider():
            _reconsider(state, item.link)
        case Restored():
            _retire(state, item.link)
        case _:
            assert_never(item)


def _take_fact(state: Slice, item: Fact | Sighted) -> None:
    match item:
        case ContactChanged():
            sight = Sight(
                order=item.order,
                contact=item.contact,
                addresses=addresses(item.contact, state.manifests[item.account]),
                subscriptions=item.subscriptions,
                scan=item.scan,
                answers=item.look,
            )
            notice(state, item)
            _observe(state, item.account, item.contact_id, sight, item.object)
        case ContactDeleted():
            sight = Sight(order=item.order, contact=None, answers=item.look)
            _observe(state, item.account, item.contact_id, sight, None)
        case ContactTouched():
            _touch(state, item.account, item.contact_id)
        case ContactMerged():
            _merge(state, item)
        case SubscriptionChanged():
            _subscription(state, item)
        case Sighted(look=True):
            _touch(state, item.account, item.contact_id)
        case Sighted():
            record = state.records.get((item.account, item.contact_id))
            if record is not None:
                _step_all(state, record)
        case _:
            assert_never(item)


def _observe(state: Slice, account: str, contact_id: str, sight: Sight, raw: msgspec.Raw | None) -> None:
    record = state.records.get((account, contact_id))
    if record is not None:
        for link in state.links_of(record):
            turn(state, state.configs[link.connection], link)
    _folded(state, fold(account, contact_id, record, sight), raw)


def _folded(state: Slice, folded: Folded, raw: msgspec.Raw | None = None) -> None:
    record = folded.record
    look = folded.ask
    if look is not None and record.looking is not None:
        number = state.numbered(look.number - 1) if look.attempt == 1 else look.number
        look = LookAnswer(number, look.attempt)
        record = replace(record, looks=number, looking=replace(record.looking, number=number, asked=state.now))
    before = state.records.get((record.account, record.contact_id))
    state.put_record(record)
    if raw is not None and folded.effect in ("new", "later", "same"):
        state.put_object(record, raw)
    if look is not None:
        _ask(state, record, look)
    _step_all(state, record)
    if record.live and (before is None or before.addresses != record.addresses or not before.live):
        _step_bereft(state, record)


def _step_bereft(state: Slice, record: Record) -> None:
    """A contact gained addresses: deletions of contacts that had them are decided again (P13)."""
    for config in list(state.configs.values()):
        for side in SIDES:
            if config.account(side) == record.account:
                for link in state.bereft(config, side, record):
                    step(state, link.id)


def _ask(state: Slice, record: Record, look: LookAnswer) -> None:
    command = Look(account=record.account, contact_id=record.contact_id, look=look)
    state.commands.append((command, state.manifests[record.account].name))


def _step_all(state: Slice, record: Record) -> None:
    """Run the step of every link of the contact, also when the record didn't change (P1)."""
    for config in list(state.configs.values()):
        for side in SIDES:
            if config.account(side) != record.account:
                continue
            link = state.link_of(config, side, record.contact_id)
            if link is None and not record.deleted and not config.removed:
                link = state.first_sight(config, side, record.contact_id)
            if link is not None:
                step(state, link.id)


def _touch(state: Slice, account: str, contact_id: str) -> None:
    record = state.records.get((account, contact_id))
    looking = None if record is None else record.looking
    if record is None or looking is None or state.now - looking.asked < RESEND:
        _folded(state, touch(account, contact_id, record, Order(0, 0)))
        return
    # The look, or its answer, is lost.
    look = LookAnswer(looking.number, looking.attempt + 1)
    asked = replace(looking, attempt=look.attempt, asked=state.now)
    _folded(state, Folded(record=replace(record, looking=asked), effect="look", ask=look))


def _merge(state: Slice, event: ContactMerged) -> None:
    """Note the merge, then look at both: a contact that is there after all wasn't merged."""
    record = state.records.get((event.account, event.contact_id))
    state.put_record(merged(event.account, event.contact_id, record, event.into))
    _touch(state, event.account, event.into)
    _touch(state, event.account, event.contact_id)


def _subscription(state: Slice, event: SubscriptionChanged) -> None:
    record = state.records.get((event.account, event.contact_id))
    if record is None:
        _touch(state, event.account, event.contact_id)
        return
    _folded(state, fold_subscription(record, event.subscription, event.order, ended=event.ended))


def _receive(state: Slice, receipt: Receipt) -> None:
    link = state.links.get(receipt.aim.link)
    config = None if link is None else state.configs.get(link.connection)
    if link is None or config is None:
        state.decisions.append(
            Decision(
                link=receipt.aim.link,
                connection=receipt.aim.connection,
                config_version=receipt.aim.config_version,
                outcome="nothing",
                reason="a receipt for a link that isn't known here",
            )
        )
        return
    settled = settle(state, config, receipt)
    account = receipt.aim.account
    if settled.seen is not None:
        seen = settled.seen
        sight = Sight(
            order=seen.order,
            contact=seen.contact,
            addresses=addresses(seen.contact, state.manifests[account]),
        )
        _observe(state, account, seen.contact_id, sight, seen.object)
    if settled.look is not None:
        _touch(state, account, settled.look)
    if settled.step and settled.seen is None and settled.look is None:
        step(state, link.id)


def _reconsider(state: Slice, link_id: str) -> None:
    link = state.links.get(link_id)
    if link is None:
        return
    if link.unsettled:
        link = state.put_link(send_again(state, link))
    step(state, link_id)
    link = state.links[link_id]
    config = state.configs.get(link.connection)
    # Whatever the step decided, a time that has come is used up, and so is the news of another config or a resume.
    if link.reconsider_at is not None and link.reconsider_at <= state.now:
        link = replace(link, reconsider_at=None)
    if link.wait is not None and link.wait.reason == "paused" and config is not None and not config.paused:
        link = replace(link, wait=None)
    if config is not None and link.config_version < config.version:
        link = replace(link, config_version=config.version)
    state.put_link(link)


def _retire(state: Slice, link_id: str) -> None:
    """End the link's unsettled writes without a receipt; look before anything else is decided about their contacts.

    A create keeps its key: the ledger asks what became of it before it makes another (P12).
    """
    link = state.links.get(link_id)
    config = None if link is None else state.configs.get(link.connection)
    if link is None or config is None:
        return
    doubted: list[tuple[str, str]] = []
    before = link
    for side in SIDES:
        half = link.half(side)
        if half.pending is None:
            continue
        create = half.pending.kind == "create"
        half = replace(half, settled=half.pending.version.n, pending=None, attempted=create or half.attempted)
        link = link.with_half(side, half)
        if half.contact_id is not None and config.account(side) in state.manifests:
            doubted.append((config.account(side), half.contact_id))
    reason = "the database was restored from a copy: what became of this write isn't known"
    state.decide(before, link, config, "retired", reason)
    for account, contact_id in doubted:
        _touch(state, account, contact_id)
    if not doubted:
        step(state, link_id)
