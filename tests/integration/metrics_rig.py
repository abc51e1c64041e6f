"""Reading what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from services.runtime.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample of ours by its name without the prefix; None if there is none with these labels."""
    return metrics.registry.get_sample_value(f"contactsync_{name}", labels)


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels, whatever other labels they have."""
    return sum(
        sample.value
        for family in _families(metrics)
        for sample in family.samples
        if sample.name == f"contactsync_{name}" and labels.items() <= sample.labels.items()
    )


def moved(metrics: Metrics) -> set[str]:
    """Return the names of the families that say anything but zero, without the prefix."""
    return {
        family.name.removeprefix("contactsync_")
        for family in _families(metrics)
        if any(sample.value for sample in family.samples if not sample.name.endswith("_created"))
    }


def names() -> set[str]:
    """Return the names of all families, without the prefix."""
    return {family.name.removeprefix("contactsync_") for family in _families(Metrics())}


def _families(metrics: Metrics) -> Iterator[Metric]:
    yield from metrics.registry.collect()
