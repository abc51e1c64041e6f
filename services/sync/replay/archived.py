"""The audit of an archive: history as an export holds it, without any database or log (G5)."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from services.contracts.app import Manifest
from services.runtime.archive.reading import Archive
from services.runtime.log import Partition, Record
from services.sync.configs import Told
from services.sync.core.state import Link, Window
from services.sync.core.state import Record as Contact
from services.sync.hand.word import PERSON
from services.sync.replay.audit import Audit, Filters
from services.sync.replay.checkpoint import Head
from services.sync.replay.difference import Outcome
from services.sync.replay.inputs import Body, Entry, Known, Linked, Message, Opened, Reserved, Row, Scanned
from services.sync.replay.past import Messages, Read, Written, past_of
from services.sync.replay.present import Comparison
from services.sync.replay.run import TOPICS, Audited, Bounds, NoStartError, Went
from services.sync.replay.world import World

_AHEAD = 1_000
"""Transactions whose decisions may stand before an earlier one's: far more than work at once."""
_PAUSE = 100
"""Transactions between two looks at whether it is to be stopped."""


class _Input(msgspec.Struct, frozen=True):
    number: int
    xid: str
    now: int
    config: str
    effect: str
    body: Body

    def entry(self) -> Entry:
        return Entry(number=self.number, now=self.now, config=self.config, effect=self.effect, body=self.body)


class _Config(msgspec.Struct, frozen=True):
    fingerprint: str
    body: Told


class _Start(msgspec.Struct, frozen=True):
    whole: bool


class _Account(msgspec.Struct, frozen=True):
    account: str
    scanned_at: str | None


class _Contact(msgspec.Struct, frozen=True):
    state: Contact
    object: str


class _Link(msgspec.Struct, frozen=True):
    seq: int
    state: Link


class _Reservation(msgspec.Struct, frozen=True):
    account: str
    address: str
    link: str


def visible(xid: int, snapshot: str) -> bool:
    """Whether a transaction had been committed in a snapshot: `xmin:xmax:xid,…` as PostgreSQL writes it.

    https://www.postgresql.org/docs/16/functions-info.html#FUNCTIONS-PG-SNAPSHOT
    """
    lowest, end, running = snapshot.split(":")
    return xid < int(lowest) or (xid < int(end) and str(xid) not in running.split(","))


async def run_archive(
    archive: Archive,
    manifests: Mapping[str, Manifest],
    *,
    start: tuple[Head, World] | None = None,
    filters: Filters | None = None,
    went: Went = lambda _, __: True,
) -> Audited:
    """Audit everything in the archive since `start`, or since the beginning. As `run`; raises `ArchiveError`, too."""
    if start is None and not _whole(archive):
        raise NoStartError
    audit = Audit(manifests, told={row.fingerprint: row.body for row in archive.rows("sync.input_config", _Config)})
    audit.filters = filters or Filters()
    after = None
    if start is not None:
        after, audit.world, audit.number = start[0].after, start[1], start[0].number
    total = sum(1 for _ in _inputs(archive, after))
    messages = Messages(_reader(archive), _bounds(archive))
    outcomes = _Outcomes(archive)
    done = True
    for entry in _inputs(archive, after):
        items = [item for item in entry.body.items if isinstance(item, Message)]
        contents = [await messages.of(item, entry.number) for item in items]
        audit.take(past_of(entry, outcomes.of(entry.number), contents))
        if audit.transactions % _PAUSE == 0:
            await asyncio.sleep(0)
        if not went(audit, total):
            done = False
            break
    newest = archive.manifest.newest
    at = round(newest.at.timestamp() * 1_000_000)
    if done and newest.whole:
        comparison = Comparison(audit, at)
        for row in known(archive):
            comparison.take(row)
        comparison.end()
    head = Head(number=audit.number, snapshot=newest.snapshot, at=at if done else audit.at)
    return Audited(audit=audit, total=total, whole=done, head=head)


def known(archive: Archive) -> Iterator[Row]:
    """Yield everything that sync knew at the newest export."""
    for account in archive.rows("sync.account", _Account):
        if account.scanned_at is not None:
            yield Scanned(account=account.account)
    for contact in archive.rows("sync.contact", _Contact):
        yield Known(record=contact.state, object=contact.object)
    for link in archive.rows("sync.link", _Link):
        yield Linked(link=replace(link.state, seq=link.seq))
    for held in archive.rows("sync.reservation", _Reservation):
        yield Reserved(account=held.account, address=held.address, link=held.link)
    for window in archive.rows("sync.deletion_window", Window):
        yield Opened(window=window)


class _Outcomes:
    """Decisions by their transaction: the journal is in the order of its own numbers, which is nearly the same."""

    def __init__(self, archive: Archive) -> None:
        self._rows = archive.rows("sync.journal", Written)
        self._found: defaultdict[int, list[Outcome]] = defaultdict(list)
        self._reached = 0

    def of(self, number: int) -> tuple[Outcome, ...]:
        while self._reached < number + _AHEAD:
            row = next(self._rows, None)
            if row is None:
                break
            if row.tx is not None and row.input != PERSON:
                self._reached = max(self._reached, row.tx)
                self._found[row.tx].append(row.told())
        return tuple(self._found.pop(number, ()))


def _inputs(archive: Archive, after: tuple[int, str] | None) -> Iterator[Entry]:
    for row in archive.rows("sync.input", _Input):
        if after is None or row.number > after[0] or not visible(int(row.xid), after[1]):
            yield row.entry()


def _whole(archive: Archive) -> bool:
    """Whether it begins with an empty store: what the first export found, and what later ones added to it."""
    first = min(export.number for export in archive.manifest.exports)
    return any(row.whole for row in archive.rows("sync.input_start", _Start, export=first))


def _bounds(archive: Archive) -> Bounds:
    topics = archive.manifest.newest.topics
    found: dict[Partition, tuple[int, int]] = {}
    for topic in TOPICS:
        parts = [part for part in archive.manifest.parts if part.stream.startswith(f"log/{topic}/") and part.rows]
        for number, (first, end) in enumerate(topics[topic].bounds if topic in topics else ()):
            mine = [part.first or 0 for part in parts if part.stream == f"log/{topic}/{number}"]
            found[Partition(topic, number)] = (min([first, *mine]), end)
    return found


def _reader(archive: Archive) -> Read:
    async def read(place: Partition, start: int, end: int) -> AsyncIterator[Sequence[Record]]:
        run: list[Record] = []
        for record in archive.records(place, start, end):
            run.append(record)
            if len(run) == _PAUSE:
                yield run
                run = []
        yield run

    return read
