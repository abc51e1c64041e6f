"""Fails when an input that changed something leaves no trace in the journal, or one that didn't fills it."""

from services.contracts.commands import Update
from services.sync.core.take import Input, Reconsider
from services.sync.transact import Cause, fold_all
from tests.core.bench import ADA, CARD, ONE_WAY, Bench, only, phone, tel


def causes(*items: Input) -> list[Cause]:
    return [
        Cause(item=item, type="event", id=f"e{n}", topic="contacts.events", partition=3, position=100 + n)
        for n, item in enumerate(items)
    ]


def in_step() -> Bench:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.state.decisions.clear()
    return bench


def test_p17_inputs_that_changed_nothing_leave_one_position_together() -> None:
    bench = in_step()
    stale = [bench.changed("shop", "cus", ADA, at=-100 + n) for n in range(5)]
    (row,) = fold_all(bench.state, causes(*stale))
    assert (row.topic, row.partition, row.position) == ("contacts.events", 3, 104)
    assert (row.decision.link, row.decision.outcome) == ("", "nothing")


def test_p17_an_input_that_changed_a_link_is_journalled_with_its_place_and_reason() -> None:
    bench = in_step()
    (row,) = fold_all(bench.state, causes(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)))
    assert (row.cause, row.position, row.decision.outcome) == ("e0", 100, "update")
    assert row.decision.link == bench.link().id
    assert row.decision.lines == ("phone",)
    assert "since both last agreed" in row.decision.reason


def test_p17_an_input_that_changed_only_the_record_is_journalled() -> None:
    bench = in_step()
    rows = fold_all(bench.state, causes(bench.changed("shop", "cus", {**ADA, "unmapped": ("x",)}, at=100)))
    assert [(row.position, row.decision.link) for row in rows] == [(100, bench.link().id)]


def test_p17_a_record_that_no_connection_cares_for_is_journalled_too() -> None:
    bench = in_step()
    rows = fold_all(bench.state, causes(bench.deleted("shop", "stranger", at=100)))
    assert [(row.position, row.decision.outcome) for row in rows] == [(100, "recorded")]


def test_p17_what_changes_only_what_a_link_waits_for_is_journalled() -> None:
    bench = in_step()
    bench.configure(paused=True)
    rows = fold_all(bench.state, causes(Reconsider(link=bench.link().id)))
    assert [row.decision.outcome for row in rows] == ["wait"]


def test_p17_waiting_on_changes_nothing() -> None:
    bench = in_step()
    bench.configure(paused=True)
    again = [Reconsider(link=bench.link().id) for _ in range(4)]
    rows = fold_all(bench.state, causes(*again))
    assert [row.position for row in rows] == [100, 103]


def test_p17_a_direction_taken_over_is_journalled() -> None:
    bench = in_step()
    bench.configure(ONE_WAY, version=2)
    rows = fold_all(bench.state, causes(Reconsider(link=bench.link().id)))
    assert [(row.decision.link, row.decision.config_version) for row in rows] == [(bench.link().id, 2)]


def test_p17_a_receipt_is_journalled_and_its_repetition_is_not() -> None:
    bench = in_step()
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    receipt = bench.written(update, {**CARD, "tel": tel("55")}, at=110)
    rows = fold_all(bench.state, causes(receipt, receipt, receipt))
    assert {row.position for row in rows if row.decision.link} == {100}
    assert [row.position for row in rows if not row.decision.link] == [102]


def test_p17_the_journal_names_every_input_that_the_state_depends_on() -> None:
    """Feeding only the journalled inputs to a second state ends at the same links and records."""
    live, audit = Bench(), Bench()
    items: list[Input] = [
        live.changed("shop", "cus", ADA),
        live.changed("shop", "cus", ADA),
        live.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=50),
        live.changed("shop", "cus", ADA, at=20),
        live.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=50),
        live.changed("shop", "twin", ADA, at=60),
        live.deleted("shop", "twin", at=61),
        live.changed("shop", "twin", ADA, at=60),
    ]
    journal = fold_all(live.state, causes(*items))
    positions = sorted({row.position - 100 for row in journal if row.position is not None})
    fold_all(audit.state, causes(*(items[n] for n in positions)))
    assert audit.state.links == live.state.links
    assert audit.state.records == live.state.records
    assert audit.state.commands == live.state.commands


def test_p17_the_same_inputs_lead_to_the_same_state_and_commands() -> None:
    first, second = Bench(), Bench()
    for bench in (first, second):
        bench.paired(ADA, CARD)
        for n in range(4):
            bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone(f"1{n}")}, at=100 + 10 * n))
    assert first.state.links == second.state.links
    assert first.sent == second.sent
