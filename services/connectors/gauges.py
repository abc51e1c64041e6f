"""The connectors' gauges: how far behind, which accounts can't be written to, and what is unanswered."""

from collections.abc import Collection, Mapping

from services.connectors.runner import PROGRESS, group_of
from services.contracts.app import Manifest
from services.runtime.gauges import Lag, Rows
from services.runtime.log import Log, commands_topic
from services.runtime.metrics import Metrics
from services.runtime.store import Store

_ACCOUNTS = """
SELECT r.name AS account, coalesce(c.paused_until > clock_timestamp(), false) AS throttled,
    c.revoked_at IS NOT NULL AS revoked, (c.breaker_open_since IS NOT NULL OR c.revoked_at IS NOT NULL) AS down
FROM registry.account r LEFT JOIN connectors.account c ON c.account = r.name
WHERE r.removed_at IS NULL AND r.app = ANY($1::text[])
"""
_UNSETTLED = """
SELECT account, count(*) AS n, extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS age,
    count(*) FILTER (WHERE state = 'unknown') AS unknown,
    coalesce(extract(epoch FROM clock_timestamp() - min(unknown_since)), 0)::float8 AS unknown_age
FROM connectors.ledger WHERE state <> 'settled' AND app = ANY($1::text[]) GROUP BY 1
"""
_PARKED = "SELECT topic, count(*) AS n FROM connectors.parked WHERE topic = ANY($1::text[]) GROUP BY 1"
_REPORTS = "SELECT count(*) FROM connectors.report"


class ConnectorGauges:
    """Reads them all when called, for the apps that this process serves; every process of them shows the same."""

    def __init__(self, store: Store, log: Log, metrics: Metrics, apps: Collection[str]) -> None:
        self._store = store
        self._metrics = metrics
        self._apps = sorted(apps)
        self._lags = {app: Lag(log, store, PROGRESS, metrics) for app in self._apps}
        self._throttled = Rows(metrics.throttled)
        self._revoked = Rows(metrics.revoked)
        self._down = Rows(metrics.breaker_open)
        self._unsettled = Rows(metrics.unsettled)
        self._age = Rows(metrics.unsettled_age_seconds)
        self._unknown = Rows(metrics.unknown_outcomes)
        self._unknown_age = Rows(metrics.unknown_age_seconds)
        self._parked = Rows(metrics.set_aside)

    async def __call__(self) -> None:
        """Set them. Raises what the log and the store raise."""
        topics = [commands_topic(app) for app in self._apps]
        async with self._store.transaction(readonly=True) as database:
            accounts = await database.fetch(_ACCOUNTS, self._apps)
            unsettled = await database.fetch(_UNSETTLED, self._apps)
            parked = await database.fetch(_PARKED, topics)
            reports = await database.fetchval(_REPORTS)
        self._throttled.set({(row["account"],): row["throttled"] for row in accounts})
        self._revoked.set({(row["account"],): row["revoked"] for row in accounts})
        self._down.set({(row["account"],): row["down"] for row in accounts})
        self._unsettled.set({(row["account"],): row["n"] for row in unsettled})
        self._age.set({(row["account"],): row["age"] for row in unsettled})
        self._unknown.set({(row["account"],): row["unknown"] for row in unsettled})
        self._unknown_age.set({(row["account"],): row["unknown_age"] for row in unsettled})
        self._parked.set({(row["topic"],): row["n"] for row in parked})
        self._metrics.reports.set(reports)
        for app, lag in self._lags.items():
            await lag.read(group_of(app), (commands_topic(app),))


def tell_pace(metrics: Metrics, manifests: Mapping[str, Manifest]) -> None:
    """Set how many requests a second the accounts of each app are sent at most."""
    for app, manifest in manifests.items():
        metrics.pace_per_second.labels(app, "read").set(manifest.pace.read)
        metrics.pace_per_second.labels(app, "write").set(manifest.pace.write)
