"""A contact of a linked pair is gone: wait for signs of a merge, look twice, then tag the survivor (P13)."""

from datetime import UTC, datetime

from msgspec.structs import replace

from services.contracts.app import TRASH
from services.contracts.commands import Tag, Untag
from services.contracts.contact import SIDES, Side
from services.sync.core.apart import is_apart
from services.sync.core.brake import OFTEN, may_tag, stopped
from services.sync.core.identity import distinct
from services.sync.core.issue import issue, send
from services.sync.core.mapping import Config, can_tag
from services.sync.core.pairing import duplicate, in_flight
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Half, Link, Merged, Record, moved_to, other

MICROSECONDS = 1_000_000


def day_of(now: int) -> str:
    """Return the UTC day of `now` (microseconds since 1970) as ISO 8601."""
    return datetime.fromtimestamp(now // MICROSECONDS, UTC).date().isoformat()


def gone(state: Slice, config: Config, link: Link, left: Record, right: Record) -> None:
    """Decide about a link one or both of whose contacts are deleted."""
    if left.deleted and right.deleted:
        if link.unsettled:
            state.decide(link, link, config, "later", "a write is under way: the deletions count after its receipt")
            return
        state.decide(link, clear(replace(link, status="ended")), config, "end", "both contacts are deleted")
        return
    side: Side = "left" if left.deleted else "right"
    deleted, survivor = (left, right) if side == "left" else (right, left)
    if link.status == "tombstone":
        if not _merged(state, config, link, side, deleted, survivor):
            _tag(state, config, link, other(side), survivor)
        return
    if link.status == "outside" and link.paired:
        # A survivor isn't used to make the deleted contact anew (E4), whoever deleted it; and it gets no tag.
        survivor_side = other(side)
        half = replace(link.half(survivor_side), tag="final")
        kept = clear(replace(link.with_half(survivor_side, half), status="tombstone"))
        state.decide(link, kept, config, "nothing", "a contact outside the sync was deleted: nothing is tagged")
        return
    if link.status != "active":
        ended = clear(replace(link, status="ended"))
        state.decide(link, ended, config, "end", "a contact outside the sync was deleted")
        return
    patience = round(config.manifest(side).patience * MICROSECONDS)
    told = deleted.merged_into is not None
    if not told and (link.wait is None or link.wait.reason != "merge"):
        waiting = state.waiting(link, "merge", deleted.contact_id, until=state.now + patience)
        state.decide(link, waiting, config, "wait", "the contact was deleted: waiting for signs of a merge")
        return
    if not told and link.wait is not None and state.now < link.wait.since + patience:
        return
    if link.unsettled:
        state.decide(link, link, config, "later", "a write is under way: the deletion is decided after its receipt")
        return
    if not _merged(state, config, link, side, deleted, survivor):
        _tag(state, config, replace(link, status="tombstone"), other(side), survivor, before=link)


def _merged(state: Slice, config: Config, link: Link, side: Side, deleted: Record, survivor: Record) -> bool:
    """Follow a merge: into the contact that the app tells, else another live one with one of the link's addresses."""
    shared = distinct((*deleted.addresses, *survivor.addresses))
    heirs = state.heir(deleted) or state.sharing(config.account(side), shared, but=deleted.contact_id)
    heirs = [heir for heir in heirs if not is_apart(config, survivor, heir)]
    if any(heir.looking is not None or in_flight(state, heir) is not None for heir in heirs):
        waiting = replace(link, reconsider_at=state.now + MICROSECONDS)
        state.decide(link, waiting, config, "wait", "another contact with its address is in doubt")
        return True
    if not heirs:
        return False
    heir = heirs[0]
    theirs = state.link_of(config, side, heir.contact_id)
    if theirs is not None and theirs.paired and theirs.id != link.id:
        freed, issued = untag(state, config, link, other(side))
        if issued or freed.unsettled:
            state.decide(link, clear(freed), config, "untag", "merged into a contact that is linked: our tag goes")
            return True
        ended = clear(replace(link, status="ended"))
        state.decide(link, ended, config, "merged", "merged into a contact that is linked already: not a deletion")
        left_over = state.first_sight(config, other(side), survivor.contact_id)
        left_over = state.put_link(replace(left_over, merged=Merged(theirs.id, survivor.addresses)))
        duplicate(state, config, left_over, theirs)
        return True
    if theirs is not None and theirs.unsettled:
        waiting = replace(link, reconsider_at=state.now + MICROSECONDS)
        state.decide(link, waiting, config, "wait", "the contact it may have been merged into is getting a partner")
        return True
    if theirs is not None:
        state.put_link(clear(replace(theirs, status="ended", alias_of=link.id)))
    half = moved_to(link.half(side), heir.contact_id)
    moved = clear(replace(link.with_half(side, half), base={}))
    state.decide(link, moved, config, "merged", "merged into another contact: the link moves on")
    return True


def _tag(state: Slice, config: Config, link: Link, side: Side, survivor: Record, before: Link | None = None) -> None:
    """Bring the survivor's tag to what the deletion wants of it."""
    before = before or link
    link = clear(link)
    half = link.half(side)
    if half.pending is not None:
        state.decide(before, link, config, "later", "a write to the survivor is under way: the tag follows")
        return
    if half.tag == "ours":
        if _removed_by_person(half, survivor):
            link = link.with_half(side, replace(half, tag="final", tag_order=None))
            state.decide(before, link, config, "nothing", "a person removed the tag: that is final")
            return
        state.decide(before, link, config, "nothing", "the survivor is tagged")
        return
    if half.tag == "final":
        state.decide(before, link, config, "nothing", "a person removed the tag: that is final")
        return
    if not config.tags_deletions_on(side) or not can_tag(config, side):
        state.decide(before, link, config, "nothing", "deletions aren't passed on in this direction")
        return
    if survivor.contact is not None and TRASH in survivor.contact.tags:
        state.decide(before, link, config, "nothing", "the survivor has the tag already, and not from this link")
        return
    if "tag" in half.refused:
        state.decide(before, link, config, "refused", half.refused["tag"].reason)
        return
    allowed = may_tag(state, config, before, link)
    if allowed is None:
        return
    link = allowed
    if (still := stopped(state, config, link, side)) is not None:
        state.decide(before, still, config, "held", OFTEN)
        return
    aim, half = issue(state, config, link, side)
    guard = survivor.contact.guard if survivor.contact is not None else None
    command = Tag(
        aim=aim,
        contact_id=survivor.contact_id,
        tag=TRASH,
        date=day_of(state.now),
        guard=guard,
        object=state.object(survivor),
    )
    half = replace(half, pending=send(state, config, command))
    state.decide(before, link.with_half(side, half), config, "tag", "its partner was deleted")


def _removed_by_person(half: Half, survivor: Record) -> bool:
    if survivor.contact is None or TRASH in survivor.contact.tags:
        return False
    return half.tag_order is None or survivor.order.later_than(half.tag_order)


def untag(state: Slice, config: Config, link: Link, side: Side) -> tuple[Link, bool]:
    """Take our tag off a contact whose partner is back. Returns the link and whether a command was issued."""
    half = link.half(side)
    record = state.record(config, side, half)
    if half.tag == "none" or half.pending is not None or record is None or record.contact is None:
        return link, False
    forgotten = link.with_half(side, replace(half, tag="none", tag_order=None))
    ours = half.tag == "ours" and TRASH in record.contact.tags
    if not ours and (half.tag == "final" or _removed_by_person(half, record)):
        return forgotten, False
    if _passed_on(state, link, half, record):
        return forgotten, False
    if "untag" in half.refused:
        return link, False
    if (still := stopped(state, config, link, side)) is not None:
        return still, False
    aim, half = issue(state, config, link, side)
    command = Untag(
        aim=aim,
        contact_id=record.contact_id,
        tag=TRASH,
        guard=record.contact.guard,
        object=state.object(record),
    )
    return link.with_half(side, replace(half, pending=send(state, config, command))), True


def _passed_on(state: Slice, link: Link, half: Half, record: Record) -> bool:
    """Leave the tag to another link of ours to the same contact that wants it, if there is one."""
    for another in state.links_of(record):
        theirs = state.configs[another.connection]
        for on in SIDES:
            wants = theirs.tags_deletions_on(on) and another.half(on).tag != "final"
            same = another.half(on).contact_id == record.contact_id and theirs.account(on) == record.account
            if another.id != link.id and another.status == "tombstone" and wants and same:
                kept = replace(another.half(on), tag="ours", tag_order=half.tag_order)
                state.put_link(another.with_half(on, kept))
                return True
    return False
