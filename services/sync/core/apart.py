"""Contacts that a person unlinked: they aren't matched again, and nothing is made in their place (C7)."""

from msgspec.structs import replace

from services.contracts.contact import Side
from services.sync.core.mapping import Config
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Apart, Link, Record


def is_apart(config: Config, one: Record, another: Record) -> bool:
    """Whether a person unlinked these two contacts in the connection. Both records know it."""
    return any(_names(each, config, another) for each in one.apart)


def set_apart(state: Slice, config: Config, one: Record, another: Record) -> None:
    """Remember on both records that they aren't to be matched."""
    shared = not set(one.addresses).isdisjoint(another.addresses)
    for record, partner in ((one, another), (another, one)):
        rests = None if shared else record.addresses
        apart = Apart(config.connection.name, partner.account, partner.contact_id, rests)
        state.put_record(replace(record, apart=(*_but(record, config, partner), apart)))


def bring_together(state: Slice, config: Config, one: Record, another: Record) -> None:
    """Forget on both records that they were unlinked."""
    for record, partner in ((one, another), (another, one)):
        state.put_record(replace(record, apart=_but(record, config, partner)))


def kept_apart(state: Slice, config: Config, link: Link, target: Side, record: Record) -> bool:
    """Whether a contact without a match stays without a partner, since a person unlinked it; then that is decided.

    Another contact with its address, from which it was unlinked, is in the way of making one (C3). Where both shared
    no address, as after a pairing by hand, it rests until its own addresses change: unlinking writes nothing.
    """
    for rival in state.sharing(config.account(target), record.addresses):
        if is_apart(config, record, rival):
            theirs = state.link_of(config, target, rival.contact_id)
            outside = replace(link, status="outside")
            # Who waits for a link is woken when it ends, and when its contact's addresses change.
            outside = clear(outside) if theirs is None else state.waiting(outside, "duplicate", theirs.id)
            reason = "a person unlinked it from the contact that has its address: no other is made beside that one"
            _rest(state, config, link, outside, reason)
            return True
    if any(each.connection == config.connection.name and each.rests == record.addresses for each in record.apart):
        reason = "a person unlinked it: no new partner is made for it while its addresses stay"
        _rest(state, config, link, clear(replace(link, status="outside")), reason)
        return True
    return False


def _rest(state: Slice, config: Config, link: Link, outside: Link, reason: str) -> None:
    state.release(link)
    state.decide(state.links[link.id], outside, config, "outside", reason)


def _names(apart: Apart, config: Config, record: Record) -> bool:
    wanted = (config.connection.name, record.account, record.contact_id)
    return (apart.connection, apart.account, apart.contact_id) == wanted


def _but(record: Record, config: Config, partner: Record) -> tuple[Apart, ...]:
    return tuple(each for each in record.apart if not _names(each, config, partner))
