"""Laws of rules over any contact and any condition: total, complementary, monotone, discreet (SEMANTICS B2-B6)."""

from datetime import datetime
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.contracts.contact import Address, Contact, Fields, PersonName, Subscription, Value
from services.contracts.rule import (
    Condition,
    FieldIs,
    HasSubscription,
    HasTag,
    OnOtherSide,
    Operator,
    PermitEmail,
    Rule,
    SetTag,
    SetText,
    SubscribedTo,
)
from services.sync.core.rules import Verdict, judge, key_of, permits_email, told
from services.sync.core.state import Record, SubscriptionRecord
from tests.core.bench import order
from tests.core.scene import ADA, IS_GOLD, config, known, left, right

OPERATORS: tuple[Operator, ...] = get_args(Operator)
PATHS = (
    "name",
    "email",
    "phone",
    "address",
    "address.city",
    "address.country",
    "address.nothing",
    "name.given",
    "memo",
    "tier",
    "metadata.points",
    "nobody.knows",
    "",
    ".",
    "address.",
)
WORDS = ("", "gold", " Gold ", "ada@example.com", "+1 202 555 0101", "10", "9.5", "2026-03-01", "BE", "0101", "x")
TAGS, PLANS = ("VIP", "Old", ""), ("price_1", "prod_1", "")
STATUSES = ("active", "trialing", "past_due", "canceled", "paused", "")

texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=12))
names = st.builds(PersonName, given=texts, family=texts, suffix=texts, full=texts)
places = st.builds(Address, line1=texts, city=texts, country=texts)
values: st.SearchStrategy[Value] = st.one_of(texts, names, places)
fields: st.SearchStrategy[Fields] = st.dictionaries(
    st.sampled_from(PATHS), st.lists(values, max_size=3).map(tuple), max_size=6
)
subscriptions = st.builds(
    SubscriptionRecord,
    subscription=st.builds(
        Subscription,
        id=st.just("sub"),
        status=st.sampled_from(STATUSES),
        plans=st.lists(st.sampled_from(PLANS), max_size=2).map(tuple),
    ),
    order=st.just(order(0)),
    ended=st.booleans(),
)
records = st.builds(
    Record,
    account=st.just("shop"),
    contact_id=st.just("cus"),
    contact=st.builds(Contact, fields=fields, tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple)),
    order=st.just(order(0)),
    subscriptions=st.dictionaries(st.sampled_from(["one", "two"]), subscriptions, max_size=2),
)
comparisons = st.builds(
    FieldIs,
    path=st.sampled_from(PATHS) | st.text(max_size=5),
    operator=st.sampled_from(OPERATORS),
    values=st.lists(texts, max_size=3).map(tuple),
)
conditions: st.SearchStrategy[Condition] = st.one_of(
    comparisons,
    st.builds(HasTag, name=st.sampled_from(TAGS), present=st.booleans()),
    st.builds(SubscribedTo, plan=st.sampled_from(PLANS), present=st.booleans()),
    st.builds(HasSubscription, present=st.booleans()),
    st.builds(OnOtherSide, present=st.booleans()),
)
several = st.lists(conditions, max_size=4)
rules = st.builds(Rule, source=st.sampled_from(["left", "right"]), conditions=several.map(tuple))
answers = st.sampled_from([None, True, False])


def says(record: Record, *mine: Condition, there: bool | None = None) -> bool | None:
    return judge(config(left(*mine)), "left", record, there=there).holds


def verdict(record: Record, *mine: Rule, there: bool | None = None) -> Verdict:
    return judge(config(*mine), "left", record, there=there)


@given(records, st.lists(rules, max_size=4), answers)
def test_b2_any_rules_judge_any_contact_and_say_why(record: Record, mine: list[Rule], there: bool | None) -> None:
    judged = verdict(record, *mine, there=there)
    assert judged.why
    assert bool(judged.rules) is (judged.holds is True)
    assert all(rule.source == "left" and rule in mine for rule in judged.rules)


@given(records, comparisons)
def test_b5_negated_operators_are_exact_complements(record: Record, condition: FieldIs) -> None:
    for positive, negative in (("equals", "not_equals"), ("is_not_empty", "is_empty")):
        plain = says(record, FieldIs(path=condition.path, operator=operator(positive), values=condition.values))
        negated = says(record, FieldIs(path=condition.path, operator=operator(negative), values=condition.values))
        assert plain is (not negated)


@given(records, conditions.filter(lambda each: not isinstance(each, FieldIs)), st.booleans())
def test_b3_b4_b6_absence_is_the_complement_of_presence(record: Record, condition: Condition, there: bool) -> None:
    assert not isinstance(condition, FieldIs)
    opposite = replace(condition, present=not condition.present)
    assert says(record, condition, there=there) is (not says(record, opposite, there=there))


def operator(name: str) -> Operator:
    return next(each for each in OPERATORS if each == name)


@given(records, st.sampled_from(PATHS), texts, texts)
def test_b5_operators_agree_with_each_other(record: Record, path: str, one: str, two: str) -> None:
    def fits(name: str, *wanted: str) -> bool | None:
        return says(record, FieldIs(path=path, operator=operator(name), values=wanted))

    assert fits("one_of", one, two) is (fits("equals", one) or fits("equals", two))
    if fits("equals", one):
        assert fits("contains", one)
        assert fits("starts_with", one)
        assert fits("ends_with", one)
    if fits("starts_with", one) or fits("ends_with", one):
        assert fits("contains", one)
    if fits("is_empty"):
        positive = ("equals", "contains", "starts_with", "ends_with", "one_of", "greater", "less")
        assert not any(fits(name, one) for name in positive)


