"""Which trace a command of a transaction with several inputs is in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.contracts.commands import Create, Update
from services.contracts.contact import Fields
from services.sync.core.take import Input, Reconsider
from services.sync.traced import Waited, decided
from services.sync.transact import Cause, fold_all
from tests.core.bench import ADA, CARD, Bench, phone
from tests.spans import traced

GRACE: Fields = {"name": ("Grace Hopper",), "email": ("grace@example.com",)}
SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    with traced() as made:
        yield made


def trace(n: int, *, kept: bool = True) -> str:
    return f"00-{n:032x}-{n:016x}-{kept:02x}"


def cause(n: int, item: Input, traceparent: str | None) -> Cause:
    return Cause(
        item=item, type="contact.changed", id=f"e{n}", topic="t", partition=0, position=n, traceparent=traceparent
    )


def folded(bench: Bench, causes: list[Cause]) -> dict[type, str | None]:
    """Fold the causes; by the kind of each command, its traceparent."""
    bench.state.commands.clear()
    journal = fold_all(bench.state, causes)
    with decided(causes, journal, bench.state.commands, began=NOW) as traces:
        return {type(command): of for (command, _), of in zip(bench.state.commands, traces, strict=True)}


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_each_command_is_in_the_trace_of_the_input_that_led_to_it(exporter: InMemorySpanExporter) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    new, changed, stale = (
        bench.changed("shop", "grace", GRACE, at=100),
        bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100),
        bench.changed("shop", "cus", ADA, at=-100),
    )
    commands = folded(bench, [cause(1, new, trace(1)), cause(2, changed, trace(2)), cause(3, stale, trace(3))])
    by_id = {span.context.trace_id: span for span in named(exporter, "decide")}
    assert set(by_id) == {1, 2, 3}
    assert commands == {kind: trace_of(by_id[n]) for kind, n in ((Create, 1), (Update, 2))}
    assert {n: (span.attributes or {})["contactsync.count"] for n, span in by_id.items()} == {1: 1, 2: 1, 3: 0}
    (fold,) = named(exporter, "fold")
    assert [link.context.trace_id for link in fold.links] == [1, 2, 3]
    assert all([link.context.span_id for link in span.links] == [fold.context.span_id] for span in by_id.values())


def trace_of(span: ReadableSpan) -> str:
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def test_an_input_that_is_not_kept_hands_that_on(exporter: InMemorySpanExporter) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    changed = bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)
    commands = folded(bench, [cause(1, changed, trace(1, kept=False))])
    assert (commands[Update] or "")[:35] == trace(1)[:35]
    assert (commands[Update] or "").endswith("-00")
    assert exporter.get_finished_spans() == ()


def test_what_comes_without_a_trace_begins_one_only_where_it_leads_to_something(exporter: InMemorySpanExporter) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert folded(bench, [cause(1, bench.changed("shop", "cus", ADA, at=50), None)]) == {}
    assert exporter.get_finished_spans() == ()
    commands = folded(bench, [cause(2, bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100), None)])
    (span,) = named(exporter, "decide")
    assert span.parent is None
    assert commands == {Update: trace_of(span)}


def test_what_waited_a_moment_goes_on_in_its_trace_and_later_only_names_it() -> None:
    waited = Waited(most=1)
    waited.note(["link", ""], trace(1), NOW)
    due = cause(1, Reconsider(link="link"), None)
    assert waited.of(due, NOW + 59 * SECOND) == (trace(1), None)
    assert waited.of(due, NOW + 61 * SECOND) == (None, trace(1))
    assert waited.of(cause(2, Reconsider(link="link"), trace(2)), NOW) == (trace(2), None)
    waited.note(["another"], trace(3), NOW)
    assert waited.of(due, NOW) == (None, None)


def test_a_failure_to_save_is_seen_on_the_step(exporter: InMemorySpanExporter) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    causes = [cause(1, bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100), trace(1))]
    journal = fold_all(bench.state, causes)
    with pytest.raises(OSError, match="gone"), decided(causes, journal, bench.state.commands, began=NOW):
        raise OSError("gone")
    (span,) = named(exporter, "decide")
    assert span.status.description == "OSError"


def test_without_traces_commands_have_none() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    changed = bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)
    assert folded(bench, [cause(1, changed, trace(1))]) == {Update: None}
