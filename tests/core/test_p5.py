"""Fails when observations apply in the order they come in instead of the app's own, or when a tie is decided."""

from services.contracts.commands import Look, Update
from services.contracts.contact import Contact
from services.contracts.receipts import Observation, Written
from tests.core.bench import ADA, CARD, Bench, answer, looks, only, order, phone, tel, writes


def test_p5_a_scan_read_before_a_webhook_and_published_after_it_undoes_nothing() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert bench.take(bench.changed("shop", "cus", ADA, at=90, until=95, scan=1, origin="scan")) == []
    assert bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=105)) == []
    assert bench.take(bench.changed("shop", "cus", ADA, at=91, until=96, scan=1, origin="scan")) == []
    assert bench.record("shop", "cus").scan == 1


def test_p5_a_feed_showing_the_state_before_our_own_write_undoes_nothing() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=110))
    assert bench.take(bench.changed("office", "card", CARD, at=90, until=100, origin="feed")) == []
    assert writes(bench.wait(60)) == []


def test_p5_two_changes_in_one_second_are_looked_at_and_nothing_is_written_before() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=100.5))
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=100)), Look)
    assert (look.account, look.contact_id) == ("shop", "cus")
    after = only(bench.take(bench.looked(look, {**ADA, "phone": phone("66")}, at=101)), Update)
    assert after.fields == {"tel": phone("66")}


def test_p5_two_changes_in_one_second_seen_the_wrong_way_round_end_at_the_same() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=100))
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Look)
    assert bench.take(bench.looked(look, {**ADA, "phone": phone("66")}, at=101)) == []
    assert bench.record("shop", "cus").contact == Contact(fields={**ADA, "phone": phone("66")})


def test_p5_an_answer_dated_after_an_edit_that_it_does_not_contain_is_looked_at() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)), Update)
    edited = {**ADA, "phone": phone("66")}
    assert bench.take(bench.changed("shop", "cus", edited, at=102)) == []
    seen = Observation(contact_id="cus", order=order(100, 104), contact=Contact(fields={**ADA, "phone": tel("55")}))
    told = bench.take(answer(update, Written(contact_id="cus", seen=seen)))
    (look,) = looks(told)
    assert writes(told) == []
    back = only(bench.take(bench.looked(look, edited, at=105)), Update)
    assert (back.aim.account, back.fields) == ("office", {"tel": phone("66")})


def test_p5_a_deletion_published_before_the_older_edit_is_not_undone_by_it() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=200))
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=150)) == []
    assert bench.record("office", "card").deleted
