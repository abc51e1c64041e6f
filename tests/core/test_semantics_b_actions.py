"""What rules do on the other side (SEMANTICS B8): tags and fixed texts, done once, and whose they are."""

import pytest

from services.contracts.commands import Create, Tag, Untag, Update
from services.contracts.connection import Direction
from services.contracts.contact import Fields
from services.contracts.receipts import Unchanged, Written
from services.contracts.rule import Rule, SetTag, SetText
from services.sync.core.take import Reconsider
from tests.core.bench import CARD, answer, only, phone, tel
from tests.core.scene import (
    ADA,
    ALL_BACK,
    GOLD,
    IS_GOLD,
    MEMBER,
    VIP,
    Scene,
    alone,
    gold,
    left,
    pair_of,
)

NO_OLD = SetTag(name="Old", present=False)
INTO_SHOP = Rule(source="right", actions=(MEMBER, SetTag(name="VIP")))
SEEN_OFTEN = {**GOLD, "description": ("seen",)}


def becoming_gold(*rules: Rule, tags: tuple[str, ...] = ()) -> Scene:
    """A pair that a gold rule doesn't take yet: whatever it does is begun when the shop's contact becomes gold."""
    return pair_of(*(rules or (gold(VIP),)), ALL_BACK, shop=ADA, tags=tags)


# What is done ------------------------------------------------------------------------------------------------


def test_b8_a_tag_is_added_with_todays_date() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert (tag.aim.account, tag.contact_id, tag.tag, tag.date) == ("office", "card", "VIP", "2026-09-21")
    assert "a rule wants tag:VIP" in scene.bench.state.decisions[-1].reason


def test_b8_a_tag_is_removed() -> None:
    scene = becoming_gold(gold(NO_OLD), tags=("Old", "Mine"))
    untag = only(scene.person("shop", "cus", GOLD), Untag)
    assert (untag.aim.account, untag.tag) == ("office", "Old")
    scene.carry_out([untag])
    assert scene.tagged("office", "card") == {"Mine"}


def test_b8_a_fixed_text_is_set_and_says_what_it_expected() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK, shop=ADA, office={**CARD, "memo": ("typed",)})
    update = only(scene.person("shop", "cus", GOLD), Update)
    assert (update.fields, update.expected) == ({"memo": ("member",)}, {"memo": ("typed",)})


def test_b8_actions_of_the_offices_rule_are_done_in_the_shop() -> None:
    scene = pair_of(left(), INTO_SHOP)
    assert scene.tagged("shop", "cus") == {"VIP"}
    assert scene.fields["shop", "cus"]["memo"] == ("member",)
    assert scene.tagged("office", "card") == set()


def test_b8_actions_of_both_sides_rules_are_done() -> None:
    scene = pair_of(gold(VIP), INTO_SHOP)
    assert scene.tagged("shop", "cus") == {"VIP"}
    assert scene.tagged("office", "card") == {"VIP"}


def test_b8_an_action_is_done_on_the_contact_that_we_made() -> None:
    scene = alone(gold(VIP, MEMBER))
    done = scene.carry_out(scene.person("shop", "cus", GOLD))
    assert [type(each) for each in done] == [Create, Tag, Update]
    assert scene.tagged("office", "new") == {"VIP"}


def test_b8_nothing_is_done_for_a_rule_that_doesnt_match() -> None:
    scene = becoming_gold()
    assert scene.written == []
    assert scene.carry_out(scene.person("shop", "cus", {**ADA, "tier": ("silver",)})) == []


@pytest.mark.parametrize(("direction", "tagged"), [("left_to_right", True), ("right_to_left", False)])
def test_b8_one_way_actions_go_the_way_that_values_flow(direction: Direction, *, tagged: bool) -> None:
    scene = pair_of(gold(VIP), ALL_BACK, direction=direction)
    assert scene.tagged("office", "card") == ({"VIP"} if tagged else set())


