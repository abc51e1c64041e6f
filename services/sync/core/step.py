"""The step: from what is known of a link to what is to be done about it, now. Total, and without any effect."""

from msgspec.structs import replace

from services.contracts.contact import SIDES, Side
from services.sync.core.deletion import gone
from services.sync.core.live import live
from services.sync.core.mapping import Config
from services.sync.core.pairing import pair
from services.sync.core.slice import OlderConfigError, Slice
from services.sync.core.state import Half, Link, Record
from services.sync.core.values import turned

CATCHING_UP = 2_000_000
"""Microseconds between two looks whether the log was read again."""
LATER = 1_000_000
"""Microseconds after which a half-link looks again whether another link takes its contact up."""


def step(state: Slice, link_id: str) -> None:
    """Decide what is to be done about a link, from what the slice knows.

    Puts the link's new state, commands and one decision into the slice. Raises `OlderConfigError` if the link
    was decided under a newer config than the slice holds (P11).
    """
    _step(state, link_id)
    link = state.links[link_id]
    if not _reserves(state, link):
        state.release(link)


def _reserves(state: Slice, link: Link) -> bool:
    """Whether the link may keep addresses reserved: it asks, creates, or what it made hasn't been seen yet (P8)."""
    if link.wait is not None and link.wait.reason == "find":
        return True
    config = state.configs.get(link.connection)
    return config is not None and any(
        half.attempted
        or half.pending is not None
        or (half.contact_id is not None and _unseen(state.record(config, side, half)))
        for side, half in _halves(link)
    )


def _halves(link: Link) -> tuple[tuple[Side, Half], tuple[Side, Half]]:
    return ("left", link.left), ("right", link.right)


def _unseen(record: Record | None) -> bool:
    return record is None or (record.contact is None and not record.deleted)


def _step(state: Slice, link_id: str) -> None:
    link = state.links[link_id]
    config = state.configs.get(link.connection)
    if link.status == "ended" or config is None or config.removed:
        return
    if link.config_version > config.version:
        raise OlderConfigError(link.connection)
    if _rests(state, config, link):
        return
    records = {side: state.record(config, side, link.half(side)) for side in SIDES}
    for side, doubted in records.items():
        contact_id = link.half(side).contact_id
        if contact_id is not None and _in_doubt(doubted):
            waiting = state.waiting(link, "look", contact_id)
            reason = "the contact is being looked at: what is known of it is in doubt"
            state.decide(link, waiting, config, "wait", reason)
            return
    turn(state, config, link)
    link = state.links[link_id]
    if link.direction != config.connection.direction:
        waiting = state.waiting(link, "config", link.connection)
        state.decide(link, waiting, config, "wait", "the new direction waits until the write under way is settled")
        return
    left, right = records["left"], records["right"]
    if left is None or right is None:
        _half(state, config, link)
        return
    if left.deleted or right.deleted:
        gone(state, config, link, left, right)
        moved = state.links[link_id]
        if _contacts(moved) != _contacts(link) and moved.status != "ended" and moved.wait is None and moved.paired:
            step(state, link_id)
        return
    live(state, config, link, left, right)
    if not link.base:
        _report_twins(state, config, left, right)


def _half(state: Slice, config: Config, link: Link) -> None:
    if _is_heir(state, config, link):
        return
    pair(state, config, link)
    survivor = state.links[state.links[link.id].alias_of or link.id]
    if survivor.status == "active" and survivor.paired:
        step(state, survivor.id)


def _is_heir(state: Slice, config: Config, link: Link) -> bool:
    """Whether a link of a contact that was merged into this half-link's takes it up, or may: then that is decided."""
    side: Side = "left" if link.left.contact_id is not None else "right"
    record = state.record(config, side, link.half(side))
    for merged in [] if record is None else state.absorbed(record):
        theirs = state.link_of(config, side, merged.contact_id)
        if theirs is None or not theirs.paired or theirs.status not in ("active", "tombstone"):
            continue
        if merged.looking is not None or theirs.unsettled:
            waiting = state.waiting(link, "merge", merged.contact_id, until=state.now + LATER)
            state.decide(link, waiting, config, "wait", "a contact was merged into it: its link comes first")
            return True
        step(state, theirs.id)
        if state.links[link.id].status == "ended":
            return True
    return False


def _rests(state: Slice, config: Config, link: Link) -> bool:
    """Whether nothing is decided now, only recorded: paused, or after a restore (P12)."""
    if config.paused:
        state.decide(link, state.waiting(link, "paused", link.connection), config, "wait", "the connection is paused")
        return True
    if state.catching_up:
        # One side may be known as it was before a write of ours that the other side shows already.
        waiting = state.waiting(link, "restore", until=state.now + CATCHING_UP)
        state.decide(link, waiting, config, "wait", "after the restore the log is read again first")
        return True
    return False


def _contacts(link: Link) -> tuple[str | None, str | None]:
    return link.left.contact_id, link.right.contact_id


def _in_doubt(record: Record | None) -> bool:
    """Whether the contact has to be read before anything is decided about it."""
    return record is None or record.looking is not None or _unseen(record)


def turn(state: Slice, config: Config, link: Link) -> None:
    """Let a link take over a changed direction, unless a write is under way or a contact in doubt (P11).

    It must happen before an observation is folded that comes after the change: that one counts as later.
    """
    if link.direction == config.connection.direction or link.unsettled or config.paused or config.removed:
        return
    left, right = state.record(config, "left", link.left), state.record(config, "right", link.right)
    if any(record is not None and record.looking is not None for record in (left, right)):
        return
    base = link.base
    if left is not None and right is not None and left.contact is not None and right.contact is not None:
        base = turned(config, link, left.contact, right.contact, link.direction)
    state.put_link(replace(link, direction=config.connection.direction, base=base))


def _report_twins(state: Slice, config: Config, left: Record, right: Record) -> None:
    """A pair is new: contacts that stood outside and share an address with it are duplicates now (C4)."""
    for side, record in (("left", left), ("right", right)):
        for twin in state.sharing(record.account, record.addresses, but=record.contact_id):
            link = state.link_of(config, "left" if side == "left" else "right", twin.contact_id)
            if link is not None and link.status == "outside":
                step(state, link.id)
