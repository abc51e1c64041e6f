"""Fails when a contact is created before both first scans have ended, or when a suspect is tagged without a look."""

import pytest

from services.contracts.commands import Create, Look, Tag, Update
from services.sync.core.state import Wait
from services.sync.core.take import Sighted
from tests.core.bench import ADA, CARD, START, Bench, only, phone, writes


@pytest.mark.parametrize("first", ["shop", "office"])
def test_p7_nothing_is_created_before_both_first_scans_have_ended(first: str) -> None:
    bench = Bench(scanned=frozenset())
    assert bench.take(bench.changed("shop", "cus", ADA, scan=1)) == []
    assert bench.wait(3600) == []
    assert bench.finish_scan(first) == []
    last = "office" if first == "shop" else "shop"
    wait = bench.link().wait
    assert wait is not None
    assert (wait.reason, wait.on) == ("scan", last)
    create = only(bench.finish_scan(last), Create)
    assert create.aim.account == "office"


def test_p7_a_contact_that_the_other_scan_brings_is_paired_and_not_created() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA, scan=1))
    bench.finish_scan("shop")
    assert bench.take(bench.changed("office", "card", CARD, scan=1)) == []
    assert bench.finish_scan("office") == []
    assert (bench.link().left.contact_id, bench.link().right.contact_id) == ("cus", "card")


def test_p7_pairs_are_kept_in_step_during_the_scans() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA, scan=1), bench.changed("office", "card", CARD, scan=1))
    assert isinstance(
        only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=9)), Update), Update
    )


def test_p7_waiting_for_a_scan_tells_since_when() -> None:
    bench = Bench(scanned=frozenset({"shop"}))
    bench.take(bench.changed("shop", "cus", ADA))
    bench.state.now += 50
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=10))
    assert bench.link().wait == Wait(reason="scan", on="office", since=START)


def test_p7_a_link_that_waits_for_a_scan_reserves_nothing() -> None:
    bench = Bench(scanned=frozenset({"shop"}))
    bench.take(bench.changed("shop", "cus", ADA))
    assert bench.state.reservations == {}


def test_p7_a_suspected_deletion_is_looked_at_and_tagged_only_if_it_is_one() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    look = only(bench.take(Sighted(account="office", contact_id="card", look=True)), Look)
    assert writes(bench.wait(500)) == []
    assert bench.take(bench.looked(look, CARD, at=601)) == []
    assert writes(bench.wait(600)) == []
    look = only(bench.take(Sighted(account="office", contact_id="card", look=True)), Look)
    assert bench.take(bench.looked(look, None, at=1300)) == []
    assert isinstance(only(bench.wait(3), Tag), Tag)