def test_b8_two_rules_that_want_the_same_do_it_once() -> None:
    scene = pair_of(gold(VIP), Rule(source="left", actions=(VIP,)), ALL_BACK)
    assert [type(each) for each in scene.written] == [Tag]


# Once ---------------------------------------------------------------------------------------------------------


def test_b8_an_action_is_done_once_whatever_happens_afterwards() -> None:
    scene = pair_of(gold(VIP, MEMBER), ALL_BACK)
    assert len(scene.written) == 2
    assert scene.bench.take(scene.seen("office", "card")) == []
    assert scene.bench.take(Reconsider(link=scene.link().id)) == []
    assert scene.carry_out(scene.configure(gold(VIP, MEMBER), ALL_BACK)) == []
    assert scene.bench.wait(86_400) == []


def test_b8_its_own_echo_causes_no_write_and_moves_no_base() -> None:
    scene = pair_of(gold(), ALL_BACK, shop=ADA)
    base = scene.link().base
    scene.carry_out(scene.configure(gold(VIP, MEMBER), ALL_BACK))
    scene.carry_out(scene.person("shop", "cus", GOLD))
    assert scene.tagged("office", "card") == {"VIP"}
    assert scene.carry_out(scene.person("office", "card")) == []
    assert scene.link().base == base


def test_b8_an_echo_that_comes_before_the_receipt_causes_no_write() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.person("office", "card", tags=["VIP"]) == []
    assert scene.carry_out([tag]) == [tag]
    assert scene.tagged("office", "card") == {"VIP"}


def test_b8_a_text_on_a_mapped_field_is_no_value_that_flows_back() -> None:
    text = Rule(source="right", conditions=(IS_GOLD,), actions=(SetText(path="description", text="member"),), undo=True)
    scene = pair_of(left(), text, shop={**ADA, "description": ("typed",)}, office={**CARD, "note": ("typed",)})
    scene.carry_out(scene.person("office", "card", {**CARD, "note": ("typed",), "tier": ("gold",)}))
    assert scene.fields["shop", "cus"]["description"] == ("member",)
    assert scene.fields["office", "card"]["note"] == ("typed",)
    scene.carry_out(scene.person("office", "card", {**CARD, "note": ("typed",)}))
    assert scene.fields["shop", "cus"]["description"] == ("typed",)
    assert scene.fields["office", "card"]["note"] == ("typed",)


def test_p1_an_action_waits_for_the_write_that_is_under_way() -> None:
    scene = becoming_gold()
    update = only(scene.person("shop", "cus", {**ADA, "phone": phone("55")}), Update)
    assert scene.person("shop", "cus", {**GOLD, "phone": phone("55")}) == []
    assert isinstance(only(scene.answer(update), Tag), Tag)


def test_p1_values_go_before_actions_and_wait_for_one_under_way() -> None:
    scene = becoming_gold()
    update = only(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}), Update)
    assert update.fields == {"tel": phone("55")}
    tag = only(scene.answer(update), Tag)
    assert scene.person("shop", "cus", {**GOLD, "phone": phone("66")}) == []
    last = only(scene.answer(tag), Update)
    assert last.fields == {"tel": phone("66")}


def test_p1_an_action_in_flight_doesnt_stop_values_into_the_other_side() -> None:
    scene = becoming_gold()
    only(scene.person("shop", "cus", GOLD), Tag)
    update = only(scene.person("office", "card", {**CARD, "tel": tel("77")}), Update)
    assert update.aim.account == "shop"


# Whose it is --------------------------------------------------------------------------------------------------


def test_b8_what_stands_there_already_isnt_done_and_isnt_ours() -> None:
    scene = becoming_gold(gold(VIP, NO_OLD), tags=("VIP",))
    assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert scene.tagged("office", "card") == {"VIP"}


