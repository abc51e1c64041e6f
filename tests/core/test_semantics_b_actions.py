"""What rules do on the other side (SEMANTICS B8): tags and fixed texts, done once, and whose they are."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Look, Tag, Untag, Update
from services.contracts.contact import Fields
from services.contracts.receipts import Deferred, Refused, Stale, Unchanged, Unknown, Written
from services.contracts.rule import PermitEmail, Rule, SetTag, SetText
from services.sync.core.issue import RESEND
from services.sync.core.take import Reconsider
from tests.core.bench import CARD, answer, looks, only, phone, tel
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
def test_b8_one_way_actions_go_the_way_that_values_flow(direction: str, *, tagged: bool) -> None:
    way = "left_to_right" if direction == "left_to_right" else "right_to_left"
    scene = pair_of(gold(VIP), ALL_BACK, direction=way)
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


# Outcomes -----------------------------------------------------------------------------------------------------


def test_p15_a_refused_action_rests_and_the_values_go_on() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.bench.take(answer(tag, Refused(reason="too many labels"))) == []
    assert scene.link().right.refused["tag:VIP"].reason == "too many labels"
    (update,) = scene.carry_out(scene.person("shop", "cus", SEEN_OFTEN))
    assert isinstance(update, Update)
    assert scene.bench.take(Reconsider(link=scene.link().id)) == []
    assert scene.link().right.refused["tag:VIP"].reason == "too many labels"


def test_p15_a_refused_action_doesnt_keep_the_next_from_being_done() -> None:
    scene = becoming_gold(gold(SetTag(name="A"), SetTag(name="B"), MEMBER))
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    done = scene.carry_out(scene.bench.take(answer(tag, Refused(reason="no"))))
    assert [type(each) for each in done] == [Tag, Update]
    assert scene.tagged("office", "card") == {"B"}


def test_p15_a_refused_text_is_sent_again_once_the_config_says_another() -> None:
    scene = becoming_gold(gold(MEMBER))
    update = only(scene.person("shop", "cus", GOLD), Update)
    assert scene.bench.take(answer(update, Refused(reason="no", fields=("memo",)))) == []
    (again,) = scene.carry_out(scene.configure(gold(SetText(path="memo", text="patron")), ALL_BACK))
    assert isinstance(again, Update)
    assert again.fields == {"memo": ("patron",)}
    assert scene.link().right.refused == {}


def test_p15_a_refused_action_is_tried_anew_once_it_was_unwanted() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    scene.bench.take(answer(tag, Refused(reason="no")))
    assert scene.person("shop", "cus", ADA) == []
    assert isinstance(only(scene.person("shop", "cus", GOLD), Tag), Tag)


def test_b8_a_stale_action_is_decided_anew_from_what_is_there() -> None:
    for tags, again in (((), True), (("VIP",), False)):
        scene = becoming_gold()
        tag = only(scene.person("shop", "cus", GOLD), Tag)
        scene.tags["office", "card"] = frozenset(tags)
        seen = scene.bench.written(tag, CARD, at=scene.at + 20, tags=tags).outcome
        assert isinstance(seen, Written)
        assert seen.seen is not None
        told = scene.bench.take(answer(tag, Stale(seen=seen.seen)))
        assert [type(each) for each in told] == ([Tag] if again else [])


@pytest.mark.parametrize("reason", ["config", "paused", "superseded"])
def test_b8_an_action_put_off_is_decided_anew(reason: str) -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    outcome = replace(Deferred(reason="config"), reason=reason)
    again = only(scene.bench.take(answer(tag, outcome)), Tag)
    assert again.aim.version > tag.aim.version


def test_b8_an_action_put_off_isnt_sent_once_it_is_unwanted() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.person("shop", "cus", ADA) == []
    assert scene.bench.take(answer(tag, Deferred(reason="config"))) == []
    assert scene.link().right.applied == {}


def test_p4_an_unknown_outcome_blocks_that_side_until_it_is_settled() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.bench.take(answer(tag, Unknown(reason="no answer", since=0))) == []
    assert scene.person("shop", "cus", {**GOLD, "phone": phone("55")}) == []
    (update,) = (each for each in scene.carry_out([tag]) if isinstance(each, Update))
    assert update.fields == {"tel": phone("55")}


def test_p12_a_lost_receipt_is_asked_for_with_the_same_version_and_counts_once() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    again = only(scene.bench.wait(RESEND / 1_000_000), Tag)
    assert again.aim == tag.aim
    assert scene.carry_out([again]) == [again]
    assert scene.bench.take(scene.bench.written(tag, CARD, at=scene.at, tags=["VIP"])) == []
    assert scene.link().right.applied["tag:VIP"].undo


def test_p4_a_replayed_answer_to_an_action_has_the_contact_looked_up() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    look = only(scene.bench.take(answer(tag, Written(contact_id="card", replayed=True))), Look)
    scene.at += 50
    shown = scene.bench.changed("office", "card", CARD, at=scene.at, tags=["VIP"], look=look.look, origin="look")
    assert scene.bench.take(shown) == []
    scene.tags["office", "card"] = frozenset({"VIP"})
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == set()


def test_p4_a_replayed_answer_whose_tag_a_person_has_removed_since_is_final() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    look = only(scene.bench.take(answer(tag, Written(contact_id="card", replayed=True))), Look)
    shown = scene.bench.changed("office", "card", CARD, at=scene.at + 50, look=look.look, origin="look")
    assert scene.bench.take(shown) == []
    assert scene.link().right.applied["tag:VIP"].final


def test_b8_a_contact_that_is_gone_is_looked_up_and_not_written_to() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    told = scene.bench.take(answer(tag, Refused(reason="gone", gone=True)))
    assert len(looks(told)) == len(told) == 1


def test_a6_an_action_waits_for_the_end_of_a_pause() -> None:
    scene = becoming_gold()
    scene.bench.configure(paused=True)
    assert scene.person("shop", "cus", GOLD) == []
    assert isinstance(only(scene.bench.resume(), Tag), Tag)


def test_a6_an_action_wanted_and_unwanted_during_a_pause_is_never_done() -> None:
    scene = becoming_gold()
    scene.bench.configure(paused=True)
    scene.person("shop", "cus", GOLD)
    scene.person("shop", "cus", ADA)
    assert scene.bench.resume() == []


def test_b8_an_action_is_done_on_a_contact_that_waits_for_an_approval() -> None:
    scene = becoming_gold(Rule(source="right", conditions=(IS_GOLD,), actions=(SetTag(name="VIP"),)), left())
    tag = only(
        scene.person("office", "card", {**CARD, "tier": ("gold",), "email": ("new@example.com",)}),
        Tag,
    )
    assert tag.aim.account == "shop"
    assert "email" in scene.link().left.held


def test_b8_permitting_emails_writes_nothing_by_itself() -> None:
    scene = pair_of(left(), Rule(source="right", actions=(PermitEmail(),), undo=True))
    assert scene.written == []
    assert scene.link().left.applied == {}


def test_b8_the_decision_about_an_action_names_no_value_of_the_contact() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK, office={**CARD, "memo": ("typed secret",)})
    scene.carry_out(scene.person("shop", "cus", ADA))
    told = " ".join(each.reason for each in scene.bench.state.decisions)
    for held in ("typed", "secret", "ada@", "Ada", "555"):
        assert held not in told
