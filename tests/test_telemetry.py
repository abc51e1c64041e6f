"""No contact's data and no secret reaches a log line, whichever way it tries."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from services.runtime.metrics import Metrics
from services.runtime.telemetry import ALLOWED, configure

EMAIL = "ada.canary@example.com"
NAME = "Ada Canary"
SECRET = "sk_live_canary"
CANARIES = (EMAIL, NAME, SECRET, "canary", "Canary")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Configured for JSON; gives the lines so far. Puts the process's hooks and handlers back afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)
    stream = io.StringIO()
    configure("json", "debug", stream)

    def read() -> list[dict[str, Any]]:
        assert not [canary for canary in CANARIES if canary in stream.getvalue()]
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    root.handlers, level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)


Lines = Callable[[], list[dict[str, Any]]]


def fail() -> None:
    local = EMAIL
    raise ValueError(f"{local} has key {SECRET}")


def test_allowed_fields_are_logged(lines: Lines) -> None:
    structlog.get_logger().info("command_refused", account="shop", contact="people/c12", reason="too_long", count=3)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "command_refused",
        "level": "info",
        "account": "shop",
        "contact": "people/c12",
        "reason": "too_long",
        "count": 3,
    }


def test_other_fields_are_dropped_and_counted(lines: Lines) -> None:
    structlog.get_logger().info("read", email=EMAIL, body={"name": NAME}, account="shop")
    (line,) = lines()
    assert line["dropped"] == 2
    assert line["account"] == "shop"


@pytest.mark.parametrize("value", [EMAIL, NAME, SECRET, [EMAIL], {"a": NAME}, EMAIL.encode(), ValueError(EMAIL)])
@pytest.mark.parametrize("field", sorted(ALLOWED - {"event", "level", "timestamp"}))
def test_an_allowed_name_is_no_way_out_for_data(lines: Lines, field: str, value: object) -> None:
    structlog.get_logger().info("read", **{field: value})
    (line,) = lines()
    assert line["dropped"] == 1
    assert field not in line


def test_an_event_made_of_data_is_replaced(lines: Lines) -> None:
    structlog.get_logger().info(f"wrote {NAME} <{EMAIL}>")
    assert lines()[0]["event"] == "unnamed_event"


def test_bound_fields_are_held_to_the_same_list(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(app="stripe", phone=EMAIL)
    structlog.get_logger().bind(who=NAME, link="l1").info("read")
    (line,) = lines()
    assert (line["app"], line["link"], line["dropped"]) == ("stripe", "l1", 2)


def test_an_exception_is_its_class_and_its_frames(lines: Lines) -> None:
    try:
        try:
            fail()
        except ValueError as error:
            raise KeyError(NAME) from error
    except KeyError:
        structlog.get_logger().exception("batch_failed")
    (line,) = lines()
    assert line["error"] == "KeyError"
    assert "tests/test_telemetry.py:" in line["frames"]
    assert "ValueError tests/test_telemetry.py" in line["frames"]
    assert ":fail" in line["frames"]


def test_groups_tell_the_frames_of_their_members(lines: Lines) -> None:
    try:
        fail()
    except ValueError as error:
        group = ExceptionGroup(NAME, [error])
    structlog.get_logger().error("crashed", exc_info=group)
    assert ":fail" in lines()[0]["frames"]


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncpg", "httpx2", "stripe", "asyncio", "anything"])
def test_libraries_lines_tell_where_not_what(lines: Lines, name: str) -> None:
    logger = logging.getLogger(name)
    logger.warning("request for %s with %s", EMAIL, SECRET)
    logger.warning(f"request for {NAME}")  # noqa: G004 - libraries do
    try:
        fail()
    except ValueError:
        logger.exception(EMAIL, extra={"body": NAME})
    told = lines()
    assert [line["event"] for line in told] == ["library_log"] * 3
    assert {line["logger"] for line in told} == {name}
    assert all(line["at"].startswith("tests/test_telemetry.py:") for line in told)
    assert told[2]["error"] == "ValueError"


def test_chatty_libraries_are_silent_below_warnings(lines: Lines) -> None:
    for name in ("stripe", "httpx2"):
        logging.getLogger(name).info("request for %s", EMAIL)
    assert lines() == []


async def test_a_request_leaves_no_line_with_its_address(lines: Lines) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200))
    async with httpx2.AsyncClient(transport=transport) as http:
        await http.get("http://localhost/", params={"email": EMAIL})
    lines()


async def test_a_failed_task_a_thread_and_a_warning_are_told_without_data(lines: Lines) -> None:
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": EMAIL, "exception": ValueError(NAME)})
    failed = ValueError(EMAIL)
    threading.excepthook(threading.ExceptHookArgs((ValueError, failed, None, threading.current_thread())))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(EMAIL, stacklevel=1)
    told = lines()
    assert [line["error"] for line in told if line["event"] == "crashed"] == ["ValueError"]
    assert {"asyncio", "py.warnings"} <= {line.get("logger") for line in told}


def test_a_crash_prints_no_message(tmp_path: Path) -> None:
    program = (
        "from services.runtime.telemetry import configure\n"
        "configure('auto')\n"
        f"email = {EMAIL!r}\n"
        "raise ValueError(email)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert (line["event"], line["error"]) == ("crashed", "ValueError")
    assert "canary" not in done.stderr


def test_console_lines_are_held_to_the_same_list(lines: Lines) -> None:
    stream = io.StringIO()
    configure("console", "info", stream)
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("read", account="shop", email=EMAIL)
    text = stream.getvalue()
    assert "account=shop" in text
    assert "ValueError" in text
    assert not [canary for canary in CANARIES if canary in text]


def test_every_metric_has_a_sentence_and_our_prefix() -> None:
    metrics = Metrics()
    metrics.deliveries.labels(account="shop", outcome="accepted").inc()
    metrics.webhook_seconds.labels(outcome="accepted").observe(0.01)
    collected = list(metrics.registry.collect())
    assert all(one.name.startswith("contactsync_") and one.documentation.endswith(".") for one in collected)
    assert b'contactsync_deliveries_total{account="shop",outcome="accepted"} 1.0' in metrics.exposition()


def test_every_field_that_our_log_lines_name_is_allowed() -> None:
    """A field that isn't allowed vanishes: a line with it would tell less than its author thought."""
    levels = {"debug", "info", "warning", "error", "exception", "bind"}
    lost = []
    for path in sorted((Path(__file__).parent.parent / "services").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels):
                continue
            if re.search(r"(\blog|get_logger\(\))$", ast.unparse(node.func.value)):
                names = {each.arg for each in node.keywords} - {"exc_info"}
                lost += [f"{path}:{node.lineno} {name}" for name in names if name not in ALLOWED]
    assert lost == []
