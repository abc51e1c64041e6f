"""Fails when anything is written, paired or created with a contact that is being looked at, or a look is lost."""

from services.contracts.commands import Create, Look, Tag, Update
from services.contracts.contact import Contact
from tests.core.bench import ADA, BOOK, CARD, SECOND_SHOP, SHOP, Bench, looks, only, phone, tel, writes


def test_p9_nothing_is_written_from_a_record_known_to_be_doubtful() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=0)), Look)
    assert bench.take(bench.changed("office", "card", {**CARD, "note": ("VIP",)}, at=100)) == []
    assert writes(bench.wait(500)) == []
    update = only(bench.take(bench.looked(look, ADA, at=101)), Update)
    assert update.fields == {"description": ("VIP",)}


def test_p9_a_look_in_one_connection_holds_the_writes_of_all() -> None:
    manifests = {"shop": SHOP, "office": BOOK, "second": SHOP}
    bench = Bench(manifests=manifests, scanned=frozenset(manifests), more=(SECOND_SHOP,))
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("second", "cus2", ADA))
    bench.take(bench.changed("office", "card", CARD))
    bench.state.scanned = bench.scanned
    look = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("66")}, at=0)), Look)
    assert bench.take(bench.changed("second", "cus2", {**ADA, "description": ("VIP",)}, at=50)) == []
    told = writes(bench.take(bench.looked(look, CARD, at=60)))
    assert [(write.aim.account, write.aim.connection) for write in told] == [("office", "second-office")]


def test_p9_the_looks_own_answer_falls_into_the_tied_second() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=0))
    (look,) = looks(bench.sent)
    final = {**ADA, "phone": phone("77")}
    update = only(bench.take(bench.looked(look, final, at=0)), Update)
    assert update.fields == {"tel": phone("77")}


def test_p9_an_edit_between_the_look_and_its_answer_whose_event_comes_first_is_kept() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=0)), Look)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("77")}, at=20)) == []
    update = only(bench.take(bench.looked(look, {**ADA, "phone": phone("55")}, at=10)), Update)
    assert update.fields == {"tel": phone("77")}


def test_p9_an_edit_that_ties_with_the_answer_has_it_asked_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=0)), Look)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("77")}, at=20))
    again = only(bench.take(bench.looked(look, {**ADA, "phone": phone("55")}, at=20)), Look)
    assert again.look.attempt == 2
    update = only(bench.take(bench.looked(again, {**ADA, "phone": phone("77")}, at=30)), Update)
    assert update.fields == {"tel": phone("77")}


def test_p9_a_delivery_that_carries_only_an_id_is_looked_at_once() -> None:
    bench = Bench()
    look = only(bench.take(bench.touched("shop", "cus")), Look)
    assert bench.take(bench.touched("shop", "cus")) == []
    again = only(bench.take(bench.looked(look, ADA, at=10)), Look)
    assert isinstance(only(bench.take(bench.looked(again, ADA, at=11)), Create), Create)


def test_p9_a_touched_contact_that_turns_out_to_be_gone_is_waited_for_no_longer() -> None:
    bench = Bench()
    look = only(bench.take(bench.touched("shop", "cus")), Look)
    assert bench.take(bench.looked(look, None, at=10)) == []
    assert [link.wait for link in bench.links() if link.status != "ended"] == []


def test_p9_nothing_is_created_from_a_contact_in_doubt() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA))
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=0)), Look)
    assert bench.finish_scan("shop") + bench.finish_scan("office") == []
    create = only(bench.take(bench.looked(look, {**ADA, "phone": phone("55")}, at=10)), Create)
    assert create.fields["tel"] == phone("55")


def test_p9_nothing_is_paired_with_a_contact_in_doubt() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("office", "card", CARD))
    look = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=0)), Look)
    assert bench.take(bench.changed("shop", "cus", ADA, at=1)) == []
    assert bench.link_of("shop", "cus").right.contact_id is None
    bench.take(bench.looked(look, CARD, at=10))
    assert bench.link().right.contact_id == "card"


def test_p9_who_waits_for_a_look_at_a_match_is_decided_after_its_answer_though_nothing_changed() -> None:
    bench = Bench()
    bench.paired(ADA, {**CARD, "email": ("ada@example.com", "king@example.com")})
    both = {**CARD, "email": ("ada@example.com", "king@example.com")}
    look = only(bench.take(bench.changed("office", "card", {**both, "tel": tel("55")}, at=0)), Look)
    assert bench.take(bench.changed("shop", "king", {**ADA, "email": ("king@example.com",)}, at=50)) == []
    assert bench.take(bench.looked(look, both, at=60)) == []
    assert bench.sweep() == []
    assert bench.link_of("shop", "king").status == "duplicate"


def test_p9_an_answer_that_the_linked_contact_is_gone_is_a_deletion() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    look = only(bench.take(bench.touched("office", "card")), Look)
    assert bench.take(bench.looked(look, None, at=60)) == []
    assert isinstance(only(bench.wait(3), Tag), Tag)
    assert bench.record("office", "card").contact == Contact(fields=CARD)
