"""What `check` says of rules that can't be, or can't be meant: where, why, and what to write instead."""

# ruff: noqa: E501 - a table has a row per case

from __future__ import annotations

import re

import pytest

from services.runtime.registry.check import rendered
from tests.rules_text import FIRST, checked, file, only, rules, told

IF = "- {from: left, if: [%s]}"
THEN = "- {from: left, then: [%s]}"
S, G, C, Q = "stripe", "google_contacts", "carddav", "quickbooks"
PLAIN = "Write `field` or `exists_on_other_side`."


@pytest.mark.parametrize(
    ("rule", "left", "right", "message", "remedy"),
    [
        # conditions that the app doesn't have
        (IF % "{subscribed_to: x}", G, S, "Google Contacts (`one`) has no condition `subscribed_to`; Stripe (`two`) has", "Write it in a rule `from: right`, or one of `field`, `has_label`, `hasnt_label` or `exists_on_other_side`."),
        (IF % "{subscribed_to: x}", C, Q, "CardDAV (`one`) has no condition `subscribed_to`", "Write `field`, `has_category`, `hasnt_category` or `exists_on_other_side`."),
        (IF % "{has_subscription: true}", Q, C, "QuickBooks Online (`one`) has no condition `has_subscription`", PLAIN),
        (IF % "{has_tag: x}", Q, C, "QuickBooks Online (`one`) has no condition `has_tag`", PLAIN),
        (IF % "{has_tag: x}", G, S, "Google Contacts (`one`) has no condition `has_tag`", "Did you mean `has_label`?"),
        (IF % "{has_no_label: x}", G, S, "Google Contacts (`one`) has no condition `has_no_label`", "Did you mean `hasnt_label`?"),
        (IF % "{lacks_tag: x}", C, S, "CardDAV (`one`) has no condition `lacks_tag`", "Did you mean `hasnt_category`?"),
        (IF % "{subscribedto: x}", S, G, "Stripe (`one`) has no condition `subscribedto`", "Did you mean `subscribed_to`?"),
        (IF % "{not-subscribed-to: x}", S, G, "Stripe (`one`) has no condition `not-subscribed-to`", "Did you mean `not_subscribed_to`?"),
        (IF % "{gets_deleted: true}", G, S, "Google Contacts (`one`) has no condition `gets_deleted`", "Write `field`, `has_label`, `hasnt_label` or `exists_on_other_side`."),
        (IF % "{email: x}", S, G, "Stripe (`one`) has no condition `email`", "Write `{field: email, equals: VALUE}`."),
        (IF % "{metadata.plan: x}", S, G, "Stripe (`one`) has no condition `metadata.plan`", "Write `{field: metadata.plan, equals: VALUE}`."),
        (IF % "{has_tag: VIP}", S, G, "Stripe (`one`) has no tags of its own but `PieSync Trash` and `PieSync Unsubscribes`", "Write `PieSync Trash` or `PieSync Unsubscribes`, or ask for a field: "),
        (IF % "{has_tag: piesync trash}", S, G, "Stripe (`one`) has no tags of its own", "Did you mean `PieSync Trash`?"),
        # fields
        (IF % "{field: emial, equals: x}", S, G, "Stripe (`one`) has no field `emial`", "Did you mean `email`?"),
        (IF % "{field: note, equals: x}", S, G, "Stripe (`one`) has no field `note`", "Did you mean `description`?"),
        (IF % "{field: address.country, equals: x}", G, S, "Google Contacts (`one`) has no field `address.country`", "Did you mean `addresses.country`?"),
        (IF % "{field: fax, equals: x}", S, G, "Stripe (`one`) has no field `fax`", "Write `name`, `email`, `phone`, `address`, `description`, `business_name` or `metadata.KEY`."),
        (IF % "{field: metadata, equals: x}", S, G, "Stripe (`one`) has no field `metadata`", "Write `metadata.KEY`."),
        (IF % "{field: Metadata.Plan, equals: x}", S, G, "Stripe (`one`) has no field `Metadata.Plan`", "Write `metadata.Plan`."),
        (IF % "{field: metadata., equals: x}", S, G, "Stripe (`one`) can't have the field `metadata.`: the key is missing", "Write `metadata.KEY`."),
        (IF % "{field: 'metadata.a[b]', equals: x}", S, G, "Stripe (`one`) can't have the field `metadata.a[b]`: a metadata key has no `[` or `]`", "Write the key as it is in the app."),
        (IF % ("{field: metadata." + "k" * 41 + ", equals: x}"), S, G, "a metadata key has at most 40 characters", "Write the key as it is in the app."),
        (IF % "{field: metadata.PieSync Trash, is_empty: false}", S, G, "Stripe (`one`) can't have the field `metadata.PieSync Trash`: that key is contactsync's own", "Write `{has_tag: PieSync Trash}`."),
        (IF % "{field: metadata.x, equals: x}", C, S, "CardDAV (`one`) has no field `metadata.x`", "Write `name`, "),
        (IF % "{field: name.given, equals: x}", S, G, "`name` of Stripe (`one`) has no parts", "Write `name`."),
        (IF % "{field: name.fmily, equals: x}", G, S, "`name` of Google Contacts (`one`) has no part `fmily`", "Did you mean `name.family`?"),
        (IF % "{field: address.land, equals: x}", S, G, "`address` of Stripe (`one`) has no part `land`", "Write `address.` and `line1`, "),
        (IF % "{field: [a], equals: x}", S, G, "`field` in a condition of connection `pair` has to be one value, and is a list", "Write a field's path, such as `email`."),
        (IF % '{field: "metadata.\\ud800", equals: x}', S, G, "holds a character that no app keeps", "Remove the character U+D800."),
        # operators
        (IF % "{field: email}", S, G, "a condition of connection `pair` doesn't say how to compare", "Write it like `{field: email, ends_with: example.com}`."),
        (IF % "{equals: x}", S, G, "a condition of connection `pair` has no field", "Write `{field: email, ends_with: example.com}`."),
        (IF % "{equals: x, contains: y}", S, G, "a condition of connection `pair` has no field", "Add `field: name`."),
        (IF % "{field: email, starts_whit: x}", S, G, "a condition of connection `pair` can't compare with `starts_whit`", "Did you mean `starts_with`?"),
        (IF % "{field: email, after: x}", S, G, "a condition of connection `pair` can't compare with `after`", "Did you mean `greater`?"),
        (IF % "{field: email, not_contains: x}", S, G, "a condition of connection `pair` can't compare with `not_contains`", "Write `equals`, `not_equals`, "),
        (IF % "{field: email, contains: x, ends_with: y}", S, G, "a condition of connection `pair` compares with `contains` and `ends_with` at once", "Write two conditions: all of a rule's have to hold."),
        (IF % "{field: phone, equals: [a, b]}", S, G, "`equals` in a condition of connection `pair` has to be one value, and is a list", "Write a value; several are `one_of`, none is `is_empty: true`."),
        (IF % "{field: phone, equals: ''}", S, G, "`equals` in a condition of connection `pair` is empty", "Write a value; several are `one_of`, none is `is_empty: true`."),
        (IF % "{field: phone, one_of: a}", S, G, "`one_of` in a condition of connection `pair` has to be a list, and is one value", "Write a list, such as `[gold, silver]`."),
        (IF % "{field: phone, one_of: [a, {b: c}]}", S, G, "a value of `one_of` in a condition of connection `pair` has to be one value", "Write a value."),
        (IF % "{field: phone, is_empty: perhaps}", S, G, "`is_empty` in a condition of connection `pair` is true or false, not `perhaps`", "Write `true` or `false`."),
        (IF % "{field: email, greater: 3}", S, G, "`email` is neither a number nor a date, and can't be compared with `greater`", "Write `equals`, "),
        (IF % "{field: address, less: 3}", S, G, "`address` is neither a number nor a date", "Write `equals`, "),
        (IF % "{field: metadata.n, greater: soon}", S, G, "`soon` is neither a number nor a date", "Write it like `12.5`, `2026-11-22` or `2026-11-22T09:30:00Z`."),
        (IF % "{field: metadata.n, less: inf}", S, G, "`inf` is neither a number nor a date", "Write it like `12.5`, "),
        (IF % '{field: metadata.n, equals: "a\\0"}', S, G, "`equals` in a condition of connection `pair` holds a character that no app keeps", "Remove the character U+0000."),
        # shapes
        (IF % "{has_subscription: price_pro}", S, G, "`has_subscription` of connection `pair` is true or false, not `price_pro`", "Write `true` or `false`, and a plan as `{subscribed_to: PLAN}`."),
        (IF % "has_subscription", S, G, "a condition of connection `pair` has to be keys and values, and is one value", "Write `{has_subscription: true}`."),
        (IF % "{subscribed_to: [a]}", S, G, "`subscribed_to` of connection `pair` has to be one value, and is a list", "Write a price's id, a product's id or a lookup key."),
        (IF % "{has_label: }", G, S, "`has_label` of connection `pair` is empty", "Write the name of a label."),
        (IF % "{subscribed_to: a, has_subscription: true}", S, G, "a condition of connection `pair` holds `subscribed_to` and `has_subscription` at once", "Write each as an item of its own."),
        (IF % "", S, G, "`if` in a rule of connection `pair` is empty", "or remove it."),
        ("- {from: left, if: {subscribed_to: a}}", S, G, "`if` in a rule of connection `pair` has to be a list, and is keys and values", "or remove it."),
        (IF % ", ".join(["{has_subscription: true}"] * 51), S, G, "a rule of connection `pair` has 51 conditions, and 50 are possible", "Write several values of a field as one `one_of`."),
        ("- {from: left, unless: []}", S, G, "a rule of connection `pair` has no key `unless`", "Write `from`, `if`, `then` or `undo`."),
        ("- {from: left, undo: later}", S, G, "`undo` in a rule of connection `pair` is true or false, not `later`", "Write `true` or `false`."),
        ("- {then: [update_email]}", S, G, "a rule of connection `pair` has no from", "Add `from: left`."),
        # actions
        (THEN % "{add_tag: x}", S, G, "Google Contacts (`two`) has no action `add_tag`", "Did you mean `add_label`?"),
        (THEN % "{set_label: x}", S, C, "CardDAV (`two`) has no action `set_label`", "Did you mean `add_category`?"),
        (THEN % "{delete_label: x}", S, G, "Google Contacts (`two`) has no action `delete_label`", "Did you mean `remove_label`?"),
        (THEN % "{delete_contact: true}", S, G, "Google Contacts (`two`) has no action `delete_contact`", "Write `add_label` or `remove_label`."),
        (THEN % "{add_tag: x}", G, S, "Stripe (`two`) has no tags but those that contactsync sets itself: `PieSync Trash` and `PieSync Unsubscribes`", "Write `update_description` or `update_email`."),
        (THEN % "{update_note: x}", G, S, "Stripe (`two`) has no action `update_note`", "Did you mean `update_description`?"),
        (THEN % "{update_phone: x}", G, S, "Stripe (`two`) has no action `update_phone`", "Write `update_description` or `update_email`."),
        (THEN % "{update_descripton: x}", G, S, "Stripe (`two`) has no action `update_descripton`", "Did you mean `update_description`?"),
        (THEN % "{add_label: x}", G, S, "Stripe (`two`) has no action `add_label`; Google Contacts (`one`) has", "A rule acts on the other side: write it in a rule `from: right`, or one of `update_description` or `update_email`."),
        (THEN % "update_email", S, G, "Google Contacts (`two`) has no action `update_email`; Stripe (`one`) has", "A rule acts on the other side: write it in a rule `from: right`, or one of `add_label` or `remove_label`."),
        (THEN % "update_email", S, Q, "nothing can be done in QuickBooks Online (`two`): it has no actions", "Remove `then`."),
        (THEN % "add_label", S, G, "`add_label` of connection `pair` has no value", "Write `{add_label: NAME-OF-A-LABEL}`."),
        (THEN % "update_description", G, S, "`update_description` of connection `pair` has no value", "Write `{update_description: TEXT}`."),
        (THEN % "{update_description: }", G, S, "`update_description` of connection `pair` is empty", "Write the text."),
        (THEN % "{update_email: false}", G, S, "`update_email` of connection `pair` takes no value: the addresses are the contacts' own", "Write `update_email` alone, or remove it to have changed addresses held."),
        (THEN % "{update_email: ada@example.com}", G, S, "`update_email` of connection `pair` takes no value", "Write `update_email` alone, "),
        (THEN % "{add_label: a, remove_label: b}", S, G, "an action of connection `pair` holds `add_label` and `remove_label` at once", "Write each as an item of its own."),
        (THEN % "{add_label: PieSync Trash}", S, G, "`PieSync Trash` is set and removed by contactsync itself, never by a rule", "Choose another name for the label."),
        (THEN % "{remove_category: piesync unsubscribes}", S, C, "`PieSync Unsubscribes` is set and removed by contactsync itself, never by a rule", "Choose another name for the category."),
        (THEN % '{add_label: "a\\nb"}', S, G, "`add_label` of connection `pair` holds a line break", "Write it in one line."),
        (THEN % "", S, G, "`then` in a rule of connection `pair` is empty", "Write `[{add_label: NAME}]`, or remove it."),
        ("- {from: left, then: update_email}", G, S, "`then` in a rule of connection `pair` has to be a list, and is one value", "Write `[{update_description: TEXT}]`, or remove it."),
    ],
)  # fmt: skip
def test_a7_what_an_app_cant_do_is_refused_with_the_reason_and_what_to_write(
    rule: str, left: str, right: str, message: str, remedy: str
) -> None:
    found = only(file(rule, left, right))
    assert re.match(rf"{FIRST}:\d+ error ", found)
    said, _, instead = found.partition(" → ")
    assert message in said
    assert instead.startswith(remedy) or instead.endswith(remedy)
    assert checked(file(rule, left, right)).config is None