def test_b8_what_the_app_had_already_isnt_ours() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    scene.tags["office", "card"] = frozenset({"VIP"})
    seen = scene.bench.written(tag, CARD, at=scene.at + 20, tags=["VIP"]).outcome
    assert isinstance(seen, Written)
    scene.at += 50
    assert scene.bench.take(answer(tag, Unchanged(contact_id="card", seen=seen.seen))) == []
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []


def test_b8_a_person_who_removes_our_tag_has_the_last_word_while_it_is_wanted() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    assert scene.person("office", "card", tags=[]) == []
    assert scene.person("shop", "cus", SEEN_OFTEN) != [], "values go on"
    assert [each for each in scene.carry_out(scene.bench.wait(86_400)) if isinstance(each, Tag)] == []
    assert scene.carry_out(scene.configure(gold(VIP), ALL_BACK)) == []
    assert scene.tagged("office", "card") == set()


def test_b8_a_person_who_adds_a_tag_that_we_removed_has_the_last_word() -> None:
    scene = pair_of(gold(NO_OLD), ALL_BACK, tags=("Old",))
    assert scene.tagged("office", "card") == set()
    assert scene.carry_out(scene.person("office", "card", tags=["Old"])) == []


def test_b8_a_person_who_changes_our_text_has_the_last_word() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK)
    for memo in (("mine",), ()):
        fields: Fields = {**CARD, "memo": memo}
        assert scene.carry_out(scene.person("office", "card", fields)) == []


def test_b8_a_tag_removed_is_a_fresh_start_once_it_was_unwanted() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.person("office", "card", tags=[])
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    (tag,) = scene.carry_out(scene.person("shop", "cus", GOLD))
    assert isinstance(tag, Tag)


def test_b8_a_tag_that_a_person_put_back_isnt_ours_any_more() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.person("office", "card", tags=[])
    scene.person("office", "card", tags=["VIP"])
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert scene.tagged("office", "card") == {"VIP"}


def test_b8_a_persons_text_survives_a_new_text_and_its_undo() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK)
    scene.carry_out(scene.person("office", "card", {**CARD, "memo": ("mine",)}))
    scene.carry_out(scene.configure(gold(SetText(path="memo", text="new")), ALL_BACK))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.fields["office", "card"]["memo"] == ("mine",)


def test_b8_a_new_text_of_the_config_takes_the_old_ones_place_and_undo_restores_the_first() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK, office={**CARD, "memo": ("typed",)})
    (update,) = scene.carry_out(scene.configure(gold(SetText(path="memo", text="patron")), ALL_BACK))
    assert isinstance(update, Update)
    assert update.fields == {"memo": ("patron",)}
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.fields["office", "card"]["memo"] == ("typed",)


@pytest.mark.parametrize("fields", [{**CARD, "email": ("ada@example.com",)}, {**CARD, "tel": tel("88")}])
def test_b9_a_contact_in_the_place_of_a_deleted_one_gets_the_action(fields: Fields) -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.carry_out(scene.gone("office", "card"))
    scene.carry_out(scene.person("office", "again", fields))
    assert scene.link().right.contact_id == "again"
    assert scene.tagged("office", "again") == {"VIP"}


def test_b9_the_contact_that_one_was_merged_into_gets_the_action() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.carry_out(scene.person("office", "heir", {**CARD, "note": ("heir",)}))
    scene.carry_out(scene.gone("office", "card"))
    assert scene.bench.link_of("shop", "cus").right.contact_id == "heir"
    assert scene.tagged("office", "heir") == {"VIP"}


def test_b9_a_contact_that_is_restored_without_its_tags_gets_the_action_again() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.carry_out(scene.gone("office", "card"))
    scene.carry_out(scene.person("office", "card", tags=[]))
    assert scene.tagged("office", "card") == {"VIP"}


def test_b9_a_persons_removal_outlives_the_deletion_and_return_of_the_partner() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.carry_out(scene.person("office", "card", tags=[]))
    scene.carry_out(scene.gone("shop", "cus"))
    scene.carry_out(scene.person("shop", "cus"))
    assert scene.tagged("office", "card") == set()
