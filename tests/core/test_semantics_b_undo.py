"""What rules did is taken back when it is over (SEMANTICS B9): only ours, only what stands, only what none wants."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Tag, Untag, Update
from services.contracts.envelope import derived
from services.contracts.receipts import Deferred, Refused, Stale, Written
from services.contracts.rule import HasTag, Rule, SetTag, SetText
from services.sync.core.issue import RESEND
from tests.core.bench import CARD, SECOND_SHOP, Bench, answer, only, phone, writes
from tests.core.scene import (
    ADA,
    ALL_BACK,
    GOLD,
    IS_GOLD,
    MEMBER,
    PLANS_SHOP,
    TIERED_BOOK,
    VIP,
    Scene,
    alone,
    connection,
    gold,
    left,
    pair_of,
    right,
)

SYNCED = HasTag(name="Synced")
NO_OLD = SetTag(name="Old", present=False)


def vip(*others: Rule) -> Scene:
    """A gold pair with the rule's tag and text in the office; it stays in the sync without the rule."""
    return pair_of(gold(VIP, MEMBER), *others, ALL_BACK)


# What ends it -------------------------------------------------------------------------------------------------


def test_b9_a_contact_that_stops_matching_loses_what_the_rule_did() -> None:
    scene = vip()
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == set()
    assert "memo" not in scene.fields["office", "card"]
    assert scene.link().status == "active"
    assert scene.link().right.applied == {}


def test_b9_the_decision_says_what_was_undone_and_why() -> None:
    scene = pair_of(gold(VIP))
    only(scene.person("shop", "cus", ADA), Untag)
    decision = scene.bench.state.decisions[-1]
    assert decision.outcome == "act"
    assert "rule 1 doesn't match: tier equals gold" in decision.reason
    assert "no rule wants tag:VIP any more" in decision.reason


def test_b9_without_undo_it_stays() -> None:
    scene = pair_of(gold(VIP, MEMBER, undo=False), ALL_BACK)
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert scene.tagged("office", "card") == {"VIP"}


def test_b9_what_stays_without_undo_isnt_ours_when_it_is_wanted_again() -> None:
    scene = pair_of(gold(VIP, undo=False), ALL_BACK)
    scene.carry_out(scene.person("shop", "cus", ADA))
    scene.carry_out(scene.configure(gold(VIP), ALL_BACK))
    assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert scene.tagged("office", "card") == {"VIP"}


def test_b9_a_new_config_without_the_rule_undoes_it() -> None:
    scene = vip()
    scene.carry_out(scene.configure(left(), ALL_BACK))
    assert scene.tagged("office", "card") == set()
    assert "memo" not in scene.fields["office", "card"]


def test_b9_a_new_config_with_another_condition_undoes_it() -> None:
    scene = vip()
    scene.carry_out(scene.configure(replace(gold(VIP, MEMBER), conditions=(SYNCED,)), ALL_BACK))
    assert scene.tagged("office", "card") == set()


def test_b9_a_new_config_with_another_tag_sets_the_new_and_removes_the_old() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.carry_out(scene.configure(gold(SetTag(name="Gold")), ALL_BACK))
    assert scene.tagged("office", "card") == {"Gold"}


def test_b9_a_new_config_that_takes_the_contact_out_undoes_it() -> None:
    scene = pair_of(gold(VIP))
    scene.carry_out(scene.configure(left(SYNCED)))
    assert scene.tagged("office", "card") == set()
    assert scene.link().status == "outside"


def test_b9_the_other_side_of_a_one_way_connection() -> None:
    scene = pair_of(gold(VIP), direction="left_to_right")
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == set()


def test_a4_turned_round_nothing_is_written_into_what_is_now_only_the_source() -> None:
    scene = vip()
    assert scene.carry_out(scene.configure(gold(VIP, MEMBER), ALL_BACK, direction="right_to_left")) == []
    scene.carry_out(scene.configure(left(), ALL_BACK))
    assert scene.tagged("office", "card") == set()


