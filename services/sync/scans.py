"""The end of a scan: it counts once it has passed in all partitions (P7); what it no longer showed is suspect."""

import structlog

from services.contracts.events import ScanFinished
from services.runtime.store import Connection as Database
from services.sync.journal import keep_given
from services.sync.load import present
from services.sync.replay.inputs import Given, Scanned

HELD_FROM = 20
"""Suspected deletions of one scan from which on a person is asked first (E6)."""

_ACCOUNT = """
INSERT INTO sync.account (account) VALUES ($1) ON CONFLICT DO NOTHING
"""
_LOCK = "SELECT scanned_at FROM sync.account WHERE account = $1 FOR UPDATE"
_ENDED = """
INSERT INTO sync.scan_pass (account, number, partition, start, count) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING
"""
_ENDS = "SELECT count(*) FROM sync.scan_pass WHERE account = $1 AND number = $2"
_SCANNED = "UPDATE sync.account SET scanned_at = now() WHERE account = $1"
_WAKE = "INSERT INTO sync.wake (link) SELECT id FROM sync.link WHERE wait_reason = 'scan' AND wait_on = $1"
_SUSPECTS = """
SELECT contact_id FROM sync.contact
 WHERE account = $1 AND NOT deleted AND order_end < $3 AND scan IS DISTINCT FROM $2
"""
_SUSPECT = """
INSERT INTO sync.suspect (account, contact_id, scan, held, since) SELECT $1, unnest($2::text[]), $3, $4, now()
    ON CONFLICT (account, contact_id) DO NOTHING
"""


async def finish_scan(database: Database, scan: ScanFinished, partition: int, partitions: int) -> None:
    """Note that the scan's end has passed in one partition; after the last one the account counts as scanned.

    Decisions read whether it does FOR SHARE, so none is taken half before and half after this.
    """
    await database.execute(_ACCOUNT, scan.account)
    scanned_at = await database.fetchval(_LOCK, scan.account)
    ended = await database.execute(_ENDED, scan.account, scan.number, partition, scan.start, scan.count)
    if ended != "INSERT 0 1":
        return  # the same end once more: what followed from it has followed
    if await database.fetchval(_ENDS, scan.account, scan.number) < partitions:
        return
    if scanned_at is None:
        await database.execute(_SCANNED, scan.account)
        await database.execute(_WAKE, scan.account)
        await keep_given(database, await present(database), Given(rows=(Scanned(account=scan.account),)))
    missing = [row["contact_id"] for row in await database.fetch(_SUSPECTS, scan.account, scan.number, scan.start)]
    if missing:
        held = len(missing) >= HELD_FROM
        await database.execute(_SUSPECT, scan.account, missing, scan.number, held)
    structlog.get_logger().info("scan_passed", account=scan.account, count=scan.count, suspects=len(missing))
