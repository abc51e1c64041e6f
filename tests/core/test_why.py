"""Fails when a rule's reasons don't name the value that was found, or say something else than the step decides."""

from msgspec.structs import replace

from services.contracts.contact import Address, Contact, Order, PersonName, Subscription
from services.contracts.rule import (
    Condition,
    FieldIs,
    HasSubscription,
    HasTag,
    OnOtherSide,
    PermitEmail,
    Rule,
    SetTag,
    SetText,
    SubscribedTo,
)
from services.sync.core.mapping import Config, compile_config
from services.sync.core.rules import judge
from services.sync.core.state import Record, SubscriptionRecord
from services.sync.core.why import MOST, ruling, value_told
from tests.core.bench import ADA, BOOK, SHOP, TWO_WAY

NOW = Order(1, 1)


def config(*rules: Rule) -> Config:
    return compile_config(replace(TWO_WAY, rules=rules), 1, {"shop": SHOP, "office": BOOK}, paused=False)


def record(*subscriptions: SubscriptionRecord, tags: tuple[str, ...] = ()) -> Record:
    contact = Contact(fields=ADA, tags=tags)
    kept = {each.subscription.id: each for each in subscriptions}
    return Record(account="shop", contact_id="cus", contact=contact, order=NOW, subscriptions=kept)


def subscription(plan: str, status: str, *, ended: bool = False) -> SubscriptionRecord:
    told = Subscription(id=f"sub_{plan}", status=status, plans=(plan, f"prod_{plan}"))
    return SubscriptionRecord(subscription=told, order=NOW, ended=ended)


def found(condition: Condition, of: Record, *, there: bool | None = True) -> tuple[bool | None, str]:
    (rule,) = ruling(config(Rule(source="left", conditions=(condition,))), "left", of, there=there).rules
    (ground,) = rule.grounds
    return ground.holds, ground.found


def test_g4_a_plan_is_answered_with_the_subscriptions_that_are_there() -> None:
    of = record(subscription("basic", "active"), subscription("pro", "canceled"))
    both = "subscriptions: basic = prod_basic (active), pro = prod_pro (canceled, which does not count)"
    assert found(SubscribedTo(plan="pro"), of) == (False, both)
    assert found(SubscribedTo(plan="prod_basic"), of) == (True, both)
    assert found(HasSubscription(present=False), record()) == (True, "subscriptions: none")
    over = record(subscription("pro", "active", ended=True))
    assert found(SubscribedTo(plan="pro"), over) == (
        False,
        "subscriptions: pro = prod_pro (ended, which does not count)",
    )


def test_g4_a_field_a_tag_and_the_other_side_are_answered_with_what_was_found() -> None:
    assert found(FieldIs(path="name", operator="contains", values=("lovelace",)), record()) == (
        False,
        "name: Ada King",
    )
    assert found(FieldIs(path="description", operator="is_empty"), record()) == (True, "description: empty")
    assert found(HasTag(name="vip"), record(tags=("new", "old"))) == (False, "tags: new, old")
    many = tuple(f"t{at:02}" for at in range(MOST + 2))
    assert found(HasTag(name="vip"), record(tags=many))[1].endswith("t19 and 2 more")
    assert found(HasTag(name="vip", present=False), record()) == (True, "tags: none")
    here = OnOtherSide()
    assert found(here, record(), there=None)[0] is None
    assert found(here, record(), there=False) == (
        False,
        "it wasn't there when the other account was asked first",
    )


def test_g4_the_reasons_are_those_that_decide() -> None:
    rules = (
        Rule(
            source="left", conditions=(HasTag(name="vip"), HasTag(name="new")), actions=(SetTag(name="x"),), undo=True
        ),
        Rule(source="right"),
        Rule(source="left", actions=(PermitEmail(), SetText(path="note", text="ours"))),
    )
    told = ruling(config(*rules), "left", record(tags=("vip",)), there=None)
    verdict = judge(config(*rules), "left", record(tags=("vip",)), there=None)
    assert (told.holds, told.why) == (verdict.holds, verdict.why)
    assert [(each.number, each.holds, each.undo) for each in told.rules] == [(1, False, True), (3, True, False)]
    assert [ground.holds for ground in told.rules[0].grounds] == [True, False]
    assert told.rules[1].grounds == ()
    assert told.rules[1].actions == ("let changed e-mail addresses flow", "put 'ours' into note")


def test_g4_values_are_told_as_a_person_reads_them() -> None:
    assert value_told(PersonName(given="Ada", family="King")) == "Ada King"
    assert value_told(Address(line1="1 Elm", city="Ghent", country="BE")) == "1 Elm, Ghent, BE"