def test_b9_during_a_connections_first_activation_nothing_is_undone() -> None:
    scene = pair_of(gold(VIP, NO_OLD, MEMBER), ALL_BACK, shop=ADA, office={**CARD, "memo": ("member",)}, tags=["VIP"])
    assert scene.written == []
    scene = pair_of(gold(VIP), shop=ADA, tags=["VIP"])
    assert scene.written == []


# What is undone -------------------------------------------------------------------------------------------------


def test_b9_a_text_gives_way_to_what_it_replaced() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK, office={**CARD, "memo": ("typed",)})
    (update,) = scene.carry_out(scene.person("shop", "cus", ADA))
    assert isinstance(update, Update)
    assert (update.fields, update.expected) == ({"memo": ("typed",)}, {"memo": ("member",)})


def test_b9_a_text_that_replaced_nothing_leaves_nothing() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK)
    (update,) = scene.carry_out(scene.person("shop", "cus", ADA))
    assert isinstance(update, Update)
    assert update.fields == {"memo": ()}


def test_b9_a_text_that_a_person_changed_stays() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK)
    scene.carry_out(scene.person("office", "card", {**CARD, "memo": ("mine",)}))
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert scene.fields["office", "card"]["memo"] == ("mine",)


def test_b9_a_removed_tag_comes_back() -> None:
    scene = pair_of(gold(NO_OLD), ALL_BACK, tags=["Old"])
    assert scene.tagged("office", "card") == set()
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == {"Old"}


def test_b9_a_tag_that_wasnt_there_to_be_removed_doesnt_come() -> None:
    scene = pair_of(gold(NO_OLD), ALL_BACK)
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []


def test_b9_a_tag_that_a_person_removed_already_isnt_removed() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    scene.person("office", "card", tags=[])
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []


def test_b9_a_tag_removed_while_the_contact_leaves_isnt_asked_for() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    scene.person("office", "card", tags=[])
    assert writes(scene.answer(untag)) == []
    assert scene.link().right.applied == {}


def test_b9_other_tags_and_fields_are_left_alone() -> None:
    scene = vip()
    scene.person("office", "card", {**scene.fields["office", "card"], "note": ("mine",)}, tags=["VIP", "Mine"])
    done = scene.carry_out(scene.person("shop", "cus", {**ADA, "description": ("mine",)}))
    assert {type(each) for each in done} == {Untag, Update}
    assert scene.tagged("office", "card") == {"Mine"}
    assert scene.fields["office", "card"]["note"] == ("mine",)


def test_b9_the_shops_contact_loses_what_the_offices_rule_did() -> None:
    rule = Rule(source="right", conditions=(IS_GOLD,), actions=(VIP, MEMBER), undo=True)
    scene = pair_of(left(), rule, shop=ADA, office={**CARD, "tier": ("gold",)})
    assert scene.tagged("shop", "cus") == {"VIP"}
    scene.carry_out(scene.person("office", "card", CARD))
    assert scene.tagged("shop", "cus") == set()
    assert "memo" not in scene.fields["shop", "cus"]


# Several rules --------------------------------------------------------------------------------------------------


def test_b9_what_another_matching_rule_wants_stays_until_that_ends_too() -> None:
    scene = pair_of(gold(VIP), replace(gold(VIP), conditions=(SYNCED,)), ALL_BACK)
    assert scene.carry_out(scene.person("shop", "cus", GOLD, tags=["Synced"])) == []
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert scene.tagged("office", "card") == {"VIP"}
    scene.carry_out(scene.person("shop", "cus", tags=[]))
    assert scene.tagged("office", "card") == set()


@pytest.mark.parametrize("first_undoes", [True, False])
def test_b9_of_two_rules_that_end_together_one_with_undo_is_enough(*, first_undoes: bool) -> None:
    scene = pair_of(gold(VIP, undo=first_undoes), gold(VIP, undo=not first_undoes), ALL_BACK)
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == set()


