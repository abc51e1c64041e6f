"""What a person's word does to a slice: contacts linked and unlinked, refusals forgotten (C7, G2)."""

from itertools import count
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from services.contracts.contact import SIDES, Side
from services.contracts.envelope import derived
from services.sync.core.apart import bring_together, set_apart
from services.sync.core.mapping import Config
from services.sync.core.pairing import in_flight
from services.sync.core.slice import Slice, clear
from services.sync.core.state import Half, Link, Record, other
from services.sync.core.step import step

Why: TypeAlias = Literal["writing", "reading", "creating", "gone", "apart", "alone", "catching up"]


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """The two contacts are a pair now."""

    link: str
    already: bool = False
    """They were before."""
    left_alone: tuple[tuple[Side, str], ...] = ()
    """Contacts that were linked with one of them until now."""


class Unlinked(msgspec.Struct, frozen=True, kw_only=True):
    """The pair is dissolved."""

    left: str
    right: str


class Not(msgspec.Struct, frozen=True, kw_only=True):
    """It can't be done; nothing was changed."""

    why: Why
    contact_id: str = ""

    @property
    def passing(self) -> bool:
        """Whether a moment's patience helps."""
        return self.why in ("writing", "reading", "creating")


def join(state: Slice, config: Config, left_id: str, right_id: str) -> Linked | Not:
    """Pair two contacts by a person's word: it outranks matching. First pairing (D7) decides about their values.

    Former partners are alone then, and looked at as if they were seen for the first time.
    """
    if state.catching_up:
        return Not(why="catching up")
    records: dict[Side, Record] = {}
    for side, contact_id in ((SIDES[0], left_id), (SIDES[1], right_id)):
        record = state.records.get((config.account(side), contact_id))
        if record is None or not record.live:
            return Not(why="reading" if record is not None and record.looking else "gone", contact_id=contact_id)
        records[side] = record
    linked = state.link_of(config, "left", left_id)
    if linked is not None and linked.right.contact_id == right_id:
        return Linked(link=linked.id, already=True)
    for record in records.values():
        if record.looking is not None:
            return Not(why="reading", contact_id=record.contact_id)
        if in_flight(state, record) is not None:
            return Not(why="creating", contact_id=record.contact_id)
    present = [state.link_of(config, side, records[side].contact_id) for side in SIDES]
    if any(link is not None and link.unsettled for link in present):
        return Not(why="writing")
    keep, gone = (state.first_sight(config, side, records[side].contact_id) for side in SIDES)
    moving: Side = "right"
    if _issued(gone) and not _issued(keep):
        # The ledger knows a link by its id once a write was issued for it.
        keep, gone, moving = gone, keep, "left"
    alone: list[tuple[Side, Half]] = [(moving, keep.half(moving)), (other(moving), gone.half(other(moving)))]
    ended = clear(replace(gone, status="ended", alias_of=keep.id))
    state.decide(gone, ended, config, "end", "a person linked its contact: the other link goes on")
    state.release(keep)
    joined = keep.with_half(moving, _taken(keep.half(moving), gone.half(moving)))
    joined = replace(joined, status="active", base={}, finding=None, merged=None, counted=None, number=0)
    joined = clear(replace(joined, rule=keep.rule or "left"))
    state.decide(keep, joined, config, "link", "a person linked them")
    bring_together(state, config, records["left"], records["right"])
    links = [(side, _alone(state, config, side, half)) for side, half in alone]
    for link in (joined, *(fresh for _, fresh in links if fresh is not None)):
        step(state, link.id)
    return Linked(
        link=joined.id,
        left_alone=tuple((side, fresh.half(side).contact_id or "") for side, fresh in links if fresh is not None),
    )


def part(state: Slice, config: Config, link_id: str) -> Unlinked | Not:
    """Dissolve a pair by a person's word: nothing is written, and these two aren't matched again."""
    link = state.links.get(link_id)
    if state.catching_up:
        return Not(why="catching up")
    if link is None or link.status == "ended":
        return Not(why="apart")
    left, right = state.record(config, "left", link.left), state.record(config, "right", link.right)
    if left is None or right is None:
        return Not(why="writing" if link.unsettled else "apart")
    for record in (left, right):
        if record.deleted:
            return Not(why="alone", contact_id=record.contact_id)
    if link.unsettled:
        return Not(why="writing")
    set_apart(state, config, left, right)
    ended = clear(replace(link, status="ended"))
    state.decide(link, ended, config, "unlink", "a person unlinked them: they aren't matched with each other again")
    links = [_alone(state, config, side, link.half(side)) for side in SIDES]
    for fresh in links:
        if fresh is not None:
            step(state, fresh.id)
    return Unlinked(left=left.contact_id, right=right.contact_id)


def retry(state: Slice, link_id: str) -> int:
    """Forget what the apps refused to this link, and decide anew (P15); return how many refusals that were."""
    link = state.links.get(link_id)
    config = None if link is None else state.configs.get(link.connection)
    if link is None or config is None or link.status == "ended":
        return 0
    refusals = len(link.left.refused) + len(link.right.refused)
    if not refusals:
        return 0
    after = replace(link, left=replace(link.left, refused={}), right=replace(link.right, refused={}))
    if after.wait is not None and after.wait.reason == "refused":
        after = clear(after)
    state.decide(link, after, config, "retry", f"a person asked for it again: {refusals} refused values are forgotten")
    step(state, link_id)
    return refusals


def _issued(link: Link) -> bool:
    return link.left.issued > 0 or link.right.issued > 0


def _taken(place: Half, contact: Half) -> Half:
    """Return the half with another link's contact: the versions are the link's, what we did to the contact is its."""
    return replace(
        place,
        contact_id=contact.contact_id,
        attempted=False,
        refused={},
        held={},
        written=(),
        stopped=None,
        expects=(),
        overwritten={},
        there=contact.there,
        applied=contact.applied,
        tag=contact.tag,
        tag_order=contact.tag_order,
    )


def _alone(state: Slice, config: Config, side: Side, half: Half) -> Link | None:
    """Return a new half-link for a contact that lost its partner; None if it is gone.

    Under a new id: what the old link made carries that one's, and would be taken for what a later create made.
    """
    record = state.record(config, side, half)
    if half.contact_id is None or record is None or record.deleted:
        return None
    lives = (derived("link", config.connection.name, side, half.contact_id, state.now, life) for life in count())
    fresh = Link(
        id=next(life for life in lives if life not in state.links),
        connection=config.connection.name,
        direction=config.connection.direction,
        config_version=config.version,
        # After every stored link: those that give the contact up are written first.
        seq=state.sighted(),
    )
    kept = Half(contact_id=half.contact_id, there=half.there, applied=half.applied)
    return state.put_link(fresh.with_half(side, kept))
