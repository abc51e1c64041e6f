"""What sync knows now, read from the database row by row; and how a world made from history differs from it."""

from collections.abc import AsyncIterator

import msgspec
from msgspec.structs import replace

from services.runtime.store import Connection as Database
from services.sync.core.state import Link, Record, Window
from services.sync.replay.audit import Audit
from services.sync.replay.difference import Difference
from services.sync.replay.inputs import Known, Linked, Opened, Reserved, Row, Scanned
from services.sync.replay.world import World

_SCANNED = "SELECT account FROM sync.account WHERE scanned_at IS NOT NULL ORDER BY account"
_CONTACTS = "SELECT state, object FROM sync.contact"
_LINKS = "SELECT seq, state FROM sync.link"
_RESERVATIONS = "SELECT account, address, link::text FROM sync.reservation"
_WINDOWS = "SELECT connection, opened, active, count, said FROM sync.deletion_window"
_TOGETHER = 200

_records = msgspec.json.Decoder(Record)
_links = msgspec.json.Decoder(Link)


async def known(database: Database) -> AsyncIterator[Row]:
    """Yield everything that sync knows. The transaction has to be a repeatable read."""
    for row in await database.fetch(_SCANNED):
        yield Scanned(account=row["account"])
    async for row in database.cursor(_CONTACTS, prefetch=_TOGETHER):
        yield Known(record=_records.decode(row["state"]), object=row["object"])
    async for row in database.cursor(_LINKS, prefetch=_TOGETHER):
        yield Linked(link=replace(_links.decode(row["state"]), seq=row["seq"]))
    async for row in database.cursor(_RESERVATIONS, prefetch=_TOGETHER):
        yield Reserved(account=row["account"], address=row["address"], link=row["link"])
    async for row in database.cursor(_WINDOWS, prefetch=_TOGETHER):
        yield Opened(window=Window(**row))


async def world_of(database: Database) -> World:
    """Return what sync knows now. The transaction has to be a repeatable read."""
    world = World()
    async for row in known(database):
        world.put(row)
    return world


class Comparison:
    """What history leads to beside what is known in the end; `at`: microseconds since 1970."""

    def __init__(self, audit: Audit, at: int) -> None:
        self._audit = audit
        self._at = at
        self._there: set[tuple[str, ...]] = set()

    def take(self, row: Row) -> None:
        """Compare one thing that is known."""
        self._there.add(_name(row))
        if not self._audit.world.same(row):
            told = _difference(row, self._at, was="known so", now="known otherwise, or not at all")
            self._audit.differs(told)

    def end(self) -> None:
        """Everything was given: what history leads to beyond it differs, too."""
        for row in self._audit.world.rows():
            if _name(row) not in self._there:
                self._audit.differs(_difference(row, self._at, was="not known", now="known"))


async def compare(database: Database, audit: Audit, *, at: int) -> None:
    """Count where what history leads to isn't what is known now. `at`: microseconds since 1970.

    The transaction has to be the one that history was read in: later decisions aren't differences.
    """
    comparison = Comparison(audit, at)
    async for row in known(database):
        comparison.take(row)
    comparison.end()


def _name(row: Row) -> tuple[str, ...]:
    match row:
        case Known(record=record):
            return "contact", record.account, record.contact_id
        case Linked(link=link):
            return "link", link.id
        case Reserved():
            return "reservation", row.account, row.address
        case Opened(window=window):
            return "window", window.connection, str(window.opened)
        case Scanned():
            return "scanned", row.account


def _difference(row: Row, at: int, *, was: str, now: str) -> Difference:
    match row:
        case Known(record=record):
            who = (record.account, record.contact_id)
            return Difference(kind="state", number=0, at=at, cause="its record", contact=who, was=was, now=now)
        case Linked(link=link):
            of = link.connection
            return Difference(kind="state", number=0, at=at, cause="it", link=link.id, connection=of, was=was, now=now)
        case Reserved(link=holder):
            cause = "an address that it holds"
            return Difference(kind="state", number=0, at=at, cause=cause, link=holder, was=was, now=now)
        case Opened(window=window):
            of, cause = window.connection, "a count of deletions"
            return Difference(kind="state", number=0, at=at, cause=cause, connection=of, was=was, now=now)
        case Scanned():
            return Difference(kind="state", number=0, at=at, cause=f"{row.account} scanned", was=was, now=now)