def test_b9_what_a_rule_without_undo_wants_last_stays() -> None:
    kept = Rule(source="left", conditions=(SYNCED,), actions=(VIP,))
    scene = pair_of(gold(VIP), kept, ALL_BACK)
    scene.carry_out(scene.person("shop", "cus", tags=["Synced"]))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.carry_out(scene.person("shop", "cus", tags=[])) == []
    assert scene.tagged("office", "card") == {"VIP"}


@pytest.mark.parametrize("undo", [True, False])
def test_b9_what_the_file_says_about_undo_when_it_ends_counts(*, undo: bool) -> None:
    scene = pair_of(gold(VIP, undo=not undo), ALL_BACK)
    scene.carry_out(scene.configure(gold(VIP, undo=undo), ALL_BACK))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == (set() if undo else {"VIP"})


def test_b9_of_several_texts_the_one_that_is_left_takes_the_place() -> None:
    patron = Rule(source="left", conditions=(SYNCED,), actions=(SetText(path="memo", text="patron"),), undo=True)
    scene = pair_of(gold(MEMBER), patron, ALL_BACK, office={**CARD, "memo": ("typed",)})
    scene.carry_out(scene.person("shop", "cus", tags=["Synced"]))
    assert scene.fields["office", "card"]["memo"] == ("patron",)
    scene.carry_out(scene.person("shop", "cus", tags=[]))
    assert scene.fields["office", "card"]["memo"] == ("member",)
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.fields["office", "card"]["memo"] == ("typed",)


def two_shops(*mine: SetTag) -> Scene:
    """Two connections into one office whose rules both tag its contact."""
    accounts = {"shop": PLANS_SHOP, "office": TIERED_BOOK, "second": PLANS_SHOP}
    bench = Bench(
        connection=connection(gold(*mine)),
        manifests=accounts,
        scanned=frozenset(accounts),
        more=(replace(SECOND_SHOP, rules=(gold(VIP),)),),
    )
    scene = Scene(bench)
    scene.carry_out(scene.person("shop", "cus", GOLD))
    scene.carry_out(scene.person("second", "cus2", GOLD))
    return scene


def test_b9_what_another_connections_rule_wants_stays_and_is_that_ones() -> None:
    scene = two_shops(VIP)
    assert scene.tagged("office", "new") == {"VIP"}
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    scene.carry_out(scene.person("second", "cus2", ADA))
    assert scene.tagged("office", "new") == set()


def test_b9_what_only_this_connection_did_goes_though_another_keeps_a_part_of_it() -> None:
    scene = two_shops(SetTag(name="A"), VIP, SetTag(name="Z"))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "new") == {"VIP"}


# In flight ------------------------------------------------------------------------------------------------------


def test_b9_an_action_in_flight_is_undone_after_its_receipt() -> None:
    scene = pair_of(gold(VIP), ALL_BACK, shop=ADA)
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.person("shop", "cus", ADA) == []
    done = scene.carry_out([tag])
    assert [type(each) for each in done] == [Tag, Untag]
    assert scene.tagged("office", "card") == set()


def test_b9_an_undo_in_flight_is_followed_by_the_action_if_it_is_wanted_again() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    untag = only(scene.person("shop", "cus", ADA), Untag)
    assert scene.person("shop", "cus", GOLD) == []
    done = scene.carry_out([untag])
    assert [type(each) for each in done] == [Untag, Tag]
    assert scene.tagged("office", "card") == {"VIP"}


def test_b9_an_undo_waits_for_the_write_that_is_under_way() -> None:
    scene = pair_of(gold(VIP))
    update = only(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}), Update)
    assert scene.person("shop", "cus", {**ADA, "phone": phone("55")}) == []
    assert isinstance(only(scene.answer(update), Untag), Untag)


def test_b9_the_partner_that_is_being_made_is_never_tagged_if_it_is_over_by_then() -> None:
    scene = alone(gold(VIP))
    create = only(scene.person("shop", "cus", GOLD), Create)
    scene.person("shop", "cus", ADA)
    assert scene.answer(create) == []


