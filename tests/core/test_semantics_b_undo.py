"""What rules did is taken back when it is over (SEMANTICS B9): only ours, only what stands, only what none wants."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Untag, Update
from services.contracts.rule import HasTag, Rule, SetTag, SetText
from tests.core.bench import CARD, SECOND_SHOP, Bench, only, writes
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
    connection,
    gold,
    left,
    pair_of,
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
