"""Fails when a refused value is sent again although nothing changed, or when it holds the other fields back."""

from msgspec.structs import replace

from services.contracts.commands import Create, Tag, Untag, Update
from services.contracts.receipts import Refused
from services.sync.core.take import Reconsider
from tests.core.bench import ADA, CARD, ONE_WAY, TRASH, Bench, answer, only, phone, tel, writes

NO = Refused(reason="the app doesn't take this", fields=("tel",))


def test_p15_a_refused_value_is_not_sent_again_until_it_changes() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert bench.take(answer(update, NO)) == []
    assert bench.link().right.refused["phone"].reason == NO.reason
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": ("+1-202-555-0155",)}, at=110)) == []
    assert bench.take(*(Reconsider(link=bench.link().id) for _ in range(5))) == []
    assert writes(bench.wait(86_400)) == []
    after = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=200)), Update)
    assert after.fields == {"tel": phone("66")}


def test_p15_the_other_fields_are_sent() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edited = {**ADA, "phone": phone("55"), "description": ("VIP",)}
    update = only(bench.take(bench.changed("shop", "cus", edited, at=100)), Update)
    after = only(bench.take(answer(update, NO)), Update)
    assert after.fields == {"note": ("VIP",)}
    assert bench.take(bench.written(after, {**CARD, "note": ("VIP",)}, at=110)) == []
    assert set(bench.link().right.refused) == {"phone"}


def test_p15_an_edit_of_another_field_does_not_send_the_refused_one() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(answer(update, NO))
    edited = {**ADA, "phone": phone("55"), "description": ("VIP",)}
    assert only(bench.take(bench.changed("shop", "cus", edited, at=200)), Update).fields == {"note": ("VIP",)}


def test_p15_a_refusal_is_over_when_the_sides_agree_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    bench.take(answer(update, NO))
    assert bench.take(bench.changed("shop", "cus", ADA, at=200)) == []
    assert bench.link().right.refused == {}


def test_p15_a_refusal_that_names_no_field_rests_all_of_them() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edited = {**ADA, "phone": phone("55"), "description": ("VIP",)}
    update = only(bench.take(bench.changed("shop", "cus", edited, at=100)), Update)
    assert bench.take(answer(update, Refused(reason="no"))) == []
    assert set(bench.link().right.refused) == {"phone", "note"}


def test_p15_a_refused_create_rests_until_the_contact_changes() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(answer(create, Refused(reason="no"))) == []
    assert bench.take(bench.changed("shop", "cus", ADA, at=100), Reconsider(link=bench.link().id)) == []
    assert writes(bench.wait(86_400)) == []
    wait = bench.link().wait
    assert wait is not None
    assert wait.reason == "refused"
    again = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=200)), Create)
    assert again.fields["tel"] == phone("55")


def test_p15_a_create_refused_for_one_field_is_made_without_it() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    again = only(bench.take(answer(create, NO)), Create)
    assert set(again.fields) == {"n", "email"}
    assert bench.take(bench.written(again, {key: CARD[key] for key in ("n", "email")}, at=10, contact_id="card")) == []
    assert writes(bench.wait(86_400)) == []
    assert set(bench.link().right.refused) == {"phone"}


def test_p15_a_refused_tag_rests() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    assert bench.take(answer(tag, Refused(reason="no more keys"))) == []
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=200)) == []
    assert writes(bench.wait(86_400)) == []


def test_p15_a_refused_untag_rests() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    bench.take(bench.written(tag, ADA, at=104, tags=[TRASH]))
    untag = only(bench.take(bench.changed("office", "card", CARD, at=200)), Untag)
    assert bench.take(answer(untag, Refused(reason="no"))) == []
    assert bench.take(Reconsider(link=bench.link().id)) == []


def test_p15_a_refused_untag_does_not_hold_the_fields_back() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    bench.take(bench.written(tag, ADA, at=104, tags=[TRASH]))
    untag = only(bench.take(bench.changed("office", "card", {**CARD, "note": ("back",)}, at=200)), Untag)
    after = only(bench.take(answer(untag, Refused(reason="no"))), Update)
    assert after.fields == {"description": ("back",)}


def test_p15_a_value_the_target_can_not_hold_rests_without_being_sent() -> None:
    bench = Bench(connection=replace(ONE_WAY, direction="right_to_left"))
    bench.paired(ADA, CARD)
    long = {**CARD, "note": ("x" * 41,)}
    assert bench.take(bench.changed("office", "card", long, at=100)) == []
    assert "41 characters" in bench.link().left.refused["note"].reason
    update = only(bench.take(bench.changed("office", "card", {**long, "tel": tel("55")}, at=200)), Update)
    assert update.fields == {"phone": tel("55")}
