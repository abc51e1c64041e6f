"""Log lines: events with fields from an allow-list, so that no contact's data and no secret can be in them."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog

ALLOWED = frozenset(
    {
        "account", "app", "attempt", "attempts", "at", "bytes", "command", "config_version", "connection",
        "contact", "count", "decision", "delivery", "direction", "duration_ms", "epoch", "error", "event",
        "event_id", "field", "group", "host", "incarnation", "kind", "level", "link", "listen", "logger",
        "messages", "method", "migration", "offset", "outcome", "page", "partition", "partitions", "path", "pid",
        "port", "reason", "role", "roles", "rows", "rule", "scan", "seconds", "side", "signal", "span_id",
        "sqlstate", "status", "suspects", "timestamp", "together", "topic", "trace_id", "type", "version", "worker",
    }
)  # fmt: skip
"""The names of fields that may be logged. `contact` is an app's own id of a contact, `reason` a short code,
`error` the name of an exception's class, `field` the name of a field (never its value)."""

_QUIET = {
    "aiokafka": logging.WARNING,
    "stripe": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
}
_TAKEN_OVER = ("uvicorn", "uvicorn.access", "uvicorn.error", "asyncio", "asyncpg", "aiokafka", "stripe")
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Ids, names of things and codes have no blanks and no @; people's names, addresses and messages mostly do.
_WORD = re.compile(r"[\w.:/+=%~,#-]{1,200}")
_CREDENTIAL = re.compile(r"\b(sk|rk|pk|whsec)_|ya29\.|\beyJ|://|^1//|^AQAB", re.IGNORECASE)
_MOST_FRAMES = 30

EventDict = MutableMapping[str, Any]


def configure(
    log_format: Literal["auto", "json", "console"] = "auto",
    level: Literal["debug", "info", "warning", "error"] = "info",
    stream: TextIO | None = None,
) -> None:
    """Set up all logging of this process: ours, the libraries', warnings and crashes.

    Lines go to `stream` (stderr): JSON, or for reading on a terminal. To be called once, by whoever composes
    the process; uvicorn needs `log_config=None` to leave it alone.
    """
    # Its library would print requests' contents to stderr, past any logger.
    os.environ.pop("STRIPE_LOG", None)
    stream = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    readable = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if readable
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            only_allowed,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _take_over(threshold)


def only_allowed(_logger: object, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: keeps what may be logged and counts the rest in `dropped`.

    Kept are allowed names with numbers, booleans, None, or text that looks like an id or a code. An event's
    name is snake_case. An exception becomes its class and its frames, without message and values.
    """
    kept: dict[str, Any] = {}
    dropped = 0
    failure = _exception(event.pop("exc_info", None))
    for name, value in event.items():
        if name == "event":
            named = isinstance(value, str) and bool(_EVENT.fullmatch(value))
            kept["event"] = value if named else "unnamed_event"
            dropped += not named
        elif name in ALLOWED and harmless(value):
            kept[name] = value
        else:
            dropped += 1
    if failure is not None:
        kept["error"] = type(failure).__name__
        kept["frames"] = frames(failure)
    if dropped:
        kept["dropped"] = dropped
    return kept


def harmless(value: object) -> bool:
    """Whether a field may have this value: a number, or text that looks like an id or a code."""
    if value is None or type(value) in {bool, int, float}:
        return True
    return type(value) is str and bool(_WORD.fullmatch(value)) and not _CREDENTIAL.search(value)


def _exception(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException):
        return info[1]
    return sys.exc_info()[1] if info else None


def frames(failure: BaseException) -> str:
    """Where it was raised, innermost first, then its causes: `file:line:function < … | Cause file:line:function`."""
    told: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = failure
    while current is not None and id(current) not in seen and len(told) < 5:
        seen.add(id(current))
        stack = traceback.StackSummary.extract(traceback.walk_tb(current.__traceback__), lookup_lines=False)
        places = [_place(frame.filename, frame.lineno or 0, frame.name) for frame in reversed(stack)]
        told.append(" ".join(filter(None, [type(current).__name__, " < ".join(places[:_MOST_FRAMES])])))
        if isinstance(current, BaseExceptionGroup):
            told.extend(frames(one) for one in current.exceptions[:3])
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return " | ".join(told)


def _place(file: str, line: int, function: str) -> str:
    return f"{'/'.join(file.replace(os.sep, '/').split('/')[-2:])}:{line}:{function}"


class _Bridge(logging.Handler):
    """Libraries' log records: where they were written, not what they say, since that may quote data."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library_log",
            logger=record.name,
            at=_place(record.pathname, record.lineno, record.funcName or "").replace("<", "").replace(">", ""),
            exc_info=record.exc_info if record.exc_info and record.exc_info[1] else None,
        )


def _take_over(threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(threshold)
    for name in _TAKEN_OVER:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.NOTSET)  # a server of this process may have set it for itself
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, threshold))
    logging.captureWarnings(capture=True)
    sys.excepthook = _crashed
    threading.excepthook = lambda told: _crashed(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _crashed(told.exc_type, told.exc_value, told.exc_traceback)


def _crashed(kind: type[BaseException], failure: BaseException | None, _trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    structlog.get_logger().error("crashed", error=kind.__name__, exc_info=failure)
