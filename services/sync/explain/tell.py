"""The whole explanation of a link (G4), from one snapshot of the database. Locks nothing and writes nothing."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.contracts.contact import SIDES
from services.runtime.store import Connection as Database
from services.sync.configs import Configs
from services.sync.core.mapping import Config
from services.sync.core.state import Link
from services.sync.core.why import Ruling, ruling
from services.sync.explain.fields import fields, there_of
from services.sync.explain.find import earlier
from services.sync.explain.origin import Origins
from services.sync.explain.rehearse import Rehearsal, rehearse
from services.sync.explain.report import Entry, Explanation
from services.sync.explain.sides import moment, side_told, waits
from services.sync.explain.story import entries, rows

_STATUS = {
    "pairing": "it has no partner yet",
    "active": "it is in the sync",
    "outside": "it is outside the sync: no error, rules decide",
    "duplicate": "it takes no part: another contact has its address",
    "tombstone": "one of the pair was deleted",
    "ended": "the link has ended",
}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the timeline is wanted."""

    since: datetime | None = None
    most: int = 30
    """Entries, the newest; at least 0."""


async def explain(database: Database, configs: Configs, link_id: str, window: Window) -> Explanation | None:
    """Return everything about a link; None if it isn't known, or its connection's accounts aren't.

    The transaction has to be a repeatable read.
    """
    found = await rehearse(database, configs, link_id)
    config = None if found is None else configs.connections.get(found.link.connection)
    if found is None or config is None:
        return None
    link = found.link
    contacts = [id for side in SIDES if (id := link.half(side).contact_id) is not None]
    before = await earlier(database, configs, link.connection, link.id, contacts)
    own, more = await rows(database, [link.id, *before])
    around = own
    if found.around:
        around, _ = await rows(database, [link.id, *before, *(each.id for each in found.around)])
    origins = Origins(config=config, link=link, own=own, around=around)
    story, left_out = _within(entries(config, own), window)
    return Explanation(
        at=moment(found.now),
        connection=link.connection,
        direction=config.connection.direction,
        version=config.version,
        paused=config.paused,
        removed=config.removed,
        link=link.id,
        earlier=tuple(before),
        status=link.status,
        told=_status(config, link),
        wait=waits(link),
        left=side_told(config, found, "left"),
        right=side_told(config, found, "right"),
        fields=fields(config, found, origins),
        rules=_rulings(config, found),
        next=found.next,
        timeline=tuple(story),
        left_out=left_out,
        more=more,
    )


def _status(config: Config, link: Link) -> str:
    if config.removed:
        return f"the connection {link.connection} was removed: nothing is decided any more"
    return _STATUS[link.status]


def _rulings(config: Config, found: Rehearsal) -> tuple[Ruling, ...]:
    told = []
    for side in SIDES:
        record = found.record(config.account(side), found.link.half(side).contact_id)
        if record is not None and record.contact is not None:
            told.append(ruling(config, side, record, there=there_of(found.link, side)))
    return tuple(told)


def _within(story: Sequence[Entry], window: Window) -> tuple[Sequence[Entry], int]:
    """Return the entries wanted, and how many earlier ones are left out."""
    wanted = [each for each in story if window.since is None or each.at >= window.since]
    newest = wanted[max(0, len(wanted) - window.most) :]
    return newest, len(story) - len(newest)
