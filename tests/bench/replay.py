"""How fast history is audited: `python -m tests.bench.replay [EVENTS]`, a million of them without a number.

A history is told and written to a file by a process of its own; then this process reads it twice: once merely reading
and decoding it, once auditing it. Both rates, and the memory at ten points of the audit, are printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from services.contracts.commands import Command, Update
from services.contracts.contact import Contact, Fields, Order, PersonName
from services.contracts.envelope import Envelope, Headers, Message, Unreadable, from_headers, headers, seal, unseal
from services.contracts.events import ContactChanged
from services.contracts.receipts import Observation, Receipt, Written
from services.sync.configs import Told, ToldAccount, ToldConnection, configs_of
from services.sync.replay.audit import Audit, Past
from services.sync.replay.difference import Outcome, outcome_of
from services.sync.replay.effect import effect
from services.sync.replay.inputs import Body, Entry, Given, Scanned
from services.sync.replay.world import World
from services.sync.transact import Cause
from tests.core.bench import BOOK, SECOND, SHOP, START, TWO_WAY

APPS = {"shop_app": SHOP, "book_app": BOOK}
TOLD = Told(
    connections=(ToldConnection(msgspec.json.encode(TWO_WAY).decode(), 1, paused=False, removed=False),),
    accounts=(
        ToldAccount("office", "book_app", "{}", removed=False),
        ToldAccount("shop", "shop_app", "{}", removed=False),
    ),
)
PEOPLE = 20_000
"""At most; of fewer events, a tenth as many."""
BATCH = 50
"""Messages of one transaction."""
MILLION = 1_000_000
_DAY = datetime(2026, 9, 21, tzinfo=UTC)


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A transaction in the file."""

    entry: Entry
    outcomes: tuple[Outcome, ...]
    messages: tuple[tuple[Headers, msgspec.Raw], ...]


