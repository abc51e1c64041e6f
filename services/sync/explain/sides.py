"""A link's two sides now: what is known of the contacts, their tags, and what is under way or stands still there."""

from datetime import UTC, datetime, timedelta

from services.contracts.app import TRASH
from services.contracts.contact import Side
from services.contracts.rule import SetTag
from services.sync.control import hold_id
from services.sync.core.mapping import Config
from services.sync.core.state import Half, Link, Record
from services.sync.explain.rehearse import Rehearsal
from services.sync.explain.report import ContactState, HeldTold, RefusedTold, SideTold, TagTold, WaitTold, WriteTold
from services.sync.explain.story import version_told
from services.sync.health import NEXT

_SETTLE_AFTER = timedelta(hours=1)
"""A write whose outcome is unknown for so long can be settled by a person (P4)."""
_DUPLICATE = "`contactsync duplicates` says who is in its way and what ends that"


def moment(micros: int) -> datetime:
    """Return microseconds since 1970 as a moment."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


def waits(link: Link) -> WaitTold | None:
    """Return what the link waits for, with the sentence that `status` says."""
    if link.wait is None:
        return None
    reason = link.wait.reason
    return WaitTold(
        reason=reason,
        on=link.wait.on,
        since=moment(link.wait.since),
        until=None if link.reconsider_at is None else moment(link.reconsider_at),
        next_step=_DUPLICATE if reason == "duplicate" else NEXT.get(reason, ""),
    )


def side_told(config: Config, found: Rehearsal, side: Side) -> SideTold:
    """Return what is known of a side."""
    half = found.link.half(side)
    record = found.record(config.account(side), half.contact_id)
    return SideTold(
        account=config.account(side),
        app=config.manifest(side).name,
        contact=half.contact_id,
        state=_contact_state(half, record),
        addresses=() if record is None else record.addresses,
        tags=_tags(half, record),
        write=_write(found, half),
        refused=_refused(found.after.half(side)),
        held=_held(found.link, side, found.after.half(side)),
    )


def _contact_state(half: Half, record: Record | None) -> ContactState:
    if half.contact_id is None:
        return "none"
    if record is None or (record.contact is None and not record.deleted):
        return "unread"
    if record.deleted:
        return "deleted"
    return "live" if record.looking is None else "doubtful"


def _tags(half: Half, record: Record | None) -> tuple[TagTold, ...]:
    present = () if record is None or record.contact is None else record.contact.tags
    ours = {
        each.action.name
        for each in half.applied.values()
        if isinstance(each.action, SetTag) and each.action.present and not each.final
    }
    told = []
    for name in present:
        if name == TRASH and half.tag == "ours":
            told.append(TagTold(name=name, ours=True, told="set by contactsync: its partner was deleted"))
        elif name in ours:
            told.append(TagTold(name=name, ours=True, told="set by contactsync: a rule wants it"))
        else:
            told.append(TagTold(name=name, ours=False, told="set in the app"))
    if half.tag == "final" and TRASH not in present:
        told.append(TagTold(name=TRASH, ours=False, told="not there: a person removed it, and that is final"))
    return tuple(told)


def _write(found: Rehearsal, half: Half) -> WriteTold | None:
    pending = half.pending
    if pending is None:
        return None
    decided = moment(pending.at)
    step = "its answer decides what follows"
    if pending.unknown is not None and moment(found.now) - decided > _SETTLE_AFTER:
        done = "--contact ID" if pending.kind == "create" else "--applied"
        step = f"look into the app, then `contactsync settle {found.link.id} {done} | --absent`"
    elif pending.unknown is not None:
        step = "the app is asked what became of it; until that is known nothing else is written there"
    return WriteTold(
        version=version_told(pending.version),
        kind=pending.kind,
        lines=tuple(sorted(pending.lines)),
        action=None if pending.doing is None else pending.doing.key,
        decided=decided,
        sent=moment(pending.sent),
        unknown=pending.unknown,
        next_step=step,
    )


def _refused(half: Half) -> tuple[RefusedTold, ...]:
    step = "correct the value in either app, or `contactsync retry`"
    return tuple(
        RefusedTold(what="create" if key == "*" else key, reason=refusal.reason, next_step=step)
        for key, refusal in sorted(half.refused.items())
    )


def _held(link: Link, side: Side, half: Half) -> tuple[HeldTold, ...]:
    found = [
        HeldTold(
            id=(id := hold_id(link.id, side, line)),
            what=line,
            value=hold.value,
            since=moment(hold.since),
            approved=hold.approved,
            next_step="it is written next" if hold.approved else f"`contactsync held approve {id}`, or reject",
        )
        for line, hold in sorted(half.held.items())
    ]
    if half.stopped is not None:
        id = hold_id(link.id, side, "often")
        found.append(
            HeldTold(
                id=id,
                what="writes",
                value=None,
                since=moment(half.stopped),
                approved=False,
                next_step=f"`contactsync held approve {id}` lets it be written again",
            )
        )
    return tuple(found)
