"""Rules in the file: what they become, and how they are stored."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from services.contracts.connection import Connection
from services.contracts.rule import (
    Action,
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
from services.runtime.registry import read
from services.runtime.registry.apply import Applied, apply
from services.runtime.secrets import Vault
from services.runtime.store import Store
from tests.rules_text import checked, file, rules, told


def condition(written: str, left: str = "stripe") -> Condition:
    ((found,),) = [rule.conditions for rule in rules(file(f"- {{from: left, if: [{written}]}}", left, "carddav"))]
    return found


def action(written: str, right: str) -> Action:
    text = file(f"- {{from: left, then: [{written}]}}", "google_contacts" if right == "stripe" else "stripe", right)
    ((found,),) = [rule.actions for rule in rules(text)]
    return found


def test_b2_a_file_has_several_rules_of_one_side_and_each_several_conditions() -> None:
    text = file(
        """\
        - from: left
          if: [{subscribed_to: price_pro}, {field: metadata.product, equals: syncbox}, {exists_on_other_side: true}]
          then:
            - add_label: Customers
            - {remove_label: Leads}
          undo: true
        - from: left
          if:
            - field: address.country
              one_of: [DE, AT, DE]
        - from: right
          if: [{has_label: Customers}]
          then: [update_email, {update_description: "${S} service"}]
        """,
        keys="mappings: [{default: note, enabled: false}]\n",
    )
    assert told(text) == []
    assert rules(text) == (
        Rule(
            source="left",
            conditions=(
                SubscribedTo(plan="price_pro"),
                FieldIs(path="metadata.product", operator="equals", values=("syncbox",)),
                OnOtherSide(),
            ),
            actions=(SetTag(name="Customers"), SetTag(name="Leads", present=False)),
            undo=True,
        ),
        Rule(source="left", conditions=(FieldIs(path="address.country", operator="one_of", values=("DE", "AT")),)),
        Rule(
            source="right",
            conditions=(HasTag(name="Customers"),),
            actions=(PermitEmail(), SetText(path="description", text="secret service")),
        ),
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{subscribed_to: gold}", SubscribedTo(plan="gold")),
        ("{subscribed_to: '${PLAN}'}", SubscribedTo(plan="price_canary")),
        ("{not_subscribed_to: gold}", SubscribedTo(plan="gold", present=False)),
        ("{has_subscription: true}", HasSubscription()),
        ("{has_subscription: no}", HasSubscription(present=False)),
        ("{has_no_subscription: true}", HasSubscription(present=False)),
        ("{has_no_subscription: false}", HasSubscription()),
        ("{exists_on_other_side: true}", OnOtherSide()),
        ("{exists_on_other_side: false}", OnOtherSide(present=False)),
        ("{has_tag: PieSync Trash}", HasTag(name="PieSync Trash")),
        ("{hasnt_tag: PieSync Trash}", HasTag(name="PieSync Trash", present=False)),
    ],
)
def test_b3_what_stripe_knows_can_be_asked(written: str, meant: Condition) -> None:
    assert condition(written) == meant


@pytest.mark.parametrize(
    ("app", "written", "meant"),
    [
        ("google_contacts", "{has_label: Customers}", HasTag(name="Customers")),
        ("google_contacts", "{hasnt_label: Customers}", HasTag(name="Customers", present=False)),
        ("google_contacts", "{has_label: PieSync Trash}", HasTag(name="PieSync Trash")),
        ("carddav", "{has_category: ' VIP '}", HasTag(name="VIP")),
        ("google_contacts", "{field: custom.product, equals: 1}", FieldIs(path="custom.product", operator="equals", values=("1",))),  # noqa: E501 - a row
        ("google_contacts", "{field: name.family, equals: King}", FieldIs(path="name.family", operator="equals", values=("King",))),  # noqa: E501 - a row
        ("google_contacts", "{field: addresses.city, equals: Ulm}", FieldIs(path="addresses.city", operator="equals", values=("Ulm",))),  # noqa: E501 - a row
    ],
)  # fmt: skip
def test_b4_what_other_apps_know_can_be_asked(app: str, written: str, meant: Condition) -> None:
    text = file(f"- {{from: left, if: [{written}]}}", app, "quickbooks")
    assert told(text) == []
    assert rules(text)[0].conditions == (meant,)


@pytest.mark.parametrize(
    ("written", "operator", "values"),
    [
        ("equals: true", "equals", ("true",)),
        ("not_equals: ' Gold '", "not_equals", ("Gold",)),
        ("contains: '007'", "contains", ("007",)),
        ("starts_with: a", "starts_with", ("a",)),
        ("ends_with: a", "ends_with", ("a",)),
        ("is_empty: true", "is_empty", ()),
        ("is_empty: false", "is_not_empty", ()),
        ("is_not_empty: true", "is_not_empty", ()),
        ("is_not_empty: false", "is_empty", ()),
        ("one_of: [a, b, a]", "one_of", ("a", "b")),
        ("greater: 12.5", "greater", ("12.5",)),
        ("less: 2026-11-22", "less", ("2026-11-22",)),
        ("less: '2026-11-22T09:30:00Z'", "less", ("2026-11-22T09:30:00Z",)),
    ],
)
def test_b5_every_operator_is_read(written: str, operator: str, values: tuple[str, ...]) -> None:
    found = condition(f"{{field: metadata.tier, {written}}}")
    assert isinstance(found, FieldIs)
    assert (found.path, found.operator, found.values) == ("metadata.tier", operator, values)


@pytest.mark.parametrize(
    ("right", "written", "meant"),
    [
        ("stripe", "update_email", PermitEmail()),
        ("stripe", "{update_email: true}", PermitEmail()),
        ("stripe", "update_email:", PermitEmail()),
        ("stripe", "{update_description: ' synced '}", SetText(path="description", text="synced")),
        ("stripe", '{update_description: "a\\nb"}', SetText(path="description", text="a\nb")),
        ("google_contacts", "{add_label: Customers}", SetTag(name="Customers")),
        ("google_contacts", "{remove_label: Leads}", SetTag(name="Leads", present=False)),
        ("carddav", "{add_category: '${PLAN}'}", SetTag(name="price_canary")),
    ],
)
def test_b8_every_action_is_read(right: str, written: str, meant: Action) -> None:
    assert action(written, right) == meant


STORED = Connection(
    name="pair",
    left="one",
    right="two",
    rules=(
        Rule(
            source="left",
            conditions=(
                FieldIs(path="email", operator="is_empty"),
                FieldIs(path="metadata.p", operator="one_of", values=("a", "b")),
                HasTag(name="x", present=False),
                SubscribedTo(plan="gold"),
                HasSubscription(present=False),
                OnOtherSide(),
            ),
            actions=(SetTag(name="y"), SetText(path="description", text="z"), PermitEmail()),
            undo=True,
        ),
        Rule(source="right"),
    ),
)


def test_rules_are_stored_and_read_back() -> None:
    assert msgspec.json.decode(msgspec.json.encode(STORED), type=Connection) == STORED


def test_what_was_stored_before_there_were_conditions_is_still_read() -> None:
    old = b'{"name":"pair","left":"one","right":"two","rules":[{"source":"right"}]}'
    assert msgspec.json.decode(old, type=Connection).rules == (Rule(source="right"),)


async def test_applying_the_same_rules_again_is_no_change(store: Store) -> None:
    text = file("- {from: left, if: [{subscribed_to: a}], then: [{add_label: a}], undo: true}")
    config = checked(text).config
    assert config
    now, vault = datetime(2026, 11, 22, tzinfo=UTC), Vault(b"k" * 32)
    first = await apply(store, vault, config, by="ada", now=now)
    again = await apply(store, vault, config, by="ada", now=now)
    assert isinstance(first, Applied)
    assert isinstance(again, Applied)
    assert (first.connections.new, again.connections.unchanged, again.changed) == (("pair",), ("pair",), False)
    async with store.transaction(readonly=True) as database:
        (registered,) = await read.connections(database)
    assert registered.connection == config.connections[0]
    assert registered.version == 1
