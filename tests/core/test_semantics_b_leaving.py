"""Contacts that leave the sync and return to it (SEMANTICS B7)."""

from services.contracts.commands import Tag, Update
from services.contracts.receipts import Deferred, Refused
from services.contracts.rule import HasTag
from services.sync.core.take import Reconsider
from tests.core.bench import CARD, answer, only, phone, tel, writes
from tests.core.scene import ADA, GOLD, MEMBER, VIP, Scene, alone, gold, left, pair_of, right

SILVER = {**ADA, "tier": ("silver",)}


def left_behind() -> Scene:
    """A pair whose contact in the shop isn't gold any more."""
    scene = pair_of(gold())
    assert scene.person("shop", "cus", SILVER) == []
    assert scene.link().status == "outside"
    return scene


def test_b7_a_contact_that_stops_matching_leaves_and_the_decision_says_why() -> None:
    scene = left_behind()
    decision = scene.bench.state.decisions[-1]
    assert decision.outcome == "outside"
    assert "rule 1 doesn't match: tier equals gold" in decision.reason
    assert "silver" not in decision.reason


def test_b7_nothing_is_written_either_way_while_it_is_outside() -> None:
    scene = left_behind()
    assert scene.person("shop", "cus", {**SILVER, "phone": phone("55")}) == []
    assert scene.person("office", "card", {**CARD, "note": ("mine",)}) == []
    assert scene.bench.take(Reconsider(link=scene.link().id)) == []
    assert writes(scene.bench.wait(86_400)) == []
    assert scene.written == []


def test_b7_nothing_is_deleted_and_the_values_stay() -> None:
    scene = left_behind()
    assert scene.fields["office", "card"] == CARD
    assert scene.link().paired


def test_b7_it_returns_to_the_same_link_and_the_return_is_a_decision() -> None:
    scene = left_behind()
    link = scene.link()
    assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []
    assert (scene.link().id, scene.link().right.contact_id) == (link.id, "card")
    assert scene.link().status == "active"
    assert scene.bench.state.decisions[-1].changed


def test_b7_edits_made_meanwhile_are_merged_three_way() -> None:
    scene = left_behind()
    scene.person("shop", "cus", {**SILVER, "phone": phone("55")})
    scene.person("office", "card", {**CARD, "note": ("mine",)})
    done = scene.carry_out(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}))
    assert {(each.aim.account, str(each.fields)) for each in done if isinstance(each, Update)} == {
        ("office", str({"tel": phone("55")})),
        ("shop", str({"description": ("mine",)})),
    }
    assert len(done) == 2


def test_b7_of_edits_of_one_field_on_both_sides_the_winners_counts() -> None:
    scene = left_behind()
    scene.person("office", "card", {**CARD, "tel": tel("66")})
    (update,) = scene.carry_out(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}))
    assert isinstance(update, Update)
    assert (update.aim.account, update.fields) == ("office", {"tel": phone("55")})


def test_b7_a_value_cleared_meanwhile_is_cleared_on_return() -> None:
    scene = left_behind()
    (update,) = scene.carry_out(scene.person("shop", "cus", {k: v for k, v in GOLD.items() if k != "phone"}))
    assert isinstance(update, Update)
    assert update.fields == {"tel": ()}


def test_b7_an_edit_undone_meanwhile_is_no_change() -> None:
    scene = left_behind()
    scene.person("office", "card", {**CARD, "tel": tel("66")})
    scene.person("office", "card", CARD)
    assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []


def test_b7_an_edit_that_comes_with_the_leaving_isnt_sent() -> None:
    scene = pair_of(gold())
    assert scene.person("shop", "cus", {**SILVER, "phone": phone("55")}) == []
    (update,) = scene.carry_out(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}))
    assert isinstance(update, Update)
    assert update.fields == {"tel": phone("55")}


def test_b7_a_deletion_outside_tags_nobody() -> None:
    for account, contact_id in (("shop", "cus"), ("office", "card")):
        scene = left_behind()
        assert writes(scene.gone(account, contact_id)) == []
        assert writes(scene.bench.wait(86_400)) == []


def test_b7_both_contacts_may_be_deleted_outside() -> None:
    scene = left_behind()
    scene.gone("shop", "cus")
    assert writes(scene.gone("office", "card")) == []


def test_b7_it_stays_while_either_sides_contact_matches() -> None:
    scene = pair_of(gold(), right(HasTag(name="Sync")), tags=["Sync"])
    assert scene.carry_out(scene.person("shop", "cus", SILVER)) == []
    assert scene.link().status == "active"
    (update,) = scene.carry_out(scene.person("shop", "cus", {**SILVER, "phone": phone("55")}))
    assert update.aim.account == "office"
    scene.carry_out(scene.person("office", "card", tags=[]))
    assert scene.link().status == "outside"
    scene.carry_out(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}))
    assert scene.link().status == "active"


