"""ingest's gauges: whether the accounts that are polled answer."""

from collections.abc import Mapping

import msgspec

from services.contracts.connection import Account
from services.ingest.poller import interval
from services.runtime.app import App
from services.runtime.gauges import Rows
from services.runtime.metrics import Metrics
from services.runtime.store import Record, Store

_CURSORS = """
SELECT a.name, a.app, a.settings, c.state, c.trouble_count,
    greatest(extract(epoch FROM clock_timestamp() - coalesce(c.last_ok_at, c.scan_started_at)), 0)::float8 AS age
FROM ingest.cursor c JOIN registry.account a ON a.name = c.account
WHERE a.removed_at IS NULL AND EXISTS (
    SELECT FROM registry.connection r WHERE r.removed_at IS NULL AND a.name IN (r.body ->> 'left', r.body ->> 'right')
)
"""


class IngestGauges:
    """Reads them all when called. They are the installation's: every process of ingest shows the same."""

    def __init__(self, store: Store, metrics: Metrics, apps: Mapping[str, App]) -> None:
        self._store = store
        self._apps = apps
        self._age = Rows(metrics.poll_age_seconds)
        self._failures = Rows(metrics.poll_failures)

    async def __call__(self) -> None:
        """Set them. Raises what the store raises."""
        asked = [row for row in await self._store.fetch(_CURSORS) if row["state"] == "scanning" or self._polls(row)]
        self._age.set({(row["name"],): row["age"] for row in asked})
        self._failures.set({(row["name"],): row["trouble_count"] for row in asked})

    def _polls(self, row: Record) -> bool:
        """Whether a live account is asked at all: one that only sends webhooks says nothing by its silence."""
        app = self._apps.get(row["app"])
        if app is None:
            return False
        settings = msgspec.json.decode(row["settings"], type=dict[str, str])
        return interval(app, Account(name=row["name"], app=row["app"], settings=settings)) is not None