@pytest.mark.parametrize(
    ("rules_", "line", "message"),
    [
        (IF % "{field: metadata.p, equals: a}, {field: metadata.p, equals: b}", 9, "matches nobody: `metadata.p: equals a` and `metadata.p: equals b` never hold together"),
        (IF % "{field: metadata.p, one_of: [a, b]}, {field: metadata.p, equals: c}", 9, "matches nobody"),
        (IF % "{field: metadata.p, is_empty: true}, {field: metadata.p, contains: c}", 9, "matches nobody"),
        (IF % "{field: metadata.p, equals: A}, {field: metadata.p, not_equals: a}", 9, "matches nobody"),
        (IF % "{field: metadata.p, equals: abc}, {field: metadata.p, starts_with: b}", 9, "matches nobody"),
        (IF % "{field: metadata.p, starts_with: ab}, {field: metadata.p, starts_with: b}", 9, "matches nobody"),
        (IF % "{field: metadata.p, greater: 5}, {field: metadata.p, less: 5.0}", 9, "matches nobody"),
        (IF % "{field: metadata.p, greater: 5}, {field: metadata.p, equals: 4}", 9, "matches nobody"),
        (IF % "{field: metadata.p, greater: 5}, {field: metadata.p, less: 2026-01-01}", 9, "matches nobody"),
        (IF % "{subscribed_to: a}, {not_subscribed_to: a}", 9, "matches nobody"),
        (IF % "{subscribed_to: a}, {has_subscription: false}", 9, "matches nobody"),
        (IF % "{exists_on_other_side: true}, {exists_on_other_side: false}", 9, "matches nobody"),
        (IF % "{has_tag: PieSync Trash}, {hasnt_tag: PieSync Trash}", 9, "matches nobody"),
        (IF % "{field: email, equals: example.com}", 9, "`email` is never just that"),
        (IF % "{subscribed_to: a}, {subscribed_to: a}", 9, "`subscribed_to: a` is there twice; the first is on line 9"),
        (THEN % "{add_label: a}, {remove_label: a}", 9, "`add_label: a` and `remove_label: a` contradict each other in one rule"),
        (THEN % "{add_label: a}, {add_label: a}", 9, "`add_label: a` is there twice; the first is on line 9"),
        ("- {from: right, then: [{update_description: a}]}", 9, "the default mapping writes `description` of Stripe (`one`), too: its values and this text would replace each other → Switch the line off: `mappings: [{default: note, enabled: false}]`."),
        ("- {from: left, undo: true}", 9, "`undo` does nothing: the rule has no actions"),
        ("- {from: right, then: [update_email], undo: true}", 9, "`undo` does nothing: an e-mail that was let through isn't taken back"),
        ("- from: left\n- from: left", 10, "this rule says the same as the one on line 9"),
        ("- {from: left, if: [{subscribed_to: a}, {subscribed_to: b}]}\n- {from: left, if: [{subscribed_to: b}, {subscribed_to: a}]}", 10, "this rule says the same as the one on line 9"),
        ("- {from: left, then: [{add_label: a}]}\n- {from: left, then: [{add_label: a}], undo: true}", 10, "this rule says the same as the one on line 9, but for `undo`"),
        ("- {from: left, if: [{subscribed_to: a}]}\n- from: left", 9, "changes nothing: whom it takes, the rule on line 10 takes, too"),
        ("- {from: left, if: [{subscribed_to: a}]}\n- {from: left, if: [{subscribed_to: a}], then: [{add_label: a}]}", 9, "changes nothing"),
        ("- {from: left, then: [{add_label: a}], if: [{subscribed_to: a}]}\n- {from: left, then: [{remove_label: a}]}", 9, "the rule on line 10 wants something else of the same contacts"),
        ("- {from: left, then: [{add_label: a}], if: [{subscribed_to: a}]}\n- {from: left, then: [{remove_label: a}], if: [{subscribed_to: a}]}", 10, "the rule on line 9 wants something else of the same contacts"),
    ],
)  # fmt: skip
def test_what_cant_be_meant_is_warned_about_and_passes(rules_: str, line: int, message: str) -> None:
    found = only(file(rules_))
    assert found.startswith(f"{line}:")
    assert " warning " in found
    assert message in found
    assert not found.endswith("→ ")
    assert checked(file(rules_)).config


