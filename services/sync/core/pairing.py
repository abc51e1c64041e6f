"""Pairing a contact that has no partner: match by e-mail once, or have the partner made (C1-C4, P7, P8)."""

from collections.abc import Sequence

from msgspec.structs import replace

from services.contracts.contact import SIDES, Side
from services.sync.core.apart import is_apart, kept_apart
from services.sync.core.identity import link_id
from services.sync.core.making import create
from services.sync.core.mapping import Config
from services.sync.core.rules import judge
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Link, Record, moved_to, other


def pair(state: Slice, config: Config, link: Link) -> None:
    """Decide about a link that has one contact."""
    side: Side = "left" if link.left.contact_id is not None else "right"
    record = state.record(config, side, link.half(side))
    target = other(side)
    creating = link.half(target).pending
    if record is None:
        return
    if record.deleted:
        if creating is None:
            ended = clear(replace(link, status="ended"))
            state.decide(link, ended, config, "end", "the contact was deleted before it had a partner")
        return
    if record.contact is None:
        return
    if creating is not None:
        state.decide(link, clear(link), config, "nothing", "its partner is being created")
        return
    shared = record.addresses
    if not shared and config.connection.options.avoid_duplicates:
        outside = clear(replace(link, status="outside"))
        state.release(link)
        state.decide(link, outside, config, "outside", "it has no e-mail address, and avoid_duplicates is on")
        return
    maker = in_flight(state, record)
    if maker is not None:
        _awaits(state, config, link, maker)
        return
    if _left_over(state, config, link, record):
        return
    if _blocked(state, config, link, side, record):
        return
    vacant = _vacant(state, config, side, record)
    if vacant is not None:
        _take_up(state, config, link, vacant, side, record)
        return
    link = _sought(state, config, link, target, record)
    if _matched(state, config, link, side, record) or kept_apart(state, config, link, target, record):
        return
    create(state, config, link, side, record, record.contact)


def in_flight(state: Slice, record: Record) -> Link | None:
    """Return the link whose create, without a receipt yet, may have made this contact (P8).

    It carries the link's id as its mark, or one of its addresses is being created in its account.
    """
    mark = link_id(record.contact.mark) if record.contact is not None else None
    makers = [mark, *(state.reservations.get((record.account, address)) for address in record.addresses)]
    for made_by in makers:
        maker = None if made_by is None else state.links.get(made_by)
        config = None if maker is None else state.configs.get(maker.connection)
        if maker is None or config is None:
            continue
        for side in SIDES:
            pending = maker.half(side).pending
            if pending is not None and pending.kind == "create" and config.account(side) == record.account:
                return maker
    return None


def _awaits(state: Slice, config: Config, link: Link, maker: Link) -> None:
    waiting = state.waiting(link, "receipt", maker.id)
    state.decide(link, waiting, config, "wait", "a create of ours with its address has no receipt yet")


def _left_over(state: Slice, config: Config, link: Link, record: Record) -> bool:
    """Whether its partner was merged into a linked contact, and nothing has changed since (C5, E4)."""
    if link.merged is None:
        return False
    into = state.links.get(link.merged.link)
    if into is None or into.status == "ended" or link.merged.addresses != record.addresses:
        state.put_link(replace(link, merged=None))
        return False
    duplicate(state, config, link, into)
    return True


def _blocked(state: Slice, config: Config, link: Link, side: Side, record: Record) -> bool:
    """Whether another contact of the same account with one of its addresses comes first (C4)."""
    for twin in state.sharing(record.account, record.addresses, but=record.contact_id):
        theirs = state.link_of(config, side, twin.contact_id)
        if theirs is None:
            continue
        earlier = theirs.status == "pairing" and _seq(theirs) < _seq(link)
        if theirs.paired or earlier or theirs.unsettled:
            duplicate(state, config, link, theirs)
            return True
    return False


def _seq(link: Link) -> int:
    return link.seq if link.seq is not None else 1 << 63


def duplicate(state: Slice, config: Config, link: Link, theirs: Link) -> None:
    """Set a half-link aside: another link has its address (C4)."""
    state.release(link)
    waiting = state.waiting(replace(link, status="duplicate"), "duplicate", theirs.id)
    reason = "another contact with one of its addresses came first: reported as a duplicate, not synced"
    state.decide(link, waiting, config, "duplicate", reason)


def _sought(state: Slice, config: Config, link: Link, target: Side, record: Record) -> Link:
    """Return the link with what is seen of the other account: whether a contact there has one of its addresses (B6)."""
    half = link.half(other(target))
    if half.there is None and state.sharing(config.account(target), record.addresses):
        return link.with_half(other(target), replace(half, there=True))
    return link