class Teller:
    """Tells a history: people change their phone numbers in the shop; each reaches the office, whose feed echoes it."""

    def __init__(self, people: int) -> None:
        self.people = people
        self.now = START
        self.number = 0
        self.messages = 0
        self.world = World()
        self.configs = configs_of(TOLD, APPS, incarnation=1)

    def lines(self, events: int) -> Iterator[Line]:
        """Yield transactions until there were so many messages."""
        for first in range(0, self.people, BATCH // 2):
            both: list[Message] = []
            for person in range(first, min(first + BATCH // 2, self.people)):
                both += [self._shop(person, 0), self._office(person, 0)]
            yield self._told(both)[0]
        yield self._scanned()
        turn = 0
        while self.messages < events:
            turn += 1
            for first in range(0, self.people, BATCH):
                if self.messages >= events:
                    return
                edits = [self._shop(person, turn) for person in range(first, min(first + BATCH, self.people))]
                line, commands = self._told(edits)
                yield line
                updates = [command for command in commands if isinstance(command, Update)]
                assert len(updates) == len(edits)
                yield self._told([self._written(update) for update in updates])[0]
                yield self._told([self._office(person, turn) for person in range(first, first + len(updates))])[0]

    def _scanned(self) -> Line:
        fact = Given(rows=tuple(Scanned(account=account) for account in ("shop", "office")))
        self.world.give(fact)
        self.number += 1
        body = Body(items=(fact,), incarnation=0)
        return Line(Entry(number=self.number, now=self.now, config="", effect="", body=body), (), ())

    def _told(self, messages: Sequence[Message]) -> tuple[Line, list[Command]]:
        self.number += 1
        self.now += SECOND // 10
        sealed = [
            seal(message, id=f"bench:{self.messages + at}", source="bench", subject="", time=_DAY)
            for at, message in enumerate(messages)
        ]
        contents = tuple((headers(envelope), msgspec.Raw(envelope.data)) for envelope in sealed)
        self.messages += len(messages)
        causes = causes_of(contents)
        journal, state, before = self.world.fold(causes, self.configs, now=self.now)
        entry = Entry(
            number=self.number,
            now=self.now,
            config=TOLD.fingerprint,
            effect=effect(before, state),
            body=Body(items=tuple(cause.kept for cause in causes), incarnation=1),
        )
        outcomes = tuple(outcome_of(row) for row in journal)
        return Line(entry, outcomes, contents), [command for command, _ in state.commands]

    def _order(self) -> Order:
        return Order(self.now - SECOND // 20, self.now)

    def _shop(self, person: int, turn: int) -> ContactChanged:
        fields: Fields = {
            "name": (f"Ada Nr{person}",),
            "email": (f"p{person}@example.com",),
            "phone": (f"+1 202 555 {turn:04d}",),
        }
        raw = msgspec.Raw(msgspec.json.encode({"id": f"cus_{person}", "email": f"p{person}@example.com", "turn": turn}))
        return ContactChanged(
            account="shop",
            contact_id=f"cus_{person}",
            order=self._order(),
            origin="webhook",
            contact=Contact(fields=fields),
            object=raw,
        )

    def _card(self, person: int, turn: int) -> Contact:
        fields: Fields = {
            "n": (PersonName(given="Ada", family=f"Nr{person}"),),
            "email": (f"p{person}@example.com",),
            "tel": (f"+1202555{turn:04d}",),
        }
        return Contact(fields=fields)

    def _office(self, person: int, turn: int) -> ContactChanged:
        return ContactChanged(
            account="office",
            contact_id=f"card_{person}",
            order=self._order(),
            origin="feed",
            contact=self._card(person, turn),
        )

    def _written(self, update: Update) -> Receipt:
        person = int(update.contact_id.rpartition("_")[2])
        contact = self._card(person, 0)
        contact = msgspec.structs.replace(contact, fields={**contact.fields, **update.fields})
        seen = Observation(contact_id=update.contact_id, order=self._order(), contact=contact)
        return Receipt(aim=update.aim, outcome=Written(contact_id=update.contact_id, seen=seen))


def causes_of(messages: Sequence[tuple[Headers, msgspec.Raw]]) -> list[Cause]:
    """Decode messages as they stand in a log."""
    found = []
    for at, (rows, value) in enumerate(messages):
        envelope = from_headers(rows, bytes(value))
        assert isinstance(envelope, Envelope)
        item = unseal(envelope)
        assert not isinstance(item, Unreadable)
        place = ("contacts.events", 0, at)
        cause = Cause(
            item=item,  # type: ignore[arg-type]
            type=envelope.type,
            id=envelope.id,
            topic=place[0],
            partition=place[1],
            position=place[2],
        )
        found.append(cause)
    return found


def write(path: Path, events: int) -> None:
    """Tell a history and write it down."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for line in Teller(min(PEOPLE, max(events // 10, 1))).lines(events):
            file.write(encode(line) + b"\n")


def pasts(path: Path) -> Iterator[Past]:
    """Read and decode a history."""
    decode = msgspec.json.Decoder(Line).decode
    with path.open("rb") as file:
        for text in file:
            line = decode(text)
            yield Past(entry=line.entry, outcomes=line.outcomes, messages=tuple(causes_of(line.messages)))


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    events: int
    read_per_second: float
    audited_per_second: float
    read_per_cpu: float
    """Events per second of this process's own time: what a machine that does nothing else would come to."""
    audited_per_cpu: float
    differences: int
    writes: int
    memory: tuple[tuple[int, float], ...]
    """(events audited, resident MB) at ten points."""

    def told(self) -> str:
        """Say it."""
        points = "\n".join(f"  {events:>10,} events  {megabytes:8.1f} MB" for events, megabytes in self.memory)
        share = self.audited_per_second / self.read_per_second
        return (
            f"{self.events:,} events: read and decoded at {self.read_per_second:,.0f}/s, audited at "
            f"{self.audited_per_second:,.0f}/s ({share:.0%}), differences={self.differences} writes={self.writes}\n"
            f"by processor time alone: read at {self.read_per_cpu:,.0f}/s, audited at {self.audited_per_cpu:,.0f}/s\n"
            f"resident memory during the audit:\n{points}"
        )


def measure(path: Path) -> Measured:
    """Read the history, then audit it."""
    reading, events = _Clock(), 0
    for past in pasts(path):
        events += len(past.messages)
    read, read_cpu = reading.passed()
    audit = Audit(APPS, told={TOLD.fingerprint: TOLD})
    memory: list[tuple[int, float]] = []
    auditing = _Clock()
    for past in pasts(path):
        audit.take(past)
        if audit.messages >= events * (len(memory) + 1) // 10:
            memory.append((audit.messages, resident()))
    audited, audited_cpu = auditing.passed()
    return Measured(
        events=events,
        read_per_second=events / read,
        audited_per_second=events / audited,
        read_per_cpu=events / read_cpu,
        audited_per_cpu=events / audited_cpu,
        differences=sum(audit.counts.values()),
        writes=audit.writes,
        memory=tuple(memory),
    )


class _Clock:
    """Seconds on the wall, and of this process on a processor."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def passed(self) -> tuple[float, float]:
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def resident() -> float:
    """Return this process's resident memory, in MB (Linux: https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(events: int) -> None:
    """Measure with so many events."""
    with tempfile.TemporaryDirectory(prefix="contactsync-bench-") as folder:
        path = Path(folder) / "history"
        subprocess.run([sys.executable, "-m", "tests.bench.replay", "--write", str(path), str(events)], check=True)
        sys.stdout.write(f"{measure(path).told()}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else MILLION)
