"""Making a contact's partner: its addresses are reserved, the target is asked, then it is created (C3, P8, P9)."""

from msgspec.structs import replace

from services.contracts.app import Ability
from services.contracts.commands import Create, Find
from services.contracts.contact import Contact, Fields, Side
from services.contracts.envelope import derived
from services.sync.core.identity import addresses, distinct
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config, normal_view, observed, wanted_values
from services.sync.core.rules import Verdict, judge
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Finding, Half, LineWrite, Link, Record, Refusal, other
from services.sync.core.values import too_long

FIND_FRESH = 5_000_000
"""Microseconds for which an account's answer to a find counts as fresh."""
FIND_AGAIN = 600_000_000
"""Microseconds after which a find that nobody answered is asked again; finds are durable, this is a net."""


def create(state: Slice, config: Config, link: Link, side: Side, record: Record, contact: Contact) -> None:
    """Have a partner made for the contact, once nothing is in the way: a rule wants it, and nobody has its address."""
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