def _matched(state: Slice, config: Config, link: Link, side: Side, record: Record) -> bool:
    """Pair it with a contact of the other account that shares an address; True if something was decided."""
    target = other(side)
    matches = _matches(state, config, target, record)
    for match in matches:
        if is_apart(config, record, match) or _beside_rival(state, config, target, record, match, matches):
            continue
        if match.looking is not None:
            waiting = state.waiting(link, "look", match.contact_id)
            state.decide(link, waiting, config, "wait", "the contact it matches is being looked at")
            return True
        maker = in_flight(state, match)
        if maker is not None:
            _awaits(state, config, link, maker)
            return True
        theirs = state.link_of(config, target, match.contact_id)
        if theirs is not None and theirs.paired:
            duplicate(state, config, link, theirs)
            return True
        if theirs is not None and theirs.unsettled:
            waiting = state.waiting(link, "receipt", theirs.id)
            state.decide(link, waiting, config, "wait", "the contact it matches has a create of ours under way")
            return True
        mine = judge(config, side, record, there=link.half(side).there)
        its = judge(config, target, match, there=theirs is None or theirs.half(target).there is not False)
        if mine.holds or its.holds:
            _join(state, config, link, theirs, side, match, rule=side if mine.holds else target)
            return True
    return False


def _matches(state: Slice, config: Config, target: Side, record: Record) -> list[Record]:
    """Return the contacts of the other account that share an address, in the addresses' order.

    Of those with one address a linked one comes first: the others are its duplicates (C4).
    """

    def rank(match: Record) -> tuple[int, bool]:
        theirs = state.link_of(config, target, match.contact_id)
        shared = next(at for at, address in enumerate(record.addresses) if address in match.addresses)
        return shared, theirs is None or not theirs.paired

    return sorted(state.sharing(config.account(target), record.addresses), key=rank)


def _beside_rival(
    state: Slice, config: Config, target: Side, record: Record, match: Record, matches: Sequence[Record]
) -> bool:
    """Whether a match that has no partner is the duplicate of a linked one from which a person unlinked the contact.

    By itself it would be set aside for that one (C4): whoever is looked at first, it comes to the same.
    """
    theirs = state.link_of(config, target, match.contact_id)
    if theirs is not None and theirs.paired:
        return False
    for rival in matches:
        its = state.link_of(config, target, rival.contact_id)
        apart = its is not None and its.paired and is_apart(config, record, rival)
        if apart and not set(rival.addresses).isdisjoint(match.addresses):
            return True
    return False


def _vacant(state: Slice, config: Config, side: Side, record: Record) -> Link | None:
    """Return the first link whose deleted contact this one may stand in for; a person's unlinking counts (C7)."""
    for vacant in state.bereft(config, side, record):
        kept = state.record(config, other(side), vacant.half(other(side)))
        if kept is None or not is_apart(config, record, kept):
            return vacant
    return None


def _take_up(state: Slice, config: Config, link: Link, theirs: Link, side: Side, record: Record) -> None:
    """A contact appears where a deleted one was: the deleted one's link takes it up."""
    if theirs.unsettled:
        waiting = state.waiting(link, "receipt", theirs.id)
        state.decide(link, waiting, config, "wait", "the link it returns to has a write under way")
        return
    _alias(state, config, link, theirs)
    half = moved_to(theirs.half(side), record.contact_id)
    back = clear(replace(theirs.with_half(side, half), status="active", base={}))
    state.decide(theirs, back, config, "link", "a contact with its address is back")


def _alias(state: Slice, config: Config, link: Link, survivor: Link) -> None:
    state.release(link)
    ended = clear(replace(link, status="ended", alias_of=survivor.id))
    state.decide(link, ended, config, "end", "paired: the other half's link goes on")


def _join(
    state: Slice, config: Config, link: Link, theirs: Link | None, side: Side, match: Record, *, rule: Side
) -> None:
    """Join two half-links: the left one goes on, the other becomes its alias."""
    target = other(side)
    keep, gone = link, theirs
    if theirs is not None and (_created(theirs), target == "left") > (_created(link), target == "right"):
        keep, gone = theirs, link
    before = keep
    if gone is not None:
        _alias(state, config, gone, keep)
    state.release(keep)
    its = target if keep is link else side
    partner = match.contact_id if keep is link else link.half(side).contact_id
    there = None if gone is None else gone.half(its).there
    kept_half = replace(keep.half(its), contact_id=partner, there=there, refused={}, held={})
    joined = clear(keep.with_half(its, kept_half))
    joined = replace(joined, status="active", base={}, finding=None, rule=rule)
    state.decide(before, joined, config, "link", "matched by e-mail address")


def _created(link: Link) -> bool:
    """Whether a create was issued for the half-link: the ledger knows it by its id."""
    return link.left.issued > 0 or link.right.issued > 0
