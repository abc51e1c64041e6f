"""Pairing a contact that has no partner: match by e-mail once, reserve, ask the target, create (C1-C4, P7-P9)."""

from msgspec.structs import replace

from services.contracts.app import Ability
from services.contracts.commands import Create, Find
from services.contracts.contact import SIDES, Contact, Fields, Side
from services.contracts.envelope import derived
from services.sync.core.apart import is_apart, kept_apart
from services.sync.core.identity import addresses, distinct, link_id
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config, normal_view, observed, wanted_values
from services.sync.core.rules import Verdict, judge
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Finding, Half, LineWrite, Link, Record, Refusal, moved_to, other
from services.sync.core.values import too_long

FIND_FRESH = 5_000_000
"""Microseconds for which an account's answer to a find counts as fresh."""
FIND_AGAIN = 600_000_000
"""Microseconds after which a find that nobody answered is asked again; finds are durable, this is a net."""


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
    _create(state, config, link, side, record, record.contact)


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
    for match in _matches(state, config, target, record):
        if is_apart(config, record, match):
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


def _create(state: Slice, config: Config, link: Link, side: Side, record: Record, contact: Contact) -> None:
    target = other(side)
    link = replace(link, status="pairing")
    before = state.links[link.id]
    taken = judge(config, side, record, there=link.half(side).there)
    if taken.holds is False:
        _outside(state, config, before, link, taken)
        return
    for account in (config.account("left"), config.account("right")):
        if account not in state.scanned:
            waiting = state.waiting(link, "scan", account)
            state.decide(before, waiting, config, "wait", f"the first scan of account {account} hasn't ended")
            return
    fields, lines, refused = _body(config, target, contact, link.half(target))
    resting = link.half(target).refused.get("*")
    digest = derived("body", sorted((key, line.wanted) for key, line in lines.items()))
    if resting is not None and resting.value == digest:
        waiting = state.waiting(link, "refused", config.account(target))
        state.decide(before, waiting, config, "refused", resting.reason)
        return
    body_addresses = addresses(Contact(fields=fields), config.manifest(target))
    covered = distinct((*record.addresses, *body_addresses))
    holder = state.reserve(link, (config.account("left"), config.account("right")), covered)
    if holder is not None:
        waiting = state.waiting(link, "address", holder)
        state.decide(before, waiting, config, "wait", "another link is creating a contact with its address")
        return
    if not _asked(state, config, link, before, target, covered):
        return
    if taken.holds is None:
        link = link.with_half(side, replace(link.half(side), there=False))
        taken = judge(config, side, record, there=False)
        if not taken.holds:
            _outside(state, config, before, link, taken)
            return
    aim, half = issue(state, config, link, target)
    command = Create(aim=aim, fields=fields, addresses=body_addresses)
    half = replace(half, pending=send(state, config, command, lines), refused=refused)
    asked = replace(link.half(side), there=bool(link.half(side).there))
    created = clear(replace(link.with_half(target, half).with_half(side, asked), rule=side, finding=None))
    reason = f"no contact of the other account has its address; {taken.why}"
    state.decide(before, created, config, "create", reason, *lines)


def _outside(state: Slice, config: Config, before: Link, link: Link, taken: Verdict) -> None:
    state.release(link)
    state.decide(before, clear(replace(link, status="outside")), config, "outside", taken.why)


def _body(
    config: Config, target: Side, contact: Contact, half: Half
) -> tuple[Fields, dict[str, LineWrite], dict[str, Refusal]]:
    """Return what the new contact shall hold, per field and per line, and what the target can't hold."""
    source = other(target)
    fields: Fields = {}
    lines: dict[str, LineWrite] = {}
    refused: dict[str, Refusal] = {}
    for line in config.lines:
        given = observed(contact, line, source)
        if not line.flows_into(target) or not normal_view(given, line, source):
            continue
        values = wanted_values(line, target, given, ())
        wanted = normal_view(values, line, target)
        before = half.refused.get(line.id)
        reason = too_long(values, line.field(target).max_length)
        if before is not None and before.value == wanted:
            refused[line.id] = before
        elif reason is not None:
            refused[line.id] = Refusal(value=wanted, reason=reason)
        elif values:
            fields[line.field(target).path] = values
            lines[line.id] = LineWrite(normal_view(given, line, source), wanted)
    return fields, lines, refused


def _asked(state: Slice, config: Config, link: Link, before: Link, target: Side, covered: tuple[str, ...]) -> bool:
    """Whether the target said, moments ago, that it has no contact with these addresses; else ask it."""
    account = config.account(target)
    if Ability.FIND_SEES_MORE not in config.manifest(target).abilities or link.half(target).attempted:
        return True
    finding = link.finding
    asked = finding is not None and set(covered) <= set(finding.addresses)
    if finding is not None and asked and finding.answered is not None and not finding.open:
        if state.now - finding.answered < FIND_FRESH:
            return True
    elif finding is not None and asked and link.wait is not None and state.now - link.wait.since < FIND_AGAIN:
        again = state.waiting(link, "find", account, until=link.wait.since + FIND_AGAIN)
        state.decide(before, again, config, "wait", "the target is being asked for its address")
        return False
    number = state.numbered(link.finds)
    link = replace(link, finds=number, finding=Finding(number=number, open=covered, addresses=covered), wait=None)
    for address in covered:
        find = Find(account=account, address=address, link=link.id, number=number)
        state.commands.append((find, config.manifest(target).name))
    if not covered:
        return True
    waiting = state.waiting(link, "find", account, until=state.now + FIND_AGAIN)
    state.decide(before, waiting, config, "find", "the target is asked for its address before anything is created")
    return False