def test_b9_a_refused_undo_rests_and_the_contact_is_outside() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    assert scene.bench.take(answer(untag, Refused(reason="no"))) == []
    assert scene.link().status == "outside"
    assert writes(scene.bench.wait(86_400)) == []


def test_b9_an_undo_put_off_or_stale_is_decided_anew() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    again = only(scene.bench.take(answer(untag, Deferred(reason="config"))), Untag)
    seen = scene.bench.written(again, CARD, at=scene.at + 20, tags=["VIP", "Mine"]).outcome
    assert isinstance(seen, Written)
    assert seen.seen is not None
    scene.tags["office", "card"] = frozenset({"VIP", "Mine"})
    scene.at += 20
    last = scene.bench.take(answer(again, Stale(seen=seen.seen)))
    scene.carry_out(last)
    assert scene.tagged("office", "card") == {"Mine"}


def test_p12_an_undo_whose_receipt_is_lost_is_sent_again_under_its_version() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    again = only(scene.bench.wait(RESEND / 1_000_000), Untag)
    assert again.aim == untag.aim


def test_a6_an_undo_waits_for_the_end_of_a_pause() -> None:
    scene = pair_of(gold(VIP))
    scene.bench.configure(paused=True)
    assert scene.person("shop", "cus", ADA) == []
    assert isinstance(only(scene.bench.resume(), Untag), Untag)


def test_b7_a_deletion_while_the_contact_is_leaving_isnt_tagged() -> None:
    scene = pair_of(gold(SetTag(name="A"), SetTag(name="B")))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    scene.at += 100
    scene.bench.take(scene.bench.deleted("shop", "cus", at=scene.at))
    told = scene.bench.wait(3) + scene.answer(untag) + scene.bench.wait(3600)
    assert [each for each in told if isinstance(each, Tag)] == []


def test_p14_a_text_gives_way_to_a_persons_that_it_overwrote_unseen() -> None:
    rule = Rule(source="right", conditions=(IS_GOLD,), actions=(MEMBER,), undo=True)
    for echo_first in (True, False):
        scene = pair_of(left(), rule, shop=ADA)
        update = only(scene.person("office", "card", {**CARD, "tier": ("gold",)}), Update)
        label = derived("write", update.aim.link, "left", update.aim.version.incarnation, update.aim.version.n)
        scene.fields["shop", "cus"] = {**ADA, "memo": ("typed a moment before",)}
        prior = scene.fields["shop", "cus"]
        echo = {**ADA, "memo": ("member",)}
        if not echo_first:
            assert scene.answer(update) == []
        scene.at += 10
        news = scene.bench.changed("shop", "cus", echo, at=scene.at, prior={"memo": prior["memo"]}, label=label)
        assert scene.bench.take(news) == []
        if echo_first:
            scene.at += 10
            assert scene.answer(update) == []
        scene.carry_out(scene.person("office", "card", CARD))
        assert scene.fields["shop", "cus"]["memo"] == ("typed a moment before",), echo_first


def test_e4_a_survivor_isnt_used_though_its_partner_was_deleted_outside() -> None:
    for account, contact_id in (("office", "card"), ("shop", "cus")):
        scene = pair_of(gold(), right(SYNCED))
        scene.carry_out(scene.person("shop", "cus", ADA))
        assert writes(scene.gone(account, contact_id)) == []
        if account == "office":
            assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []
        else:
            assert scene.carry_out(scene.person("office", "card", tags=["Synced"])) == []
        assert writes(scene.bench.wait(86_400)) == []


def test_e5_a_contact_deleted_outside_that_comes_back_is_taken_up() -> None:
    scene = pair_of(gold(VIP))
    scene.carry_out(scene.person("shop", "cus", ADA))
    scene.gone("office", "card")
    assert scene.carry_out(scene.person("office", "again", CARD)) == []
    (tag,) = scene.carry_out(scene.person("shop", "cus", GOLD))
    assert isinstance(tag, Tag)
    assert scene.link().right.contact_id == "again"