@given(records, st.sampled_from(PATHS), st.sampled_from(WORDS), st.sampled_from(["equals", "contains", "one_of"]))
def test_b5_case_and_blanks_around_what_the_file_says_dont_count(
    record: Record, path: str, word: str, name: str
) -> None:
    for other in (word.upper(), f"  {word} ", word.casefold()):
        plain = FieldIs(path=path, operator=operator(name), values=(word,))
        assert says(record, plain) is says(record, replace(plain, values=(other,)))


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_b5_numbers_compare_as_numbers(held: int, limit: int) -> None:
    record = known({**ADA, "tier": (str(held),)})
    assert says(record, FieldIs(path="tier", operator="greater", values=(str(limit),))) is (held > limit)
    assert says(record, FieldIs(path="tier", operator="less", values=(f"{limit}.0",))) is (held < limit)


@given(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.timezones()))
def test_b5_moments_compare_wherever_they_were_written_down(held: datetime, limit: datetime) -> None:
    record = known({**ADA, "tier": (held.isoformat(),)})
    later = held.timestamp() > limit.timestamp()
    assert says(record, FieldIs(path="tier", operator="greater", values=(limit.isoformat(),))) is later


@given(records, several, conditions, answers)
def test_b2_another_condition_never_makes_a_match(
    record: Record, mine: list[Condition], another: Condition, there: bool | None
) -> None:
    before, after = says(record, *mine, there=there), says(record, *mine, another, there=there)
    if before is False:
        assert after is False
    if after is True:
        assert before is True
        assert says(record, another, there=there) is True


@given(records, st.lists(rules, max_size=3), rules, answers)
def test_b2_another_rule_never_ends_a_match(
    record: Record, mine: list[Rule], another: Rule, there: bool | None
) -> None:
    before, after = verdict(record, *mine, there=there), verdict(record, *mine, another, there=there)
    if before.holds is True:
        assert after.holds is True
        assert after.rules[: len(before.rules)] == before.rules
    if before.holds is None:
        assert after.holds in (None, True)


@given(records, several.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))), answers)
def test_b2_the_order_of_conditions_doesnt_count(
    record: Record, orders: tuple[list[Condition], list[Condition]], there: bool | None
) -> None:
    assert says(record, *orders[0], there=there) is says(record, *orders[1], there=there)


@given(records, st.lists(rules, max_size=3).flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_b2_the_order_of_rules_doesnt_count(record: Record, orders: tuple[list[Rule], list[Rule]]) -> None:
    assert verdict(record, *orders[0]).holds is verdict(record, *orders[1]).holds


@given(records, st.lists(rules, max_size=3))
def test_b6_an_answer_that_isnt_known_yet_never_changes_what_is_decided(record: Record, mine: list[Rule]) -> None:
    unknown = verdict(record, *mine, there=None).holds
    known_ones = {verdict(record, *mine, there=there).holds for there in (True, False)}
    assert None not in known_ones
    if unknown is not None:
        assert known_ones == {unknown}


@given(several, st.lists(st.sampled_from(PATHS), max_size=4), answers)
def test_b2_a_reason_never_holds_the_contacts_values(
    mine: list[Condition], paths: list[str], there: bool | None
) -> None:
    held: Fields = {path: ("Ω-private-Ω", PersonName(given="Ω-private-Ω")) for path in paths}
    record = known(held, tags=["Ω-private-Ω"])
    assert "private" not in verdict(record, left(*mine), there=there).why


@given(conditions)
def test_b2_every_condition_has_words_of_its_own(condition: Condition) -> None:
    assert told(condition).strip()


def test_b2_a_rule_without_conditions_takes_every_contact() -> None:
    judged = verdict(known({}), left())
    assert judged.holds is True
    assert judged.why == "rule 1 takes every contact of this side"


def test_a4_no_rule_takes_a_contact_whose_values_have_nowhere_to_flow() -> None:
    one_way = config(left(), right(), direction="right_to_left")
    assert judge(one_way, "left", known(ADA), there=None).holds is False
    assert judge(one_way, "right", known(ADA, account="office"), there=None).holds is True


def test_b2_a_deleted_contact_matches_nothing() -> None:
    gone = replace(known(ADA), contact=None)
    assert verdict(gone, left(IS_GOLD)).holds is False


def test_b8_each_action_is_remembered_by_what_it_is_about() -> None:
    keys = [
        key_of(action)
        for action in (
            SetTag(name="a"),
            SetTag(name="a", present=False),
            SetTag(name="b"),
            SetText(path="a", text="x"),
            PermitEmail(),
        )
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(SetText(path="a", text="x")) == key_of(SetText(path="a", text="y"))


def test_b10_only_the_permit_permits() -> None:
    assert permits_email([Rule(source="left", actions=(SetTag(name="a"), PermitEmail()))])
    assert not permits_email([Rule(source="left", actions=(SetTag(name="email"),))])
    assert not permits_email([])
