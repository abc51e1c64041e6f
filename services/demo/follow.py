"""What happens inside, for the screen: the log's events, and sync's decisions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from services.contracts.contact import Contact
from services.demo.screen import Line, Screen
from services.main import Installation
from services.runtime.log import EVENTS, Consumer, Partition, Record

_GROUP = "demo"
_JOURNAL = """
SELECT j.number, extract(epoch FROM j.at)::float8 AS at, j.input, j.outcome, j.reason, j.detail, j.connection,
       l.left_id, l.right_id
FROM sync.journal AS j LEFT JOIN sync.link AS l ON l.id = j.link
WHERE j.number > $1 AND j.link IS NOT NULL ORDER BY j.number
"""
_LAST = "SELECT coalesce(max(number), 0) FROM sync.journal"
_AFTERWARDS = frozenset({"written", "absent", "nothing"})
_MOST = 1000
_FETCH_SECONDS = 1.0
_ASSIGNED_SECONDS = 60.0


class _Fact(msgspec.Struct, frozen=True):
    account: str = ""
    contact_id: str = ""
    contact: Contact | None = None
    origin: str = ""


class _FromHere:
    """The log's listener: every partition is read from where it ended when it was first asked for."""

    def __init__(self, ends: Mapping[Partition, int]) -> None:
        self.positions = dict(ends)
        self.complete = asyncio.Event()
        self._owned: set[Partition] = set()

    async def assigned(self, partitions: frozenset[Partition]) -> Mapping[Partition, int]:
        """Say where to go on."""
        self._owned |= partitions
        if self._owned >= self.positions.keys():
            self.complete.set()
        return {each: self.positions.get(each, 0) for each in partitions}

    async def revoked(self, partitions: frozenset[Partition]) -> None:
        """Let them go: nothing is under way here."""
        self._owned -= partitions


class Follower:
    """Shows events and decisions."""

    def __init__(self, installation: Installation, screen: Screen, consumer: Consumer, listener: _FromHere) -> None:
        self._store = installation.store
        self._log = installation.log
        self._screen = screen
        self._consumer = consumer
        self._listener = listener
        fields = (field for app in installation.apps.values() for field in app.manifest.fields)
        self._emails = sorted({field.path for field in fields if field.canonical == "email"})
        self._number = 0
        self._following = asyncio.Lock()
        self._people: dict[str, str] = {}

    async def skip(self) -> None:
        """Don't show what happened until now."""
        async with self._following:
            await self._read()
            self._number = await self._store.fetchval(_LAST)

    async def follow(self) -> None:
        """Show what happened since the last time."""
        async with self._following:
            for record in sorted(await self._read(), key=lambda each: (each.time, each.partition, each.offset)):
                self._event(record)
            for row in await self._store.fetch(_JOURNAL, self._number):
                self._number = row["number"]
                self._decision(row)

    async def _read(self) -> list[Record]:
        """Everything that the log has now and that wasn't read."""
        ends = {place: end for place, (_, end) in (await self._log.bounds(EVENTS)).items()}
        records: list[Record] = []
        while any(self._listener.positions[place] < end for place, end in ends.items()):
            for place, rows in (await self._consumer.fetch(max_records=_MOST, timeout=_FETCH_SECONDS)).items():
                self._listener.positions[place] = rows[-1].offset + 1
                records += rows
        return records

    def _event(self, record: Record) -> None:
        type = bytes(dict(record.headers).get("ce_type", b"")).decode()
        fact = msgspec.json.decode(record.value, type=_Fact)
        if type == "scan.finished":
            return
        if fact.contact is not None:
            values = (value for path in self._emails for value in fact.contact.fields.get(path, ()))
            email = next(values, "")
            if isinstance(email, str) and email:
                self._people[fact.contact_id] = email
        who = self._people.get(fact.contact_id, fact.contact_id)
        self._screen.add(Line(record.time.timestamp(), "event", fact.account, who, type, fact.origin))

    def _decision(self, row: Any) -> None:
        if row["input"].startswith("receipt.") and row["outcome"] in _AFTERWARDS:
            return  # the line of the write, or the next one, says it
        ids = [id for id in (row["left_id"], row["right_id"]) if id]
        who = next((self._people[id] for id in ids if id in self._people), "".join(ids[:1]))
        lines = ", ".join(msgspec.json.decode(row["detail"]).get("lines", ())) if row["detail"] else ""
        kind = {"held": "held", "hold": "held", "refused": "refused"}.get(row["outcome"], "decided")
        what = f"{row['outcome']} {lines}".strip()
        self._screen.add(Line(row["at"], kind, row["connection"] or "", who, f"{what}: {row['reason']}"))


@contextlib.asynccontextmanager
async def following(installation: Installation, screen: Screen) -> AsyncIterator[Follower]:
    """Show what happens from now on, each time the follower is asked to. Raises `TimeoutError` if the log is away."""
    listener = _FromHere({place: end for place, (_, end) in (await installation.log.bounds(EVENTS)).items()})
    async with installation.log.consumer(_GROUP, [EVENTS], _GROUP, listener) as consumer:
        async with asyncio.timeout(_ASSIGNED_SECONDS):
            await listener.complete.wait()
        follower = Follower(installation, screen, consumer, listener)
        await follower.skip()
        yield follower
