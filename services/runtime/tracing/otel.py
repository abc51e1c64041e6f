"""Spans by OpenTelemetry: which traces are kept, and how they reach a collector (OTLP over HTTP).

https://opentelemetry.io/docs/specs/otlp/#otlphttp names the protocol and its path, `/v1/traces`. What else the
exporter can be told (headers for a collector that asks for a password, certificates) are OpenTelemetry's own
environment variables, OTEL_EXPORTER_OTLP_*.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from services.runtime.tracing import TRACEPARENT, Kind, Recording, Value

PATH = "/v1/traces"
_SECONDS = 5.0
"""For one export, and so for the last one when the process ends."""
_KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


class _Recording:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        found = span.get_span_context()
        self._traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags & 1:02x}"

    @property
    def traceparent(self) -> str:
        return self._traceparent

    def tell(self, attributes: dict[str, Value]) -> None:
        # The names are ours, not a convention's: the same word in logs, metrics and traces.
        self._span.set_attributes({f"contactsync.{name}": value for name, value in attributes.items()})

    def fail(self, kind: str) -> None:
        self._span.set_status(trace.Status(trace.StatusCode.ERROR, kind))

    def end(self) -> None:
        self._span.end()


def to_collector(url: str, *, ratio: float, instance: str) -> OpenTelemetryTracer:
    """Return the tracer whose spans go to the collector at `url`, some at a time."""
    return OpenTelemetryTracer(
        OTLPSpanExporter(endpoint=endpoint(url), timeout=_SECONDS), ratio=ratio, instance=instance
    )


class OpenTelemetryTracer:
    """Keeps the share `ratio` of the traces that begin here, and of others those that their beginner keeps."""

    def __init__(self, exporter: SpanExporter, *, ratio: float, instance: str, at_once: bool = False) -> None:
        """`at_once`: export each span as it ends, in the caller's thread."""
        resource = Resource.create({"service.name": "contactsync", "service.instance.id": instance})
        sampler = ParentBased(TraceIdRatioBased(ratio))
        self._provider = TracerProvider(resource=resource, sampler=sampler, shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("contactsync")

    def begin(self, name: str, parent: str | None, kind: Kind, links: Iterable[str], began: int | None) -> Recording:
        """As the protocol says."""
        found = None if parent is None else _context(parent)
        # A context of its own: what some library leaves in the present one is no ancestor of a change.
        above = Context() if found is None else trace.set_span_in_context(trace.NonRecordingSpan(found), Context())
        return _Recording(
            self._tracer.start_span(
                name,
                context=above,
                kind=_KINDS[kind],
                links=[trace.Link(other) for other in map(_context, links) if other is not None],
                start_time=began,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    def shutdown(self) -> None:
        """Export what is left, for some seconds at most."""
        self._provider.shutdown()


def endpoint(url: str) -> str:
    """Return where spans are posted: `url` with OTLP's usual path, unless it has one of its own."""
    return url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}{PATH}"


def _context(traceparent: str) -> trace.SpanContext | None:
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    return trace.SpanContext(
        trace_id=int(found[1], 16),
        span_id=int(found[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(found[3], 16) & 1),
    )
