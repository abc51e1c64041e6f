"""The demo's own installation: whether everything has been read, and whether anything is still on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.demo.child import DemoError
from services.ingest.cursor import scan_again
from services.main import Installation
from services.runtime.log import EVENTS, RECEIPTS, Partition, commands_topic

_SCANNED = """
SELECT count(*) = cardinality($1::text[]) FROM ingest.cursor AS c JOIN sync.account AS a USING (account)
WHERE account = ANY($1) AND c.state = 'live' AND c.trouble_count = 0 AND a.scanned_at IS NOT NULL
"""
# Every command decided is answered, every answer is published, and no link is to be reconsidered within 5 s.
_SETTLED = """
SELECT NOT EXISTS (SELECT FROM sync.outbox) AND NOT EXISTS (SELECT FROM sync.wake)
  AND NOT EXISTS (SELECT FROM connectors.ledger WHERE state <> 'settled')
  AND NOT EXISTS (SELECT FROM connectors.read) AND NOT EXISTS (SELECT FROM connectors.report)
  AND NOT EXISTS (SELECT FROM sync.link WHERE reconsider_at < clock_timestamp() + interval '5 s')
"""
_HANDLED = """
SELECT topic, partition, max(next_offset) AS next_offset
FROM (SELECT topic, partition, next_offset FROM sync.progress
      UNION ALL SELECT topic, partition, next_offset FROM connectors.progress) AS each
GROUP BY topic, partition
"""
_READY_SECONDS = 60.0
_PAUSE = 0.05


class House:
    """Looks into an installation that has these accounts."""

    def __init__(self, installation: Installation, accounts: Sequence[str]) -> None:
        self._installation = installation
        self._accounts = accounts

    async def scan_again(self) -> None:
        """Have every account read from start to end: what a killed Stripe never told is found."""
        async with self._installation.store.transaction() as database:
            for account in self._accounts:
                await scan_again(database, account)

    async def ready(self) -> None:
        """Wait until every account has been read and what followed from it is done. Raises `DemoError`."""
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not (await self.scanned() and await self.quiet()):
            if asyncio.get_running_loop().time() > deadline:
                raise DemoError(
                    f"The accounts weren't read within {_READY_SECONDS:.0f} s: `contactsync status` says why."
                )
            await asyncio.sleep(_PAUSE)

    async def scanned(self) -> bool:
        """Whether every account has been read from start to end."""
        return bool(await self._installation.store.fetchval(_SCANNED, list(self._accounts)))

    async def quiet(self) -> bool:
        """Whether nothing is on its way inside. What the other servers have is another question."""
        # The log's ends are asked last: what was published since the other answers shows as not handled.
        async with self._installation.store.transaction(readonly=True) as database:
            if not await database.fetchval(_SETTLED):
                return False
            rows = await database.fetch(_HANDLED)
        handled = {Partition(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        log, apps = self._installation.log, self._installation.apps
        topics = (EVENTS, RECEIPTS, *(commands_topic(app) for app in apps))
        ends = [await log.bounds(topic) for topic in topics]
        return all(end <= handled.get(place, 0) for bounds in ends for place, (_, end) in bounds.items())
