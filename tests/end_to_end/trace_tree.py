"""Spans as a tree that a test can be read by: `name account` with what came after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

Tree: TypeAlias = dict[str, "Tree"]
"""What a step is called -> the steps that came after it."""


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(f"contactsync.{name}")


def title(span: ReadableSpan) -> str:
    """The step's name, and what it is about: the account, or the message."""
    about = attribute(span, "account") or attribute(span, "type") or attribute(span, "topic") or ""
    return f"{span.name} {about}".strip()


def steps(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    """The spans of changes: without those of whole transactions, and of steps that were done again."""
    spans = exporter.get_finished_spans()
    return [span for span in spans if span.name != "fold" and span.status.status_code is not StatusCode.ERROR]


def trees(exporter: InMemorySpanExporter) -> dict[int, tuple[str, Tree]]:
    """Every trace by its id: the first step and what followed. Steps alike under one parent are numbered."""
    spans = steps(exporter)
    found = {}
    for span in spans:
        if span.parent is None:
            found[span.context.trace_id] = (title(span), _below(span, spans))
    return found


def _below(above: ReadableSpan, spans: Sequence[ReadableSpan]) -> Tree:
    tree: Tree = {}
    for span in spans:
        if span.parent is not None and span.parent.span_id == above.context.span_id:
            name, n = title(span), 2
            while name in tree:
                name, n = f"{title(span)} {n}", n + 1
            below = _below(span, spans)
            if span.name == "relay" and all(each.startswith("look ") for each in below):
                # A look is a detour, taken where two observations can't be told apart in time.
                tree |= {key: then for look in below.values() for seen in look.values() for key, then in seen.items()}
            else:
                tree[name] = below
    return tree
