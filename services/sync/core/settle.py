"""Folding receipts: what a write's outcome says about its link (P3), before the step decides anew."""

from typing import assert_never

import msgspec
from msgspec.structs import replace

from services.contracts.contact import Side
from services.contracts.envelope import derived
from services.contracts.receipts import (
    Absent,
    Deferred,
    Found,
    Observation,
    Receipt,
    Refused,
    Stale,
    Unchanged,
    Unknown,
    Written,
)
from services.sync.core.actions import acted, value_of
from services.sync.core.identity import link_id
from services.sync.core.mapping import Config, normal_view, observed
from services.sync.core.overwrite import forgotten, put
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Base, Finding, Half, Link, Pending, Refusal, Wait

ACCOUNT_AGAIN = 300_000_000
"""Microseconds after which an account that was away is tried again, should the news of its return be lost."""
HITS_AGAIN = 3_000_000
"""Microseconds to wait for the hits of a find to come by in the log before asking again."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt leaves to do besides the link's new state."""

    seen: Observation | None = None
    """The contact as the answer showed it: an observation like any other."""
    look: str | None = None
    """The contact that has to be looked at."""
    step: bool = True
    """Whether the step is to run."""


def settle(state: Slice, config: Config, receipt: Receipt) -> Settled:
    """Fold the receipt of a write into its link. A receipt of another version changes nothing of the link (P12)."""
    aim, outcome = receipt.aim, receipt.outcome
    link = state.links[aim.link]
    half = link.half(aim.side)
    pending = half.pending
    if pending is None or pending.version != aim.version:
        state.note(link, link, config, "nothing", "a receipt for a write that is settled already")
        return Settled(seen=_seen(outcome), step=False)
    if isinstance(outcome, Unknown):
        half = replace(half, pending=replace(pending, unknown=outcome.reason))
        state.note(link, link.with_half(aim.side, half), config, "unknown", outcome.reason)
        return Settled(step=False)
    freed = replace(half, pending=None, settled=aim.version.n, attempted=False)
    if isinstance(outcome, Stale) and pending.echoed:
        # It was applied, and then edited by somebody: that is what the app's own reading couldn't tell.
        outcome = Written(contact_id=outcome.seen.contact_id, seen=outcome.seen, looked=True)
    match outcome:
        case Written() | Unchanged():
            return _written(state, config, link, aim.side, freed, pending, outcome)
        case Refused():
            return _refused(state, config, link, aim.side, freed, pending, outcome)
        case Deferred():
            return _deferred(state, config, link, aim.side, freed, pending, outcome)
        case Stale():
            after = link.with_half(aim.side, freed)
            if pending.kind == "create" and link_id(outcome.seen.contact.mark) == link.id:
                # It was made, by an attempt before this one, and isn't what this one wanted.
                freed = replace(freed, contact_id=outcome.seen.contact_id)
                _adopt(state, link, aim.side, outcome.seen.contact_id)
                after = replace(clear(link.with_half(aim.side, freed)), status="active")
            state.release(link)
            state.note(link, after, config, "stale", "the contact had changed meanwhile: nothing was written")
            return Settled(seen=outcome.seen)
        case _:
            assert_never(outcome)


def _seen(outcome: object) -> Observation | None:
    if isinstance(outcome, Written):
        return None if outcome.replayed else outcome.seen
    return outcome.seen if isinstance(outcome, Unchanged | Stale) else None


def _written(
    state: Slice,
    config: Config,
    link: Link,
    side: Side,
    half: Half,
    pending: Pending,
    outcome: Written | Unchanged,
) -> Settled:
    seen = outcome.seen
    replayed = isinstance(outcome, Written) and outcome.replayed
    looked = isinstance(outcome, Written) and outcome.looked
    before = link
    if pending.doing is not None:
        half = acted(half, pending, pending.doing, seen, changed=isinstance(outcome, Written))
    elif pending.kind == "tag" and isinstance(outcome, Written):
        half = replace(half, tag="ours", tag_order=None if seen is None else seen.order)
    elif pending.kind == "untag":
        half = replace(half, tag="none", tag_order=None)
    elif pending.kind == "create":
        half = replace(half, contact_id=outcome.contact_id)
        _adopt(state, link, side, outcome.contact_id)
    half, base = _agreed(config, link, side, half, pending, seen, looked=looked)
    written = {*pending.lines, *([] if pending.doing is None else [pending.doing.key])}
    half = replace(
        half,
        refused={key: refusal for key, refusal in half.refused.items() if key not in written and key != "*"},
        held={key: hold for key, hold in half.held.items() if key not in written},
    )
    link = replace(link.with_half(side, half), base=base)
    if link.wait is None or link.wait.reason != "merge":
        link = clear(link)
    if pending.kind == "create" and link.status != "ended":
        link = replace(link, status="active")
    state.note(before, link, config, "written", f"the {pending.kind} is in the app", *pending.lines)
    # An answer that shows nothing, or the past, is no observation: without a look the old record would count.
    if seen is None or replayed:
        return Settled(look=outcome.contact_id)
    return Settled(seen=seen)


