"""Which contacts the rules take (SEMANTICS B1-B4): conditions, subscriptions, tags, and the reason given."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Look
from services.contracts.contact import Address, Fields, Subscription
from services.contracts.events import SubscriptionChanged
from services.contracts.rule import Condition, FieldIs, HasSubscription, HasTag, Operator, SubscribedTo
from services.sync.core.rules import Verdict, judge
from tests.core.bench import CARD, only, order, writes
from tests.core.scene import ADA, GOLD, IS_GOLD, alone, config, known, left, pair_of, right

BOB: Fields = {**CARD, "email": ("bob@example.com",)}
HOME = Address(line1="1 Main Street", city="São Paulo", postal_code="01310", country="BR")
FULL: Fields = {
    "name": ("Ada King",),
    "email": ("Ada@Example.com",),
    "phone": ("+1 (202) 555-0101",),
    "address": (HOME,),
    "tier": ("  Gold Plus ",),
    "memo": ("",),
    "metadata.points": ("10",),
    "metadata.since": ("2026-03-01",),
    "metadata.seen": ("2026-03-01T12:00:00+02:00",),
}


def field(path: str, operator: Operator, *values: str) -> FieldIs:
    return FieldIs(path=path, operator=operator, values=values)


def subscriber(status: str, *plans: str, id: str = "sub_1") -> Subscription:
    return Subscription(id=id, status=status, plans=plans)


# B1, B2 ----------------------------------------------------------------------------------------------------


def test_b1_a_side_without_a_rule_where_the_other_has_one_takes_nobody() -> None:
    scene = alone(left())
    assert scene.person("office", "bob", BOB) == []
    assert scene.link().status == "outside"
    (decision,) = scene.bench.state.decisions
    assert decision.reason == "no rule takes contacts of this side into the sync"


def test_b1_without_any_rule_nothing_is_synced() -> None:
    scene = alone()
    assert scene.person("shop", "cus", ADA) + scene.person("office", "card", CARD) == []
    assert {link.status for link in scene.bench.links()} == {"outside"}


@pytest.mark.parametrize(
    ("tier", "memo", "taken"),
    [("gold", "yes", True), ("gold", "no", False), ("tin", "yes", False), ("tin", "no", False)],
)
def test_b2_conditions_of_a_rule_are_and(tier: str, memo: str, *, taken: bool) -> None:
    scene = alone(left(IS_GOLD, field("memo", "equals", "yes")))
    told = scene.person("shop", "cus", {**ADA, "tier": (tier,), "memo": (memo,)})
    assert [type(each) for each in told] == ([Create] if taken else [])


@pytest.mark.parametrize(
    ("tier", "memo", "taken"),
    [("gold", "yes", True), ("gold", "no", True), ("tin", "yes", True), ("tin", "no", False)],
)
def test_b2_rules_are_or(tier: str, memo: str, *, taken: bool) -> None:
    scene = alone(left(IS_GOLD), left(field("memo", "equals", "yes")))
    told = scene.person("shop", "cus", {**ADA, "tier": (tier,), "memo": (memo,)})
    assert [type(each) for each in told] == ([Create] if taken else [])


def test_b2_a_rule_takes_only_its_own_sides_contacts() -> None:
    scene = alone(left(IS_GOLD), right(IS_GOLD))
    assert scene.person("office", "bob", BOB) == []
    create = only(scene.person("office", "bob", {**BOB, "tier": ("gold",)}), Create)
    assert create.aim.account == "shop"


def test_b2_either_sides_rule_pairs_two_contacts_that_exist() -> None:
    for rule, shop, office in (
        (left(IS_GOLD), GOLD, CARD),
        (right(IS_GOLD), ADA, {**CARD, "tier": ("gold",)}),
    ):
        scene = pair_of(rule, shop=shop, office=office)
        assert scene.link().paired
        assert scene.link().rule == rule.source


def test_b2_contacts_that_match_no_rule_are_neither_paired_nor_touched() -> None:
    scene = alone(left(IS_GOLD), right(IS_GOLD))
    scene.carry_out(scene.person("shop", "cus", {**ADA, "tier": ("tin",)}))
    scene.carry_out(scene.person("office", "card", CARD))
    assert scene.written == []
    assert {link.status for link in scene.bench.links()} == {"outside"}


# B3 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        ("trialing", True),
        ("active", True),
        ("past_due", True),
        ("canceled", False),
        ("unpaid", False),
        ("incomplete", False),
        ("incomplete_expired", False),
        ("paused", False),
        ("a status of next year", False),
    ],
)
def test_b3_subscribed_is_trialing_active_or_past_due(status: str, *, counts: bool) -> None:
    record = known(ADA, subscriptions=[subscriber(status, "price_1")])
    for condition in (HasSubscription(), SubscribedTo(plan="price_1")):
        assert judge(config(left(condition)), "left", record, there=None).holds is counts
        negated = replace(condition, present=False)
        assert judge(config(left(negated)), "left", record, there=None).holds is not counts


@pytest.mark.parametrize("plan", ["price_1", "prod_1", "gold_monthly"])
def test_b3_a_plan_is_named_by_its_price_its_product_or_its_lookup_key(plan: str) -> None:
    record = known(ADA, subscriptions=[subscriber("active", "price_1", "prod_1", "gold_monthly")])
    assert judge(config(left(SubscribedTo(plan=plan))), "left", record, there=None).holds is True
    assert judge(config(left(SubscribedTo(plan=plan, present=False))), "left", record, there=None).holds is False


@pytest.mark.parametrize("plan", ["price_2", "PRICE_1", "price", ""])
def test_b3_a_plans_id_is_taken_as_it_stands(plan: str) -> None:
    record = known(ADA, subscriptions=[subscriber("active", "price_1")])
    assert judge(config(left(SubscribedTo(plan=plan))), "left", record, there=None).holds is False


def test_b3_an_ended_subscription_doesnt_count_beside_one_that_runs() -> None:
    both = [subscriber("canceled", "old", id="sub_1"), subscriber("active", "new", id="sub_2")]
    record = known(ADA, subscriptions=both)
    assert judge(config(left(SubscribedTo(plan="old"))), "left", record, there=None).holds is False
    assert judge(config(left(SubscribedTo(plan="new"))), "left", record, there=None).holds is True
    assert judge(config(left(HasSubscription())), "left", record, there=None).holds is True


def test_b3_a_subscription_that_the_app_says_is_over_doesnt_count_whatever_its_status() -> None:
    record = known(ADA, subscriptions=[subscriber("active", "price_1")])
    ended = replace(record.subscriptions["sub_1"], ended=True)
    record = replace(record, subscriptions={"sub_1": ended})
    assert judge(config(left(HasSubscription())), "left", record, there=None).holds is False


def test_b3_whoever_has_no_subscription_is_subscribed_to_nothing() -> None:
    assert judge(config(left(HasSubscription(present=False))), "left", known(ADA), there=None).holds is True
    assert judge(config(left(SubscribedTo(plan="p", present=False))), "left", known(ADA), there=None).holds is True


def subscribes(status: str, *plans: str, at: float, ended: bool = False) -> SubscriptionChanged:
    return SubscriptionChanged(
        account="shop",
        contact_id="cus",
        order=order(at),
        origin="webhook",
        subscription=subscriber(status, *plans),
        ended=ended,
    )


def test_b3_a_subscription_brings_a_contact_in_and_its_end_takes_it_out() -> None:
    scene = alone(left(SubscribedTo(plan="price_1")))
    assert scene.person("shop", "cus", ADA) == []
    scene.carry_out(scene.bench.take(subscribes("trialing", "price_1", at=scene.at + 10)))
    assert scene.link().status == "active"
    scene.bench.take(subscribes("canceled", "price_1", at=scene.at + 20, ended=True))
    assert scene.link().status == "outside"


def test_b3_a_change_of_plan_takes_a_contact_out() -> None:
    scene = alone(left(SubscribedTo(plan="price_1")))
    scene.person("shop", "cus", ADA)
    scene.carry_out(scene.bench.take(subscribes("active", "price_1", at=scene.at + 10)))
    scene.bench.take(subscribes("active", "price_2", at=scene.at + 20))
    assert scene.link().status == "outside"


def test_b3_a_subscription_that_is_seen_before_its_contact_counts_once_that_is_read() -> None:
    scene = alone(left(HasSubscription()))
    look = only(scene.bench.take(subscribes("active", "price_1", at=10)), Look)
    assert (look.account, look.contact_id) == ("shop", "cus")
    answer = scene.bench.changed("shop", "cus", ADA, at=12, look=look.look, origin="look")
    told = scene.bench.take(replace(answer, subscriptions=(subscriber("active", "price_1"),)))
    assert isinstance(only(told, Create), Create)


def test_b3_a_late_subscription_event_doesnt_undo_a_newer_one() -> None:
    scene = alone(left(HasSubscription()))
    scene.person("shop", "cus", ADA)
    scene.carry_out(scene.bench.take(subscribes("active", "price_1", at=500)))
    assert writes(scene.bench.take(subscribes("incomplete", "price_1", at=400))) == []
    assert scene.link().status == "active"


# B4 --------------------------------------------------------------------------------------------------------


def test_b4_has_label_and_hasnt_label_on_either_side() -> None:
    for present in (True, False):
        for rule, side, account in ((left, "left", "shop"), (right, "right", "office")):
            in_force = config(rule(HasTag(name="VIP", present=present)))
            for tags in ((), ("VIP",), ("vip",), ("VIP", "Client"), ("Client",)):
                record = known(ADA if account == "shop" else CARD, tags=tags, account=account)
                judged = judge(in_force, "left" if side == "left" else "right", record, there=None)
                assert judged.holds is (("VIP" in tags) == present)


def test_b4_adding_the_label_brings_a_contact_in_and_removing_it_takes_it_out() -> None:
    scene = alone(right(HasTag(name="Sync")))
    assert scene.person("office", "card", CARD) == []
    scene.carry_out(scene.person("office", "card", tags=["Sync"]))
    assert scene.link().paired
    assert scene.carry_out(scene.person("office", "card", tags=[])) == []
    assert scene.link().status == "outside"


# The reason ------------------------------------------------------------------------------------------------


def verdict(*conditions: Condition) -> Verdict:
    return judge(config(left(*conditions)), "left", known(FULL, tags=["secret-tag"]), there=None)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (field("tier", "equals", "Silver"), "tier equals Silver"),
        (field("tier", "one_of", "a", "b"), "tier one of a or b"),
        (field("email", "is_empty"), "email is empty"),
        (field("address.country", "equals", "BE"), "address.country equals BE"),
        (HasTag(name="VIP"), "has the tag VIP"),
        (HasTag(name="secret-tag", present=False), "lacks the tag secret-tag"),
        (SubscribedTo(plan="price_1"), "is subscribed to price_1"),
        (HasSubscription(), "has a subscription"),
    ],
)
def test_b2_the_reason_names_the_rule_and_the_failed_condition(condition: Condition, said: str) -> None:
    judged = verdict(field("name", "is_not_empty"), condition)
    assert judged.holds is False
    assert judged.why == f"rule 1 doesn't match: {said}"


def test_b2_a_reason_never_says_what_the_contact_holds() -> None:
    told = verdict(
        field("tier", "equals", "x"), field("email", "ends_with", "y"), field("phone", "is_empty"), HasTag(name="z")
    )
    for held in ("Gold", "Ada", "ada@", "example", "202", "555", "secret"):
        assert held not in told.why


def test_b2_every_rule_that_failed_is_named_by_its_place_in_the_file() -> None:
    scene = alone(right(), left(IS_GOLD), left(HasTag(name="VIP")))
    scene.person("shop", "cus", ADA)
    (decision,) = scene.bench.state.decisions
    assert decision.outcome == "outside"
    assert decision.reason == "rule 2 doesn't match: tier equals gold; rule 3 doesn't match: has the tag VIP"


def test_b2_a_create_says_by_which_rule() -> None:
    scene = alone(right(), left(HasTag(name="VIP")), left(IS_GOLD))
    scene.person("shop", "cus", GOLD)
    (decision,) = scene.bench.state.decisions
    assert decision.outcome == "create"
    assert "rule 3 matches: tier equals gold" in decision.reason