@pytest.mark.parametrize(
    "rules_",
    [
        IF % "{field: metadata.p, one_of: [a, b]}, {field: metadata.p, equals: B}",
        IF
        % "{field: metadata.p, starts_with: ab}, {field: metadata.p, starts_with: a}, {field: metadata.p, ends_with: c}",
        IF % "{field: metadata.p, greater: 5}, {field: metadata.p, less: 6}, {field: metadata.p, not_equals: 5.5}",
        IF % "{field: phone, equals: '+49 30 1'}, {field: phone, equals: '030 1'}",
        IF % "{subscribed_to: a}, {subscribed_to: b}, {not_subscribed_to: c}, {has_subscription: true}",
        "- {from: right, if: [{field: emailAddresses, ends_with: '@a.com'}, {field: emailAddresses, ends_with: '@b.com'}]}",
        "- {from: right, if: [{field: custom.p, equals: a}, {field: custom.p, equals: b}]}",
        "- {from: right, if: [{has_label: a}, {hasnt_label: b}, {has_label: A}]}",
        THEN % "{add_label: a}, {remove_label: b}",
        "- {from: left, if: [{subscribed_to: a}], then: [{add_label: a}]}\n- from: left\n- from: right",
        "- {from: left, if: [{subscribed_to: a}]}\n- {from: left, if: [{subscribed_to: b}]}",
        "- {from: left, if: [{subscribed_to: a}], then: [{add_label: a}], undo: true}\n- {from: left, if: [{not_subscribed_to: a}], then: [{remove_label: a}]}",
    ],
)
def test_what_can_be_meant_is_not_warned_about(rules_: str) -> None:
    assert told(file(rules_)) == []