def test_b7_another_rule_of_the_same_side_keeps_it() -> None:
    scene = pair_of(gold(), left(HasTag(name="Sync")))
    scene.carry_out(scene.person("shop", "cus", GOLD, tags=["Sync"]))
    scene.carry_out(scene.person("shop", "cus", SILVER))
    assert scene.link().status == "active"


def test_b7_a_write_that_is_under_way_is_answered_after_it_left() -> None:
    scene = pair_of(gold())
    update = only(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}), Update)
    assert scene.person("shop", "cus", {**SILVER, "phone": phone("66")}) == []
    assert scene.answer(update) == []
    assert scene.link().status == "outside"
    assert scene.link().base["phone"].right == "+12025550155"
    (last,) = scene.carry_out(scene.person("shop", "cus", {**GOLD, "phone": phone("66")}))
    assert isinstance(last, Update)
    assert last.fields == {"tel": phone("66")}


def test_b7_a_write_put_off_or_refused_after_it_left_isnt_sent_again() -> None:
    for outcome in (Deferred(reason="account"), Deferred(reason="config"), Refused(reason="no", fields=("tel",))):
        scene = pair_of(gold())
        update = only(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}), Update)
        scene.person("shop", "cus", {**SILVER, "phone": phone("55")})
        told = scene.bench.take(answer(update, outcome)) + scene.bench.wait(3600)
        assert writes(told) == []
        assert scene.link().status == "outside"


def test_b7_a_contact_that_stops_matching_while_its_partner_is_created_is_outside_with_it() -> None:
    scene = alone(gold())
    (create,) = writes(scene.person("shop", "cus", GOLD))
    scene.person("shop", "cus", SILVER)
    assert scene.carry_out(scene.answer(create)) == []
    assert scene.link().paired
    assert scene.link().status == "outside"
    assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []
    assert scene.link().status == "active"


def test_b7_a_contact_that_stops_matching_before_its_create_was_sent_gets_no_partner() -> None:
    scene = alone(gold())
    (create,) = writes(scene.person("shop", "cus", GOLD))
    scene.person("shop", "cus", SILVER)
    assert scene.bench.take(answer(create, Deferred(reason="account"))) == []
    assert writes(scene.bench.wait(3600)) == []
    assert scene.link().status == "outside"
    assert scene.bench.state.reservations == {}


def test_b7_a_new_config_may_take_it_out_and_in_again() -> None:
    scene = pair_of(left())
    assert scene.carry_out(scene.configure(left(HasTag(name="Sync")))) == []
    assert scene.link().status == "outside"
    scene.person("office", "card", {**CARD, "note": ("mine",)})
    (update,) = scene.carry_out(scene.configure(left()))
    assert isinstance(update, Update)
    assert update.fields == {"description": ("mine",)}


def test_b7_a_contact_changed_and_taken_out_during_a_pause_is_outside_after_it() -> None:
    scene = pair_of(gold())
    scene.bench.configure(paused=True)
    scene.person("shop", "cus", {**SILVER, "phone": phone("55")})
    assert scene.bench.resume() == []
    assert scene.link().status == "outside"


def test_b7_what_was_held_is_held_anew_when_it_returns() -> None:
    scene = pair_of(gold())
    scene.person("office", "card", {**CARD, "email": ("new@example.com",)})
    assert "email" in scene.link().left.held
    scene.person("shop", "cus", SILVER)
    assert scene.link().left.held == {}
    assert scene.person("shop", "cus", GOLD) == []
    assert scene.link().left.held["email"].value == "new@example.com"


def test_b7_tags_and_texts_of_a_rule_without_undo_stay() -> None:
    scene = pair_of(gold(VIP, MEMBER, undo=False))
    assert scene.carry_out(scene.person("shop", "cus", SILVER)) == []
    assert scene.tagged("office", "card") == {"VIP"}
    assert scene.fields["office", "card"]["memo"] == ("member",)


def test_b7_tags_and_texts_of_a_rule_with_undo_go() -> None:
    scene = pair_of(gold(VIP, MEMBER))
    scene.carry_out(scene.person("shop", "cus", SILVER))
    assert scene.tagged("office", "card") == set()
    assert "memo" not in scene.fields["office", "card"]
    assert scene.link().status == "outside"


def test_b7_once_outside_it_is_left_alone_and_once_back_it_is_tagged_again() -> None:
    scene = pair_of(gold(VIP))
    scene.carry_out(scene.person("shop", "cus", SILVER))
    assert scene.person("office", "card", CARD, tags=["Mine"]) == []
    (tag,) = scene.carry_out(scene.person("shop", "cus", GOLD))
    assert isinstance(tag, Tag)
    assert scene.tagged("office", "card") == {"Mine", "VIP"}


def test_b7_a_contact_outside_still_stands_for_its_address() -> None:
    scene = left_behind()
    assert scene.person("shop", "twin", GOLD) == []
    assert scene.bench.link_of("shop", "twin").status == "duplicate"
