"""Fails when an older config decides, or a direction is taken over, or a paused connection writes, in flight."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Look, Update
from services.contracts.receipts import DeferralReason, Deferred
from services.sync.core.slice import OlderConfigError
from services.sync.core.take import Reconsider
from tests.core.bench import ADA, CARD, ONE_WAY, TWO_WAY, Bench, answer, only, phone, tel, writes

OTHER_WAY = replace(TWO_WAY, direction="right_to_left")


def test_p11_a_link_takes_no_decision_under_an_older_config_than_its_last() -> None:
    bench = Bench(version=4)
    bench.paired(ADA, CARD)
    bench.configure(version=3)
    with pytest.raises(OlderConfigError):
        bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))


def test_p11_an_older_config_raises_also_for_a_link_that_only_waits() -> None:
    bench = Bench(version=4, scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA))
    bench.configure(version=3)
    with pytest.raises(OlderConfigError):
        bench.take(Reconsider(link=bench.link().id))


def test_p11_a_direction_changed_while_a_write_is_in_flight_is_taken_over_after_its_receipt() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)), Update)
    bench.configure(ONE_WAY, version=2)
    assert bench.sweep() == []
    assert bench.take(bench.changed("shop", "cus", {**ADA, "description": ("VIP",)}, at=110)) == []
    assert bench.link().direction == "two_way"
    after = only(
        bench.take(bench.written(update, {**ADA, "phone": tel("55"), "description": ("VIP",)}, at=120)), Update
    )
    assert (after.aim.account, after.fields, after.aim.config_version) == ("office", {"note": ("VIP",)}, 2)
    assert bench.link().direction == "left_to_right"


def test_p11_a_direction_is_not_taken_over_while_a_look_is_pending() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=0)), Look)
    bench.configure(ONE_WAY, version=2)
    assert bench.sweep() == []
    assert bench.link().direction == "two_way"
    bench.take(bench.looked(look, ADA, at=50))
    assert bench.link().direction == "left_to_right"


def test_p11_two_way_to_one_way_settles_lines_that_differ_by_the_new_source() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55"), "note": ("kept",)}, at=100))
    bench.configure(ONE_WAY, version=2)
    update = only(bench.resume(), Update)
    assert (update.aim.account, update.fields) == ("office", {"tel": phone("01")})


def test_p11_a_reversed_direction_settles_lines_that_differ_by_the_new_source() -> None:
    bench = Bench(connection=ONE_WAY)
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)) == []
    bench.configure(OTHER_WAY, version=2)
    update = only(bench.sweep(), Update)
    assert (update.aim.account, update.fields) == ("shop", {"phone": tel("55")})


def test_p11_one_way_to_two_way_does_not_lose_a_source_edit_that_was_not_sent_yet() -> None:
    bench = Bench(connection=replace(ONE_WAY, winner="left"))
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.configure(replace(TWO_WAY, winner="right"), version=2)
    update = only(bench.resume(), Update)
    assert (update.aim.account, update.fields) == ("office", {"tel": phone("55")})


def test_p11_one_way_to_two_way_decides_a_targets_own_edit_as_at_first_pairing() -> None:
    bench = Bench(connection=ONE_WAY)
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)) == []
    bench.configure(replace(TWO_WAY, winner="left"), version=2)
    update = only(bench.sweep(), Update)
    assert (update.aim.account, update.fields) == ("office", {"tel": phone("01")})


def test_p11_a_paused_connection_sends_nothing_and_keeps_taking_in() -> None:
    bench = Bench(paused=True)
    assert bench.take(bench.changed("shop", "cus", ADA)) == []
    assert bench.record("shop", "cus").addresses == ("ada@example.com",)
    assert bench.wait(3600) == []
    assert isinstance(only(bench.resume(), Create), Create)


def test_p11_a_paused_connection_still_has_ties_looked_at() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=0)), Look)
    assert bench.take(bench.looked(look, {**ADA, "phone": phone("55")}, at=10)) == []
    assert only(bench.resume(), Update).fields == {"tel": phone("55")}


@pytest.mark.parametrize("reason", ["config", "paused", "superseded", "taken"])
def test_p11_a_deferred_update_is_decided_again_under_the_next_version(reason: DeferralReason) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    again = only(bench.take(answer(update, Deferred(reason=reason))), Update)
    assert (again.fields, again.aim.version.n) == (update.fields, update.aim.version.n + 1)
    assert bench.link().base["phone"].right == "+12025550101"


def test_p11_an_hour_of_refusals_leaves_one_write_with_the_newest_values() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("10")}, at=100)), Update)
    for turn in range(11, 40):
        assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone(str(turn))}, at=100 + 60 * turn)) == []
    bench.take(answer(update, Deferred(reason="account")))
    after = only(bench.wake("account", "office"), Update)
    assert after.fields == {"tel": phone("39")}


def test_p11_a_removed_connection_folds_receipts_and_decides_nothing() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    config = bench.state.configs["shop-office"]
    bench.state.configs["shop-office"] = replace(config, removed=True, version=2)
    assert bench.take(bench.written(update, {**CARD, "tel": tel("55"), "note": ("VIP",)}, at=110)) == []
    assert bench.take(bench.changed("shop", "cus", ADA, at=200), bench.changed("shop", "new", ADA, at=200)) == []
    assert not bench.link().unsettled


def test_p11_a_create_deferred_while_paused_is_sent_once_after_the_resume() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.configure(paused=True)
    assert bench.take(answer(create, Deferred(reason="paused"))) == []
    assert bench.state.reservations == {}
    (again,) = writes(bench.resume())
    assert isinstance(again, Create)


def test_p11_a_targets_edit_observed_after_a_direction_change_counts_as_later() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(ONE_WAY, version=2)
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100)) == []
    assert bench.sweep() == []
    assert writes(bench.wait(3600)) == []


def test_p11_a_targets_edit_that_a_receipt_shows_after_a_direction_change_counts_as_later() -> None:
    bench = Bench()
    ours = {**ADA, "description": ("old",)}
    bench.paired(ours, {**CARD, "note": ("old",)})
    update = only(bench.take(bench.changed("shop", "cus", {**ours, "phone": phone("55")}, at=100)), Update)
    bench.configure(ONE_WAY, version=2)
    assert bench.sweep() == []
    assert bench.take(bench.written(update, {**CARD, "tel": tel("55"), "note": ("mine",)}, at=110)) == []
    assert bench.link().direction == "left_to_right"
    assert writes(bench.wait(3600)) == []
