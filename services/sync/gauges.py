"""sync's gauges: how far it is behind, what waits, and what waits for a person."""

from services.runtime.gauges import Lag, Rows
from services.runtime.log import EVENTS, RECEIPTS, Log
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from services.sync.worker import GROUP, PROGRESS

_OUTBOX = """
SELECT count(*) AS rows, coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8 AS age FROM sync.outbox
"""
_HELD = "SELECT connection, sum(holds) AS n FROM sync.link WHERE holds > 0 AND status <> 'ended' GROUP BY 1"
_WAITING = """
SELECT connection, wait_reason, count(*) AS n FROM sync.link
WHERE wait_reason IS NOT NULL AND wait_reason <> 'duplicate' AND status <> 'ended' GROUP BY 1, 2
"""
_PARKED = "SELECT topic, count(*) AS n FROM sync.parked GROUP BY 1"
_STUCK = "SELECT count(*) FROM sync.stuck"


class SyncGauges:
    """Reads them all when called. They are the installation's: every process of sync shows the same."""

    def __init__(self, store: Store, log: Log, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._lag = Lag(log, store, PROGRESS, metrics)
        self._held = Rows(metrics.held)
        self._waiting = Rows(metrics.links_waiting)
        self._parked = Rows(metrics.set_aside)

    async def __call__(self) -> None:
        """Set them. Raises what the log and the store raise."""
        async with self._store.transaction(readonly=True) as database:
            outbox = await database.fetchrow(_OUTBOX)
            held = await database.fetch(_HELD)
            waiting = await database.fetch(_WAITING)
            parked = await database.fetch(_PARKED)
            stuck = await database.fetchval(_STUCK)
        if outbox is not None:
            self._metrics.outbox_rows.set(outbox["rows"])
            self._metrics.outbox_age_seconds.set(outbox["age"])
        self._held.set({(row["connection"],): row["n"] for row in held})
        self._waiting.set({(row["connection"], row["wait_reason"]): row["n"] for row in waiting})
        self._parked.set({(row["topic"],): row["n"] for row in parked})
        self._metrics.stuck.set(stuck)
        await self._lag.read(GROUP, (EVENTS, RECEIPTS))