def _agreed(
    config: Config, link: Link, side: Side, half: Half, pending: Pending, seen: Observation | None, *, looked: bool
) -> tuple[Half, dict[str, Base]]:
    """Return the half and the base pairs after the write: both sides agree on what it wrote (P3)."""
    base = dict(link.base)
    for line in config.lines:
        write = pending.lines.get(line.id)
        if write is None:
            continue
        half = put(half, line.id, write.wanted)
        if line.id in pending.restores:
            kept = half.overwritten.get(line.id)
            # Its echo may have come first and shown that it overwrote a newer edit: that one isn't back yet.
            if kept is not None and normal_view(kept.values, line, side) == write.wanted:
                half = forgotten(half, line.id)
            continue
        back = write.wanted
        if seen is not None:
            read = normal_view(observed(seen.contact, line, side), line, side)
            back = read if not looked or read == write.wanted else write.wanted
        base[line.id] = Base(write.source, back) if side == "right" else Base(back, write.source)
        half = put(half, line.id, back)
    return half, base


def _adopt(state: Slice, link: Link, side: Side, contact_id: str) -> None:
    """The contact we made may have been seen before its receipt: its own half-link becomes this link's alias."""
    seen_as = state.by_contact.get((link.connection, side, contact_id))
    if seen_as is not None and seen_as != link.id:
        theirs = state.links[seen_as]
        state.put_link(clear(replace(theirs, status="ended", alias_of=link.id)))


def _refused(
    state: Slice, config: Config, link: Link, side: Side, half: Half, pending: Pending, outcome: Refused
) -> Settled:
    before = link
    if pending.kind == "create":
        state.release(link)
    if outcome.gone:
        after = link.with_half(side, half)
        state.note(before, after, config, "gone", "the contact isn't there any more: looking at it")
        contact_id = half.contact_id
        return Settled(look=contact_id, step=contact_id is None)
    if pending.doing is not None:
        refusal = Refusal(value=value_of(pending.doing.action), reason=outcome.reason)
        half = replace(half, refused={**half.refused, pending.doing.key: refusal})
    elif pending.kind in ("tag", "untag"):
        half = replace(half, refused={**half.refused, pending.kind: Refusal(value="", reason=outcome.reason)})
    else:
        half = replace(half, refused={**half.refused, **_refusals(config, side, pending, outcome)})
    for key in pending.restores:
        half = forgotten(half, key)
    after = link.with_half(side, half)
    state.note(before, after, config, "refused", outcome.reason, *pending.lines)
    return Settled()


def _refusals(config: Config, side: Side, pending: Pending, outcome: Refused) -> dict[str, Refusal]:
    """Return the refusal of each line that the app objects to; all of them, or the create, if it didn't say."""
    lines = {line.id: line.field(side).path for line in config.lines if line.id in pending.lines}
    named = [key for key, path in lines.items() if path in outcome.fields]
    if not named and pending.kind == "create":
        digest = derived("body", sorted((key, write.wanted) for key, write in pending.lines.items()))
        return {"*": Refusal(value=digest, reason=outcome.reason)}
    return {key: Refusal(value=pending.lines[key].wanted, reason=outcome.reason) for key in named or lines}


def _deferred(
    state: Slice, config: Config, link: Link, side: Side, half: Half, pending: Pending, outcome: Deferred
) -> Settled:
    before = link
    if pending.kind == "create" and outcome.attempted:
        half = replace(half, attempted=True)
    elif pending.kind == "create":
        state.release(link)
    after = replace(link.with_half(side, half), finding=None)
    if outcome.reason == "account":
        account = config.account(side)
        wait = Wait(reason="account", on=account, since=state.now)
        after = replace(after, wait=wait, reconsider_at=state.now + ACCOUNT_AGAIN)
        state.note(before, after, config, "deferred", f"account {account} takes no writes now")
        return Settled(step=False)
    state.note(before, after, config, "deferred", f"put off before it was sent ({outcome.reason})")
    return Settled()


def fold_find(state: Slice, config: Config, answer: Found | Absent) -> bool:
    """Fold the answer to a find into the asking link; True if the step is to run."""
    link = state.links[answer.link]
    finding = link.finding
    if finding is None or finding.number != answer.number or answer.address not in finding.open:
        state.note(link, link, config, "nothing", "an answer to a find that is no longer asked")
        return False
    if isinstance(answer, Found):
        known = [state.records.get((answer.account, contact_id)) for contact_id in answer.contact_ids]
        there = all(record is not None and record.live for record in known)
        # An app may search more loosely than by equality: a hit that has another address is none.
        if there and not any(record is not None and answer.address in record.addresses for record in known):
            return _none_found(state, config, link, finding, answer.address)
        waiting = replace(state.waiting(link, "find", answer.account, until=state.now + HITS_AGAIN), finding=None)
        state.note(link, waiting, config, "found", "the target has a contact with its address")
        return there
    return _none_found(state, config, link, finding, answer.address)


def _none_found(state: Slice, config: Config, link: Link, finding: Finding, address: str) -> bool:
    left = tuple(each for each in finding.open if each != address)
    answered = replace(finding, open=left, answered=state.now)
    after = replace(link, finding=answered, wait=link.wait if left else None)
    state.note(link, after, config, "absent", "the target has no contact with that address")
    return not left
