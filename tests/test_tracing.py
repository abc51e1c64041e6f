"""Spans: nothing without an exporter, the right traces with one, and no contact's data either way."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.runtime import telemetry, tracing
from services.runtime.log import Message
from services.runtime.settings import Settings, SettingsError, load
from services.runtime.tracing.carried import carried, carrying
from services.runtime.tracing.export import exported
from services.runtime.tracing.otel import endpoint
from tests.spans import traced

KEPT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_KEPT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def test_without_an_exporter_what_came_along_travels_on() -> None:
    assert not tracing.on()
    with tracing.span("send", KEPT, account="shop") as span:
        assert span.traceparent == KEPT
        span.tell(anything="is ignored")


def test_without_traces_opentelemetry_is_not_even_imported() -> None:
    program = "import sys, services.main; print(sum(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"0\n"


def test_a_child_stands_in_its_parents_trace_under_a_name_of_its_own() -> None:
    with traced() as exporter, tracing.span("relay", KEPT) as above, tracing.span("send", above.traceparent) as below:
        assert tracing.sampled(below.traceparent)
    send, relay = exporter.get_finished_spans()
    assert relay.context.trace_id == send.context.trace_id == int(KEPT[3:35], 16)
    assert send.parent is not None
    assert send.parent.span_id == relay.context.span_id


@pytest.mark.parametrize(
    ("parent", "ratio", "exports"), [(None, 0.0, 0), (None, 1.0, 1), (KEPT, 0.0, 1), (NOT_KEPT, 1.0, 0)]
)
def test_who_begins_a_trace_decides_whether_it_is_kept(parent: str | None, ratio: float, exports: int) -> None:
    with traced(ratio) as exporter:
        with tracing.span("decide", parent) as span:
            assert tracing.sampled(span.traceparent) == bool(exports)
        assert len(exporter.get_finished_spans()) == exports


@pytest.mark.parametrize("broken", ["", "00-x", KEPT.upper(), KEPT[:-3], "00-" + "0" * 32 + KEPT[35:]])
def test_a_parent_that_is_none_begins_a_new_trace(broken: str) -> None:
    with traced() as exporter:
        with tracing.span("decide", broken, links=[broken, None]):
            pass
        (span,) = exporter.get_finished_spans()
    assert span.parent is None
    assert not span.links


def test_attributes_hold_what_log_lines_may_hold() -> None:
    with traced() as exporter:
        with tracing.span("send", account="shop", reason="Ada King", contact="ada@example.com", link=None, attempt=2):
            pass
        with pytest.raises(ValueError, match="address"):
            tracing.span("send", address="ada@example.com")
        (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"contactsync.account": "shop", "contactsync.attempt": 2}


def test_a_failed_step_says_of_what_kind_and_quotes_nothing() -> None:
    with traced() as exporter:
        with pytest.raises(ValueError, match="Ada"), tracing.span("send"):
            raise ValueError("Ada King <ada@example.com>")
        (span,) = exporter.get_finished_spans()
    assert (span.status.is_ok, span.status.description, span.events) == (False, "ValueError", ())


def test_log_lines_of_a_step_name_its_trace_and_later_ones_do_not() -> None:
    stream = io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            telemetry.only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    with traced():
        with tracing.span("relay", KEPT), tracing.span("send", KEPT) as span:
            structlog.get_logger().info("inside")
        structlog.get_logger().info("after")
    structlog.reset_defaults()
    inside, after = map(json.loads, stream.getvalue().splitlines())
    assert (inside["trace_id"], inside["span_id"]) == tuple((span.traceparent or "").split("-")[1:3])
    assert after == {"event": "after"}


def test_a_message_carries_one_traceparent() -> None:
    message = Message(key=b"k", headers=(("ce_id", b"1"), ("traceparent", NOT_KEPT.encode())), value=b"")
    assert carried(carrying(message, KEPT).headers) == KEPT
    assert len(carrying(message, KEPT).headers) == 2
    assert carrying(message, None) is message


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
        """Nothing on the terminal."""


async def test_spans_reach_a_collector_before_the_process_ends() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Collector)
    server.got = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        async with exported(f"http://127.0.0.1:{server.server_port}", ratio=1.0, instance="worker-1"):
            with tracing.span("send", KEPT, account="shop"):
                pass
        assert not tracing.on()
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()
    ((path, body),) = server.got  # type: ignore[attr-defined]
    assert path == "/v1/traces"
    told = str(ExportTraceServiceRequest.FromString(body))
    assert all(word in told for word in ('"send"', "contactsync.account", "worker-1"))


async def test_a_collector_that_is_away_costs_spans_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with asyncio.timeout(30), exported(f"http://127.0.0.1:{port}", ratio=1.0, instance="worker-1"):
        with tracing.span("send", KEPT):
            pass


@pytest.mark.parametrize(
    ("given", "posted"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
)
def test_the_usual_path_is_added_where_there_is_none(given: str, posted: str) -> None:
    assert endpoint(given) == posted


def test_settings_name_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().traces is None
    monkeypatch.setenv("CONTACTSYNC_TRACES", "http://collector:4318")
    assert load().traces == "http://collector:4318"
    for wrong in ("collector:4318", "http://user:password@collector", "http://"):
        monkeypatch.setenv("CONTACTSYNC_TRACES", wrong)
        with pytest.raises(SettingsError, match="CONTACTSYNC_TRACES: must be http://host:port, without") as told:
            load()
        assert "password@" not in str(told.value)
