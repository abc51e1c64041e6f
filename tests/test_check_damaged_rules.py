"""No rules, whatever they look like, make the check raise, keep silent about an error, or tell a secret."""

from __future__ import annotations

import random
import re

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.connection import Connection
from services.runtime.registry.check import rendered
from tests.rules_text import checked, file

GOOD = file(
    """\
    - from: left
      if: [{subscribed_to: gold}, {field: metadata.product, one_of: [box, "${PLAN}"]}, {field: metadata.n, less: 5}]
      then: [{add_label: Customers}, {remove_label: Leads}]
      undo: true
    - {from: left, if: [{has_subscription: true}, {exists_on_other_side: false}]}
    - {from: right, if: [{has_label: Customers}, {field: addresses.city, is_empty: false}], then: [update_email]}
    - {from: right, then: [{update_description: synced}]}
    """
)
WORDS = re.findall(r"\s+|\w+|[^\w\s]", GOOD.partition("    rules:\n")[2])
CRUMBS = [
    "'${PLAN}'",
    "Metadata.${PLAN}",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "''",
    "~",
    "\n",
    '"\\0"',
    '"\\ud800"',
    "*",
    "&x ",
    "<<: ",
    "1e999",
    "true",
]


def told_well(text: str) -> None:
    result = checked(text)
    assert (result.config is None) == any(problem.severity == "error" for problem in result.problems)
    assert "canary" not in rendered(result.problems, "f")
    for problem in result.problems:
        assert problem.message
        assert problem.remedy or problem.severity == "hint"
        assert "\n" not in problem.message + problem.remedy
    if result.config:
        for connection in result.config.connections:
            assert msgspec.json.decode(msgspec.json.encode(connection), type=Connection) == connection


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_damage_to_good_rules_makes_the_check_raise(draw: random.Random) -> None:
    words = list(WORDS)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(words))
        match draw.randint(0, 3):
            case 0:
                del words[at]
            case 1:
                words[at] = draw.choice(words)
            case 2:
                words.insert(at, draw.choice(CRUMBS))
            case _:
                words.insert(at, words.pop(draw.randrange(len(words))))
    told_well(GOOD.partition("    rules:\n")[0] + "    rules:\n" + "".join(words))


_SCALARS = st.sampled_from(
    [
        "left",
        "right",
        "true",
        "'${PLAN}'",
        "'Metadata.${PLAN}'",
        "gold",
        "email",
        "metadata.p",
        "name.given",
        "addresses.city",
        "3",
        "''",
        "PieSync Trash",
    ]
) | st.text(max_size=12).map(lambda text: msgspec.json.encode(text).decode())
_KEYS = st.sampled_from(
    [
        "from",
        "if",
        "then",
        "undo",
        "field",
        "equals",
        "not_equals",
        "one_of",
        "is_empty",
        "greater",
        "less",
        "subscribed_to",
        "has_subscription",
        "has_label",
        "hasnt_tag",
        "exists_on_other_side",
        "add_label",
        "add_tag",
        "remove_label",
        "update_email",
        "update_description",
        "update_",
        "has_",
    ]
)
_NODES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda nodes: f"[{', '.join(nodes)}]")
        | st.dictionaries(_KEYS, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key}: {node}" for key, node in table.items()) + "}"
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(_NODES, _NODES, _NODES)
def test_no_rule_whatever_its_shape_makes_the_check_raise(conditions: str, actions: str, whole: str) -> None:
    told_well(file(f"- {{from: left, if: {conditions}, then: {actions}}}\n- {whole}"))
    told_well(file(f"- {{from: right, if: [{conditions}], then: [{actions}], undo: true}}"))
