"""Everything that is measured, a sentence each. docs/operations/metrics.md says how to read it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """One process's metrics, in a registry of their own. Labels are names that people gave or codes of ours.

    Counters and histograms count what this process did: they are added up over processes. Gauges that are read from
    the database are the same in every process of a role: of them the largest counts.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of_every_role()
        self._of_ingest()
        self._of_sync()
        self._of_connectors()

    def _of_every_role(self) -> None:
        self.loop_delay_seconds = self._histogram(
            "loop_delay_seconds", "Seconds by which the process's own loop came late to what was due."
        )
        self.measured_at_seconds = self._gauge(
            "measured_at_seconds", "When a role's gauges were last read from the database, in unix time.", "role"
        )
        self.events_published = self._counter("events_published", "Events that are durably in the log.", "type")
        self.lag = self._gauge("lag", "Messages of a partition that aren't worked off.", "topic", "partition")
        self.lag_seconds = self._gauge(
            "lag_seconds", "For how long a partition's oldest message has been waiting.", "topic", "partition"
        )
        self.parked = self._counter("parked", "Messages set aside for a person to release.", "topic", "reason")
        self.set_aside = self._gauge("set_aside", "Messages that are set aside now.", "topic")

    def _of_ingest(self) -> None:
        self.deliveries = self._counter("deliveries", "Webhook requests by what became of them.", "account", "outcome")
        self.webhook_seconds = self._histogram(
            "webhook_seconds", "Seconds from a webhook's first byte to its answer.", "outcome"
        )
        self.poll_age_seconds = self._gauge(
            "poll_age_seconds", "Seconds since an account that is polled, or scanned, last answered.", "account"
        )
        self.poll_failures = self._gauge(
            "poll_failures", "Requests of an account's poller that failed since the last good one.", "account"
        )

    def _of_sync(self) -> None:
        self.commands = self._counter("commands", "Commands that left the outbox.", "app", "kind")
        self.batch_seconds = self._histogram("batch_seconds", "Seconds that sync needs for one batch.")
        self.end_to_end_seconds = self._histogram(
            "end_to_end_seconds",
            "Seconds from an event's being in the log to the target's answer, where nothing was waited for.",
            "connection",
            "direction",
        )
        self.outbox_rows = self._gauge("outbox_rows", "Commands that wait in the outbox.")
        self.outbox_age_seconds = self._gauge("outbox_age_seconds", "Age of the oldest command in the outbox.")
        self.links_waiting = self._gauge("links_waiting", "Links that wait, by reason.", "connection", "reason")
        self.held = self._gauge("held", "Changes that wait for a person's yes.", "connection")
        self.stuck = self._gauge("stuck", "Links and contacts whose reconsideration failed.")

    def _of_connectors(self) -> None:
        self.receipts = self._counter("receipts", "Receipts of commands.", "app", "outcome")
        self.app_seconds = self._histogram("app_seconds", "Seconds that an app needs to answer.", "app", "kind")
        self.requests = self._counter(
            "requests", "Requests to an account, by the quota they use.", "app", "account", "quota"
        )
        self.pace_per_second = self._gauge(
            "pace_per_second", "Requests a second that an account of the app is sent at most.", "app", "quota"
        )
        self.throttled = self._gauge("throttled", "1 while an account's quota is used up.", "account")
        self.breaker_open = self._gauge("breaker_open", "1 while an account isn't written to.", "account")
        self.revoked = self._gauge("revoked", "1 while an account refuses its credentials.", "account")
        self.unsettled = self._gauge("unsettled", "Writes that aren't answered.", "account")
        self.unsettled_age_seconds = self._gauge(
            "unsettled_age_seconds", "Age of the oldest write that isn't answered.", "account"
        )
        self.unknown_outcomes = self._gauge(
            "unknown_outcomes", "Writes of which nobody knows whether the app did them.", "account"
        )
        self.unknown_age_seconds = self._gauge(
            "unknown_age_seconds", "For how long the oldest of them has been unknown.", "account"
        )
        self.reports = self._gauge("reports", "Receipts and events that wait to be published.")

    def exposition(self) -> bytes:
        """What /metrics answers, with `content_type`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(f"contactsync_{name}", sentence, labels, registry=self.registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(f"contactsync_{name}", sentence, labels, registry=self.registry)

    def _histogram(self, name: str, sentence: str, *labels: str) -> Histogram:
        return Histogram(f"contactsync_{name}", sentence, labels, registry=self.registry, buckets=_SECONDS)
