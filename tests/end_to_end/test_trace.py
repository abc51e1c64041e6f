"""One trace of one change, from the webhook or the feed to the target's answer and back, step by step."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from services.runtime import telemetry
from tests.end_to_end.three_apps import House, house
from tests.end_to_end.trace_tree import Tree, attribute, steps, trees
from tests.spans import traced

NAME, ADDRESS, PHONE = "Ada Canary", "ada.canary@example.com", "+12025550142"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    with traced() as made:
        yield made


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    telemetry.configure("json", "info", stream)
    yield stream
    structlog.reset_defaults()


def written(account: str, then: Tree | None = None) -> Tree:
    """What follows the decision to write to an account; `then`: what the receipt leads to."""
    app = {"office": "google_contacts", "book": "carddav", "shop": "stripe"}[account]
    back: Tree = {"decide receipt.write": then or {}}
    return {f"relay contacts.commands.{app}": {f"send {account}": {}, f"settle {account}": back}}


def created(account: str) -> Tree:
    """What follows the decision to make a contact in an account: it is asked for the address first."""
    app = {"office": "google_contacts", "book": "carddav"}[account]
    after: Tree = {"decide receipt.absent": written(account)}
    return {f"relay contacts.commands.{app}": {f"find {account}": after}}


def received(account: str, then: Tree) -> tuple[str, Tree]:
    return f"receive {account}", {"publish contacts.events": {"decide contact.changed": then}}


def whole(exporter: InMemorySpanExporter, first: str) -> list[tuple[int, tuple[str, Tree]]]:
    """The traces that begin so and led to a command."""
    return [(id, tree) for id, tree in trees(exporter).items() if tree[0] == first and "relay" in str(tree[1])]


async def test_one_change_is_one_trace(
    database: str, tmp_path: Path, exporter: InMemorySpanExporter, lines: io.StringIO
) -> None:
    async with house(database, tmp_path) as home:
        customer = await _made(home)
        ((_, tree),) = whole(exporter, "receive shop")
        # Google's contact isn't made at once, since somebody else may be doing so: first the link's time has to come.
        assert tree == received("shop", {"decide reconsider": created("office")} | created("book"))

        await home.rest()
        exporter.clear()
        home.shop.dashboard.update(customer, phone=PHONE)
        await home.until(lambda: PHONE in str(home.people()))
        await home.rest()
        ((id, tree),) = whole(exporter, "receive shop")
        assert tree == received("shop", written("office") | written("book"))
        _steps_are_told([span for span in steps(exporter) if span.context.trace_id == id])
        _log_lines_name_it(lines, id)
        # What the targets tell of our own writes are traces of their own, which end with nothing to do.
        echoes = [tree for tree in trees(exporter).values() if tree[0] in {"receive office", "receive book"}]
        assert echoes
        assert all(tree == received(tree[0].removeprefix("receive "), {}) for tree in echoes)

        exporter.clear()
        home.office.hand.update(
            home.people()[ADDRESS]["resourceName"], names=[{"givenName": "Grace", "familyName": "Canary"}]
        )

        async def renamed() -> bool:
            return "Grace" in (await home.cards())[ADDRESS][1]

        await home.until(renamed)
        await home.rest()
        ((_, tree),) = whole(exporter, "receive office")
        # The book is written to because of Stripe's answer or its webhook, whichever is there first.
        onward = [each for each in trees(exporter).values() if each != tree and "relay" in str(each)]
        assert (tree, onward) in [
            (received("office", written("shop", written("book"))), []),
            (received("office", written("shop")), [received("shop", written("book"))]),
        ], trees(exporter)
        _nothing_personal(exporter.get_finished_spans(), lines)


async def _made(home: House) -> str:
    customer: str = home.shop.dashboard.create(name=NAME, email=ADDRESS)["id"]

    async def arrived() -> bool:
        return ADDRESS in home.people() and ADDRESS in await home.cards()

    await home.until(arrived)
    await home.rest()
    return customer


def _steps_are_told(spans: list[ReadableSpan]) -> None:
    """Kinds, attributes and times of a change's steps."""
    by_name = {span.name: span for span in spans if span.name != "look"}
    assert {name: span.kind for name, span in by_name.items()} == {
        "receive": SpanKind.SERVER,
        "publish": SpanKind.PRODUCER,
        "decide": SpanKind.CONSUMER,
        "relay": SpanKind.PRODUCER,
        "send": SpanKind.CLIENT,
        "settle": SpanKind.INTERNAL,
    }
    sends = {attribute(span, "account"): span for span in spans if span.name == "send"}
    told = ("app", "command", "attempt", "outcome", "connection", "side")
    assert {account: tuple(attribute(span, name) for name in told) for account, span in sends.items()} == {
        "office": ("google_contacts", "command.update", 1, "written", "shop-office", "right"),
        "book": ("carddav", "command.update", 1, "written", "shop-book", "right"),
    }
    ids = {span.context.span_id: span for span in spans}
    for span in spans:
        above = ids[span.parent.span_id] if span.parent is not None else None
        assert above is None or (above.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0)


def _log_lines_name_it(lines: io.StringIO, trace_id: int) -> None:
    told: list[dict[str, Any]] = [json.loads(line) for line in lines.getvalue().splitlines()]
    sent = {
        line["account"] for line in told if line["event"] == "write_sent" and line["trace_id"] == f"{trace_id:032x}"
    }
    assert sent == {"office", "book"}


def _nothing_personal(spans: tuple[ReadableSpan, ...], lines: io.StringIO) -> None:
    told = " ".join(span.to_json() for span in spans) + lines.getvalue()
    assert "canary" not in told.lower()
    assert PHONE not in told
