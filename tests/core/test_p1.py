"""Fails when a line is decided while a write of it has no receipt, or when an equal observation runs no step."""

from services.contracts.commands import Create, Update
from services.sync.core.state import Base
from tests.core.bench import ADA, BOOK, CARD, SECOND_SHOP, SHOP, Bench, only, phone, tel, writes


def test_p1_an_early_echo_after_a_newer_edit_does_not_undo_it() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("44")}, at=100)), Update)
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("01")}, at=110)) == []
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": tel("44")}, at=112)) == []
    after = only(bench.take(bench.written(update, {**ADA, "phone": tel("44")}, at=112.5)), Update)
    assert (after.aim.account, after.fields) == ("shop", {"phone": tel("01")})
    assert bench.take(bench.written(after, {**ADA, "phone": tel("01")}, at=120)) == []
    assert writes(bench.wait(60)) == []


def test_p1_a_value_put_back_while_the_other_is_in_flight_follows_its_receipt() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    there = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert bench.take(bench.changed("shop", "cus", ADA, at=110)) == []
    assert writes(bench.wait(3600)) == [there]
    back = only(bench.take(bench.written(there, {**CARD, "tel": tel("55")}, at=120)), Update)
    assert back.fields == {"tel": phone("01")}
    assert back.aim.version > there.aim.version
    assert bench.take(bench.written(back, CARD, at=130)) == []


def test_p1_a_side_has_one_unsettled_write_and_another_line_follows_its_receipt() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    first = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    edited = {**ADA, "phone": phone("55"), "description": ("VIP",)}
    assert bench.take(bench.changed("shop", "cus", edited, at=110)) == []
    second = only(bench.take(bench.written(first, {**CARD, "tel": tel("55")}, at=111)), Update)
    assert second.fields == {"note": ("VIP",)}


def test_p1_another_line_may_be_written_to_the_other_side_meanwhile() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    update = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("VIP",)}, at=101)), Update)
    assert (update.aim.account, update.fields) == ("shop", {"description": ("VIP",)})


def test_p1_no_create_is_issued_while_one_is_unsettled() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=10)) == []
    assert writes(bench.wait(3600)) == [create]
    update = only(bench.take(bench.written(create, CARD, at=20, contact_id="card")), Update)
    assert update.fields == {"tel": phone("55")}


def test_p1_an_observation_that_changes_no_record_still_runs_the_step_of_every_connection() -> None:
    manifests = {"shop": SHOP, "office": BOOK, "second": SHOP}
    bench = Bench(manifests=manifests, scanned=frozenset(manifests))
    bench.paired(ADA, CARD)
    bench.more = (SECOND_SHOP,)
    bench.configure()
    create = only(bench.take(bench.changed("office", "card", CARD, at=0)), Create)
    assert create.aim.account == "second"


def test_p1_a_receipt_that_shows_an_edit_runs_the_step_of_the_other_connections_too() -> None:
    manifests = {"shop": SHOP, "office": BOOK, "second": SHOP}
    bench = Bench(manifests=manifests, scanned=frozenset(manifests), more=(SECOND_SHOP,))
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("second", "cus2", ADA))
    bench.take(bench.changed("office", "card", CARD))
    bench.state.scanned = bench.scanned
    assert {each.status for each in bench.links() if each.status != "ended"} == {"active"}
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    shown = {**CARD, "tel": tel("55"), "note": ("met in May",)}
    told = writes(bench.take(bench.written(update, shown, at=110)))
    assert {(write.aim.account, tuple(write.fields)) for write in told if isinstance(write, Update)} == {
        ("shop", ("description",)),
        ("second", ("phone", "description")),
    }


def test_p1_the_base_does_not_move_while_the_line_is_in_flight() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    before = bench.link().base["phone"]
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=101))
    assert bench.link().base["phone"] == before == Base("+12025550101", "+12025550101")
