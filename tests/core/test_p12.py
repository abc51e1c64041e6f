"""Fails when a receipt that isn't the side's unsettled version moves a base, or when a version is used twice."""

from services.contracts.commands import Command, Create, Look, Update, Version
from services.contracts.receipts import Deferred, Receipt, Refused, Stale, Unknown, Written
from services.sync.core.state import Base
from services.sync.core.take import Restored
from tests.core.bench import ADA, CARD, Bench, answer, looks, only, order, phone, tel, writes


def test_p12_a_receipt_that_comes_twice_changes_nothing_the_second_time() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    receipt = bench.written(update, {**CARD, "tel": tel("55")}, at=110)
    assert bench.take(receipt) == []
    before = bench.link()
    assert bench.take(receipt, receipt) == []
    assert bench.link() == before


def test_p12_an_older_receipt_moves_no_base_and_settles_nothing() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    first = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    receipt = bench.written(first, {**CARD, "tel": tel("55")}, at=110)
    bench.take(receipt)
    second = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=200)), Update)
    for late in (
        receipt,
        answer(first, Written(contact_id="card")),
        answer(first, Refused(reason="no")),
        answer(first, Deferred(reason="superseded")),
        answer(first, Unknown(reason="no answer", since=0)),
    ):
        assert writes(bench.take(late)) == []
        pending = bench.link().right.pending
        assert pending is not None
        assert (pending.version, pending.unknown) == (second.aim.version, None)
        assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")
    assert bench.link().right.refused == {}


def test_p12_a_version_of_another_incarnation_settles_nothing() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    receipt = bench.written(update, {**CARD, "tel": tel("55")}, at=110)
    other = Version(2, update.aim.version.n)
    aim = type(update.aim)(
        link=update.aim.link,
        side=update.aim.side,
        version=other,
        connection=update.aim.connection,
        config_version=update.aim.config_version,
        account=update.aim.account,
    )
    bench.take(Receipt(aim=aim, outcome=receipt.outcome))
    assert bench.link().unsettled
    assert bench.link().base["phone"] == Base("+12025550101", "+12025550101")


def test_p12_the_observation_in_an_old_receipt_counts_as_any_other() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    first = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(bench.written(first, {**CARD, "tel": tel("55")}, at=110))
    shown = bench.written(first, {**CARD, "tel": tel("55"), "note": ("VIP",)}, at=120)
    assert only(bench.take(shown), Update).fields == {"description": ("VIP",)}


def test_p12_an_unknown_outcome_settles_nothing_and_a_later_one_does() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert bench.take(answer(update, Unknown(reason="no answer", since=5))) == []
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=110)) == []
    after = only(bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=120)), Update)
    assert after.fields == {"tel": phone("66")}


def test_p12_a_stale_write_moves_no_base_and_the_line_is_decided_anew() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    seen = bench.written(update, {**CARD, "note": ("met in May",)}, at=120).outcome
    assert isinstance(seen, Written)
    assert seen.seen is not None
    told = writes(bench.take(answer(update, Stale(seen=seen.seen))))
    assert {(write.aim.account, tuple(write.fields)) for write in told if isinstance(write, Update)} == {
        ("office", ("tel",)),
        ("shop", ("description",)),
    }
    assert bench.link().base["phone"] == Base("+12025550101", "+12025550101")


def test_p12_versions_only_rise_whatever_the_outcomes() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    told = bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("10")}, at=100))
    seen = []
    for turn in range(11, 16):
        update = only(told, Update)
        seen.append(update.aim.version)
        bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone(str(turn))}, at=100 * turn))
        told = bench.take(answer(update, Deferred(reason="superseded")))
    assert seen == sorted(set(seen))
    assert bench.link().right.settled == seen[-1].n


def test_p12_a_link_that_comes_back_to_life_goes_on_counting() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.take(answer(create, Refused(reason="no room")))
    bench.take(bench.deleted("shop", "cus", at=20))
    assert [link.status for link in bench.links()] == ["ended"]
    again = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=50)), Create)
    assert again.aim.link == create.aim.link
    assert again.aim.version > create.aim.version


def test_p12_a_receipt_of_nobodys_link_is_journalled_and_nothing_else() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.state.links.clear()
    bench.state.by_contact.clear()
    assert bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=110)) == []
    assert bench.state.decisions[-1].outcome == "nothing"


def test_p12_an_old_receipt_that_ties_with_the_record_is_looked_at() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    first = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(bench.written(first, {**CARD, "tel": tel("55")}, at=110))
    tied = bench.written(first, {**CARD, "tel": tel("77")}, at=110)
    (look,) = looks(bench.take(tied))
    assert look.contact_id == "card"
    assert bench.record("office", "card").order == order(109, 111)


# A database restored from a copy -----------------------------------------------------------------------------


def restored(bench: Bench) -> list[Command]:
    """What `contactsync migrate --restored` does to sync."""
    bench.state.incarnation += 1
    return bench.take(*(Restored(link=link.id) for link in bench.links() if link.unsettled))


def test_p12_after_a_restore_an_unsettled_update_is_over_and_its_contact_is_looked_at_first() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    look = only(restored(bench), Look)
    assert (look.account, look.contact_id) == ("office", "card")
    assert not bench.link().unsettled
    assert bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=101)) == []
    again = only(bench.take(bench.looked(look, CARD, at=120)), Update)
    assert again.fields == update.fields
    assert again.aim.version > update.aim.version
    assert again.aim.version.incarnation == 2


def test_p12_after_a_restore_an_update_that_was_applied_is_not_sent_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    look = only(restored(bench), Look)
    assert bench.take(bench.looked(look, {**CARD, "tel": tel("55")}, at=120)) == []
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")


def test_p12_after_a_restore_an_unsettled_create_keeps_its_link_and_goes_without_a_find() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    again = only(restored(bench), Create)
    assert (again.aim.link, again.aim.side, again.fields) == (create.aim.link, create.aim.side, create.fields)
    assert again.aim.version > create.aim.version
    assert bench.link().half(create.aim.side).attempted


def test_p12_after_a_restore_looks_are_numbered_apart_from_those_that_the_copy_forgot() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    forgotten = [only(bench.take(bench.touched("shop", "cus")), Look)]
    bench.take(bench.looked(forgotten[0], ADA, at=50))
    copy = bench.state.records["shop", "cus"]
    for at in (60, 70):
        forgotten.append(only(bench.take(bench.touched("shop", "cus")), Look))
        bench.take(bench.looked(forgotten[-1], ADA, at=at))
    bench.state.records["shop", "cus"] = copy
    bench.state.incarnation = 2
    look = only(bench.take(bench.touched("shop", "cus")), Look)
    assert look.look.number not in {each.look.number for each in forgotten}
    # An answer from before the restore, read again from the log, isn't this look's.
    assert bench.take(bench.looked(forgotten[1], {**ADA, "phone": phone("99")}, at=60)) == []
    assert bench.record("shop", "cus").looking is not None


def test_p12_after_a_restore_nothing_is_decided_until_the_log_was_read_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.state.catching_up = True
    # What we wrote after the copy was made is seen on the right before the left's own newer edits.
    older = {**CARD, "tel": tel("55")}
    assert bench.take(bench.changed("office", "card", older, at=100)) == []
    assert bench.wait(30) == []
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=90)) == []
    bench.state.catching_up = False
    assert bench.wait(2) == []
    assert bench.link().base["phone"] == Base("+12025550155", "+12025550155")
    assert bench.link().wait is None