def test_a4_a_rule_against_the_direction_does_nothing_and_is_told_so_once() -> None:
    text = file(
        """\
        - {from: left, if: [{subscribed_to: a}], then: [{add_label: a}]}
        - {from: right, then: [{update_description: a}, update_email]}
        """,
        keys="direction: left_to_right\n",
    )
    assert only(text) == (
        "11:10 warning this rule does nothing: connection `pair` goes `left_to_right`, nothing from the right "
        "→ Remove the rule, or change `direction`."
    )
    assert len(rules(text)) == 2


def test_b8_a_text_is_not_doubted_where_the_mapping_leaves_its_field_alone() -> None:
    rule = "- {from: right, then: [{update_description: a}]}"
    assert told(file(rule, keys="mappings: [{default: note, enabled: false}]\n")) == []


def test_b10_permitting_emails_that_the_mapping_leaves_alone_is_doubted() -> None:
    found = only(file("- {from: right, then: [update_email]}", keys="mappings: [{default: email, enabled: false}]\n"))
    assert found.startswith("10:30 warning `update_email` does nothing: no e-mail flows into Stripe (`one`)")


def test_a3_the_advice_says_where_an_email_goes_through_without_a_yes() -> None:
    for written, said in (("update_email", True), ("{update_description: a}", False)):
        text = file(f"- {{from: right, then: [{written}]}}")
        (hint,) = [each.message for each in checked(text).problems if each.severity == "hint"]
        assert "waits for a yes" in hint
        assert ("but where `update_email` lets it through" in hint) == said


