"""Everything that is measured, a sentence each."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """One process's metrics, in a registry of their own. Labels are names that people gave or codes of ours."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.deliveries = self._counter("deliveries", "Webhook requests by what became of them.", "account", "outcome")
        self.events_published = self._counter("events_published", "Events that are durably in the log.", "type")
        self.decisions = self._counter("decisions", "Decisions about links, nothing included.", "outcome")
        self.commands = self._counter("commands", "Commands that left the outbox.", "app", "kind")
        self.receipts = self._counter("receipts", "Receipts of commands.", "app", "outcome")
        self.parked = self._counter("parked", "Messages set aside for a person to release.", "topic", "reason")
        self.store_retries = self._counter("store_retries", "Transactions that were repeated.", "reason")
        self.webhook_seconds = self._histogram(
            "webhook_seconds", "Seconds from a webhook's first byte to its answer.", "outcome"
        )
        self.batch_seconds = self._histogram("batch_seconds", "Seconds that sync needs for one batch.")
        self.app_seconds = self._histogram("app_seconds", "Seconds that an app needs to answer.", "app", "kind")
        self.end_to_end_seconds = self._histogram(
            "end_to_end_seconds",
            "Seconds from the moment the source made a change visible to the target's answer.",
            "connection",
            "direction",
        )
        self.outbox_rows = self._gauge("outbox_rows", "Commands that wait in the outbox.")
        self.outbox_age_seconds = self._gauge("outbox_age_seconds", "Age of the oldest command in the outbox.")
        self.lag = self._gauge("lag", "Messages of a partition that aren't worked off.", "topic", "partition")
        self.links_waiting = self._gauge("links_waiting", "Links that wait, by reason.", "connection", "reason")
        self.breaker_open = self._gauge("breaker_open", "1 while an account isn't written to.", "account")

    def exposition(self) -> bytes:
        """What /metrics answers, with `content_type`."""
        return generate_latest(self.registry)

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(f"contactsync_{name}", sentence, labels, registry=self.registry)

    def _gauge(self, name: str, sentence: str, *labels: str) -> Gauge:
        return Gauge(f"contactsync_{name}", sentence, labels, registry=self.registry)

    def _histogram(self, name: str, sentence: str, *labels: str) -> Histogram:
        return Histogram(f"contactsync_{name}", sentence, labels, registry=self.registry, buckets=_SECONDS)
