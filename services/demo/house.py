"""The demo's own installation: what is waited for in it, followed for the screen, and taken over from a killed run."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from services.contracts.contact import Contact
from services.demo.child import DemoError
from services.demo.screen import Line, Screen
from services.ingest.cursor import scan_again
from services.runtime.log import EVENTS
from services.runtime.store import Store

# The data folder's lock says that no other process lives on this database: whatever still has a lease is dead.
_SCANNED = """
SELECT count(*) = $1 FROM ingest.cursor AS c JOIN sync.account AS a USING (account)
WHERE c.state = 'live' AND c.trouble_count = 0 AND a.scanned_at IS NOT NULL
"""
# Nothing is on its way: every message is handled, every command decided is answered, nobody waits to be woken.
_QUIET = """
SELECT NOT EXISTS (
    SELECT FROM log.partition AS p
    WHERE p.topic NOT LIKE '%parked' AND p.next_offset > coalesce(
        (SELECT max(g.next_offset) FROM (SELECT * FROM sync.progress UNION ALL SELECT * FROM connectors.progress) AS g
         WHERE (g.topic, g.partition) = (p.topic, p.number)), 0)
) AND NOT EXISTS (SELECT FROM sync.outbox) AND NOT EXISTS (SELECT FROM sync.wake)
  AND NOT EXISTS (SELECT FROM connectors.ledger WHERE state <> 'settled')
  AND NOT EXISTS (SELECT FROM connectors.read) AND NOT EXISTS (SELECT FROM connectors.report)
  AND NOT EXISTS (SELECT FROM sync.link WHERE reconsider_at < clock_timestamp() + interval '5 s')
"""
_EVENTS = """
SELECT partition, "offset", extract(epoch FROM at)::float8 AS at, headers, value FROM log.record
WHERE topic = $1 AND "offset" >= coalesce(($2::bigint[])[partition + 1], 0) ORDER BY at, partition, "offset"
"""
_ENDS = "SELECT next_offset FROM log.partition WHERE topic = $1 ORDER BY number"
_JOURNAL = """
SELECT j.number, extract(epoch FROM j.at)::float8 AS at, j.input, j.outcome, j.reason, j.detail, j.connection,
       l.left_id, l.right_id
FROM sync.journal AS j LEFT JOIN sync.link AS l ON l.id = j.link
WHERE j.number > $1 AND j.link IS NOT NULL ORDER BY j.number
"""
_LAST = "SELECT coalesce(max(number), 0) FROM sync.journal"
_READY_SECONDS = 60.0
_PAUSE = 0.05
_AFTERWARDS = frozenset({"written", "absent", "nothing"})


class _Fact(msgspec.Struct, frozen=True):
    account: str = ""
    contact_id: str = ""
    contact: Contact | None = None
    origin: str = ""


class House:
    """Looks into the demo's store."""

    def __init__(self, store: Store, screen: Screen) -> None:
        self._store = store
        self._screen = screen
        self._following = asyncio.Lock()
        self._offsets: list[int] = []
        self._number = 0
        self._people: dict[str, str] = {}

    async def scan_again(self) -> None:
        """Have both accounts read from start to end: what a killed Stripe never told is found."""
        async with self._store.transaction() as database:
            for account in ("book", "shop"):
                await scan_again(database, account)

    async def ready(self) -> None:
        """Wait until both accounts have been read and what followed from it is done. Raises `DemoError`."""
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not (await self.scanned() and await self.quiet()):
            if asyncio.get_running_loop().time() > deadline:
                raise DemoError(
                    f"The two accounts weren't read within {_READY_SECONDS:.0f} s: `contactsync status` says why."
                )
            await asyncio.sleep(_PAUSE)

    async def scanned(self) -> bool:
        """Whether both accounts have been read from start to end."""
        return bool(await self._store.fetchval(_SCANNED, 2))

    async def quiet(self) -> bool:
        """Whether nothing is on its way inside. What the other servers have is another question."""
        return bool(await self._store.fetchval(_QUIET))

    async def begin(self) -> None:
        """Show what happens from now on."""
        self._offsets = [row["next_offset"] for row in await self._store.fetch(_ENDS, EVENTS)]
        self._number = await self._store.fetchval(_LAST)

    async def follow(self) -> None:
        """Show the events and decisions since the last time."""
        async with self._following:
            for row in await self._store.fetch(_EVENTS, EVENTS, self._offsets):
                self._offsets[row["partition"]] = row["offset"] + 1
                self._event(row)
            for row in await self._store.fetch(_JOURNAL, self._number):
                self._number = row["number"]
                self._decision(row)

    def _event(self, row: Any) -> None:
        headers = dict(msgspec.msgpack.decode(row["headers"]))
        type = bytes(headers.get("ce_type", b"")).decode()
        fact = msgspec.json.decode(row["value"], type=_Fact)
        if type == "scan.finished":
            return
        if fact.contact is not None:
            email = next(iter(fact.contact.fields.get("email", ())), "")
            if isinstance(email, str) and email:
                self._people[fact.contact_id] = email
        who = self._people.get(fact.contact_id, fact.contact_id)
        self._screen.add(Line(row["at"], "event", fact.account, who, type, fact.origin))

    def _decision(self, row: Any) -> None:
        if row["input"].startswith("receipt.") and row["outcome"] in _AFTERWARDS:
            return  # the line of the write, or the next one, says it
        who = next((self._people[id] for id in (row["left_id"], row["right_id"]) if id in self._people), "")
        lines = ", ".join(msgspec.json.decode(row["detail"])["lines"]) if row["detail"] else ""
        kind = {"held": "held", "hold": "held", "refused": "refused"}.get(row["outcome"], "decided")
        what = f"{row['outcome']} {lines}".strip()
        self._screen.add(Line(row["at"], kind, row["connection"] or "", who, f"{what}: {row['reason']}"))
