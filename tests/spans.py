"""Spans of the code under test, kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.runtime import tracing
from services.runtime.tracing.otel import OpenTelemetryTracer


@contextmanager
def traced(ratio: float = 1.0) -> Iterator[InMemorySpanExporter]:
    """This process's spans, as they end; `ratio` is the share of traces that are kept."""
    exporter = InMemorySpanExporter()
    tracer = OpenTelemetryTracer(exporter, ratio=ratio, instance="test", at_once=True)
    before = tracing.use(tracer)
    try:
        yield exporter
    finally:
        tracing.use(before)
        tracer.shutdown()