def test_every_mistake_of_the_rules_is_told_at_once_each_with_its_line() -> None:
    text = file(
        """\
        - from: left
          if:
            - {subscribed_to: }
            - {has_label: x}
            - field: metadata.n
              greater: soon
          then:
            - {add_tag: x}
            - update_email
          undo: 3
        - from: up
        """
    )
    places = [line.partition(" error ")[0] for line in told(text)]
    assert places == ["11:28", "12:14", "14:22", "16:14", "17:13", "18:15", "19:15"]


def test_a_value_from_the_environment_is_never_told() -> None:
    text = file(IF % "{field: metadata.n, greater: '${PLAN}'}")
    assert "`${PLAN}` is neither a number nor a date" in only(text)
    assert only(file(IF % "{field: 'Metadata.${PLAN}', equals: x}")).endswith("→ Write `metadata.${PLAN}`.")
    twice = file(IF % "{subscribed_to: '${PLAN}'}, {not_subscribed_to: '${PLAN}'}")
    assert "canary" not in rendered(checked(twice).problems, "f")


def test_many_rules_are_checked_quickly() -> None:
    """Nothing compares each with each: a list as long as a file may have takes no minutes."""
    lines = [f"- {{from: left, then: [{{add_label: l{n}}}, {{remove_label: l{n}}}]}}" for n in range(1400)]
    assert len(told(file("\n".join(lines)))) == 1400
