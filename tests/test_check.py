"""A file is checked whole: every mistake at once, each with its line and what to write instead."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.app import Ability, Credential, Field, Manifest, Pace, Setting
from services.contracts.connection import Account, Connection, MappingLine, Options
from services.contracts.rule import Rule
from services.runtime.registry import document
from services.runtime.registry.check import Checked, check, decoded, rendered
from services.runtime.registry.problem import Problem

PACE = Pace(poll=1, read=1, write=1)
SHOP = Manifest(
    name="till",
    title="Till",
    docs="https://example.com/till",
    credentials=(
        Credential(key="api_key", title="restricted key", pattern=r"rk_[A-Za-z0-9]+"),
        Credential(key="webhook_secrets", title="signing secrets", many=True, required=False),
    ),
    settings=(Setting(key="base_url", title="where its API is", default="https://api.example.com/"),),
    fields=(
        Field(path="email", canonical="email", type="email", guarded=True),
        Field(path="name", canonical="name", type="name"),
        Field(path="phone", canonical="phone", type="phone"),
        Field(path="note", canonical="note", type="text"),
    ),
    abilities=frozenset({Ability.TAG, Ability.WEBHOOK, Ability.DETECT_DELETION}),
    pace=PACE,
)
BOOK = Manifest(
    name="book",
    title="Book",
    docs="https://example.com/book",
    credentials=(Credential(key="password", title="password"),),
    settings=(
        Setting(key="url", title="the address book", required=True, example="https://dav.example.com/ada/"),
        Setting(key="user", title="user name", required=True, example="ada"),
        Setting(
            key="proxy", title="a proxy", pattern=r"https://\S+|http://localhost(:\d+)?", example="http://localhost"
        ),
        Setting(key="poll_interval", title="seconds between polls", pattern=r"\d+", default="60", example="60"),
    ),
    fields=(
        Field(path="EMAIL", canonical="email", type="email", multi=True),
        Field(path="N", canonical="name", type="name"),
        Field(path="TEL", canonical="phone", type="phone", multi=True),
    ),
    abilities=frozenset({Ability.DETECT_DELETION, Ability.POLL}),
    pace=PACE,
)
MANIFESTS: Mapping[str, Manifest] = {app.name: app for app in (SHOP, BOOK)}
ENVIRON = {
    "TILL_KEY": "rk_Canary1",
    "HOOK": "whsec_canary",
    "BOOK_PASSWORD": "p: {canary} #x",
    "FLAG": "false",
}

GOOD = """\
accounts:
  shop:   {app: till, api_key: ${TILL_KEY}, webhook_secrets: ["${HOOK}"]}
  office:
    app: book
    url: https://dav.example.com/ada/
    user: ada
    password: ${BOOK_PASSWORD}
connections:
  shop-office:
    left: shop
    right: office
    direction: left_to_right
    options: {avoid_duplicates: true, sync_deletions: right_to_left}
    rules:
      - from: left
    mappings:
      - {default: phone, enabled: false}
"""


def problems(text: str, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    return [f"{p.line}:{p.column} {p.severity} {p.message} → {p.remedy}" for p in checked(text, environ).problems]


def checked(text: str, environ: Mapping[str, str] = ENVIRON) -> Checked:
    return check(text, MANIFESTS, environ)


def only(text: str, environ: Mapping[str, str] = ENVIRON) -> str:
    """The one problem that is worth more than a hint."""
    (found,) = [line for line in problems(text, environ) if " hint " not in line]
    return found


def swap(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_a_good_file_has_no_problems_and_says_what_it_says() -> None:
    result = checked(GOOD)
    assert result.problems == ()
    assert result.config
    assert result.config.accounts == (
        Account(name="shop", app="till", settings={"base_url": "https://api.example.com/"}),
        Account(
            name="office",
            app="book",
            settings={"url": "https://dav.example.com/ada/", "user": "ada", "poll_interval": "60"},
        ),
    )
    assert result.config.connections == (
        Connection(
            name="shop-office",
            left="shop",
            right="office",
            direction="left_to_right",
            options=Options(sync_deletions="right_to_left"),
            rules=(Rule(source="left"),),
            mappings=(MappingLine(default="phone", enabled=False),),
        ),
    )
    assert result.config.credentials == {
        "shop": {"api_key": ("rk_Canary1",), "webhook_secrets": ("whsec_canary",)},
        "office": {"password": ("p: {canary} #x",)},
    }
    assert result.config.source == GOOD
    assert "canary" not in repr(result).lower()


def test_b1_without_rules_each_side_has_one() -> None:
    text = swap("    rules:\n      - from: left\n", "")
    config = checked(text).config
    assert config
    assert config.connections[0].rules == (Rule(source="left"), Rule(source="right"))


TEN = """\
accounts:
  Shop: {app: till, api_key: "${TILL_KEY}"}
  office:
    app: bok
    url: https://dav.example.com/ada/
  home:
    app: book
    url: dav.example.com
    user: ada
    pasword: ${BOOK_PASSWORD}
  office:
    app: book
connections:
  one:
    left: Shop
    right: hom
    direction: both_ways
    options: {sync_deletions: left_to_right, avoid_duplicates: maybe}
    rules:
      - from: left
        if: [{subscribed_to: gold}]
      - from: left
  two:
    left: home
    right: Shop
    direction: right_to_left
    winner: left
    options: {sync_deletions: right_to_left}
    mappings:
      - {default: note}
      - {left: a, right: b}
"""
TEN_SAID = """\
f.yaml:2:3: error: `Shop` can't be the name of an account: that is up to 40 lower-case letters, digits and dashes, without a dash at the ends
  → Write `shop`.
f.yaml:3:3: warning: no connection uses account `office`
  → Remove it, or name it in a connection.
f.yaml:4:10: error: there is no app `bok`
  → Did you mean `book`?
f.yaml:6:3: error: account `home` has no password (password)
  → Add `password: ${HOME_PASSWORD}`.
f.yaml:8:10: error: `url` of account `home` isn't a web address
  → Write it like `https://dav.example.com/ada/`.
f.yaml:10:5: error: account `home` has no key `pasword`
  → Did you mean `password`?
f.yaml:11:3: error: `office` is given twice; the first is on line 3
  → Keep one of them.
f.yaml:16:12: error: there is no account `hom`
  → Did you mean `home`?
f.yaml:17:16: error: `direction` of connection `one` can't be `both_ways`
  → Write `two_way`.
f.yaml:18:64: error: `avoid_duplicates` of connection `one` is true or false, not `maybe`
  → Write `true` or `false`.
f.yaml:21:15: error: Till (`Shop`) has no condition `subscribed_to`
  → Write `field`, `has_tag`, `hasnt_tag` or `exists_on_other_side`.
f.yaml:27:5: error: connection `two` goes one way, `right_to_left`: there the source always wins
  → Remove `winner`.
f.yaml:28:31: error: connection `two` can't have sync_deletions `right_to_left`: Book (`home`) doesn't take tags
  → Write `none` or `left_to_right`.
f.yaml:30:19: error: Book (`home`) has no field `note`; Till (`Shop`) has
  → Write `email`, `name` or `phone`.
f.yaml:31:16: error: Book (`home`) has no field `a`
  → Write `EMAIL`, `N` or `TEL`.
f.yaml:31:26: error: Till (`Shop`) has no field `b`
  → Write `email`, `name`, `phone` or `note`.
"""  # noqa: E501 - as it is printed


def test_every_mistake_of_a_file_is_told_at_once_with_its_line_and_remedy() -> None:
    result = checked(TEN)
    assert result.config is None
    assert rendered(result.problems, "f.yaml").splitlines() == TEN_SAID.splitlines()


def test_a2_a_winner_is_refused_in_a_one_way_connection() -> None:
    text = swap("direction: left_to_right", "direction: left_to_right\n    winner: left")
    assert only(text) == (
        "13:5 error connection `shop-office` goes one way, `left_to_right`: there the source always wins "
        "→ Remove `winner`."
    )


def test_a3_writing_where_receipts_go_gets_one_line_of_advice_and_passes() -> None:
    result = checked(swap("direction: left_to_right", "direction: two_way"))
    assert result.config
    (hint,) = result.problems
    assert (hint.severity, hint.remedy) == ("hint", "")
    assert "`direction: left_to_right` is recommended for Till (`shop`)" in hint.message


def test_a4_a_rule_against_the_direction_is_warned_about() -> None:
    text = swap("      - from: left\n", "      - from: left\n      - from: right\n")
    assert only(text).startswith("16:9 warning this rule does nothing")
    assert checked(text).config


def test_a7_deletions_are_offered_where_one_side_reports_them_and_the_other_takes_tags() -> None:
    for chosen in ("none", "right_to_left"):
        assert checked(swap("sync_deletions: right_to_left", f"sync_deletions: {chosen}")).problems == ()
    for chosen in ("both", "left_to_right"):
        told = only(swap("sync_deletions: right_to_left", f"sync_deletions: {chosen}"))
        assert told.startswith(f"13:55 error connection `shop-office` can't have sync_deletions `{chosen}`: ")
        assert told.endswith("Book (`office`) doesn't take tags → Write `none` or `right_to_left`.")


def test_a_variable_that_is_not_set_is_told_with_its_line() -> None:
    assert only(GOOD, {**ENVIRON, "BOOK_PASSWORD": ""}).startswith(
        "7:15 error the environment variable BOOK_PASSWORD isn't set, or is empty → Set BOOK_PASSWORD, "
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${NONE:-fallback}", "fallback"),
        ("'${NONE:-a b}'", "a b"),
        ("pre-${TILL_KEY}-post", "pre-rk_Canary1-post"),
        ("$${TILL_KEY}", "${TILL_KEY}"),
        ("cash$", "cash$"),
        ("0123", "0123"),
    ],
)
def test_variables_and_numbers_are_read_as_text(written: str, read: str) -> None:
    config = checked(swap("user: ada", f"user: {written}")).config
    assert config
    assert config.accounts[1].settings["user"] == read


def test_a_boolean_may_come_from_a_variable() -> None:
    config = checked(swap("avoid_duplicates: true", "avoid_duplicates: ${FLAG}")).config
    assert config
    assert config.connections[0].options.avoid_duplicates is False


def test_a_secret_in_the_file_is_warned_about_never_told_and_not_kept_in_the_source() -> None:
    text = swap("${BOOK_PASSWORD}", "hunter2hunter2  # hunter2hunter2")
    result = checked(text)
    assert "hunter2" not in rendered(result.problems, "f")
    assert only(text) == (
        "7:15 warning `password` of account `office` is written into the file itself "
        "→ Write `${OFFICE_PASSWORD}` and set that variable."
    )
    assert result.config
    assert result.config.source == swap("${BOOK_PASSWORD}", '"(removed)"  # (removed)')
    assert only(swap("${BOOK_PASSWORD}", "${NONE:-hunter2}")).startswith("7:15 warning")


@pytest.mark.parametrize("value", ["sk_canary", "rk_canary\\n", " rk_canary"])
def test_a_secret_of_another_form_is_refused_without_its_value(value: str) -> None:
    told = only(GOOD, {**ENVIRON, "TILL_KEY": value.encode().decode("unicode_escape")})
    assert told.startswith("2:32 error `api_key` of account `shop`")
    assert "canary" not in told


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "left: shop",
            "left: office",
            "11:12 error both sides of connection `shop-office` are the account `office`",
        ),
        ("user: ada", "user:", "6:10 error `user` of account `office` is empty → Write `ada`."),
        (
            "user: ada",
            "user: [ada]",
            "6:11 error `user` of account `office` has to be one value, and is a list",
        ),
        ("- from: left", "- left", "15:9 error a rule of connection `shop-office` has to be keys and values"),
        (
            "- {default: phone, enabled: false}",
            "[]",
            "17:7 error `mappings` of connection `shop-office` is empty",
        ),
        (
            "https://dav",
            "https://ada:secret@dav",
            "5:10 error `url` of account `office` has a user name or a pass",
        ),
        ("user: ada", "user: ada\n    proxy: http://far", "7:12 error `proxy` of account `office` isn't an address th"),
        ("https://dav", "http://dav", "5:10 warning `url` of account `office` isn't encrypted"),
        (
            "https://dav.example.com",
            "https://dav:99999",
            "5:10 error `url` of account `office` isn't a web address",
        ),
        ("default: phone", "default: fone", "there is no field `fone` in the default mapping"),
        (
            "    user: ada\n",
            "    user: ada\n    poll_interval: soon\n",
            "7:20 error `poll_interval` of account",
        ),
        ("    user: ada\n", "\tuser: ada\n", "6:1 error a tab stands where YAML wants spaces"),
        ("user: ada", "user: !!python/name:os.system x", "6:11 error not supported: tags"),
        ("user: ada", "user: *canary", "6:11 error `*` here means a copy of something"),
        ("user: ada", "user: ${", "6:11 error `${` doesn't start a variable's name"),
        ("user: ada", "user: a\x07", "6:12 error there is a character here that YAML doesn't allow"),
        ("user: ada", "user: a\ue024", "6:12 error there is a character here that no text uses"),
        ("user: ada", "user: ada\n---\n", "7:1 error a second document starts here"),
        ("user: ada", 'user: "ada', "the file isn't YAML here"),
        ("user: ada", "user: " + "[" * 50, "more than 20 levels inside each other"),
    ],
)
def test_one_mistake_is_told_where_it_is(old: str, new: str, told: str) -> None:
    found = [line for line in problems(swap(old, new)) if told in line]
    assert found, problems(swap(old, new))
    assert "canary" not in found[0]
    assert "secret" not in found[0]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_told(text: str) -> None:
    assert len(problems(text)) == 1
    assert "empty" in problems(text)[0]


def test_two_connections_of_one_pair_are_warned_about() -> None:
    text = GOOD + "  again: {left: office, right: shop, direction: right_to_left}\n"
    assert only(text).startswith("18:3 warning connection `again` pairs the same accounts as `shop-office` (line 9)")


def test_anchors_and_merges_work() -> None:
    text = swap("    rules:", "    rules: &rules") + "  second: {<<: {rules: *rules}, left: shop, right: office}\n"
    config = checked(text).config
    assert config
    assert config.connections[1].rules == config.connections[0].rules


def test_an_alias_bomb_is_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert any(f"more than {document.MAX_NODES} values" in line for line in problems("\n".join(lines)))


def test_a_file_that_is_too_long_is_refused() -> None:
    assert problems("#" * (document.MAX_CHARACTERS + 1)) == [
        "1:1 error the file is longer than 512 KiB → Is it the right file?"
    ]


def test_bytes_that_are_not_utf8_are_told_with_their_place() -> None:
    assert decoded("\ufeffä: 1\n".encode()) == "ä: 1\n"
    assert decoded(b"a: 1\n\xc3\xa4: \xff") == Problem(
        2, 4, "error", "the file isn't UTF-8 text here", "Save it as UTF-8."
    )


WORDS = re.findall(r"\s+|\w+|[^\w\s]", GOOD)
CRUMBS = [
    "*",
    "&x ",
    "<<: ",
    "!t ",
    "${",
    "}",
    "${HOOK}",
    "- ",
    ": ",
    "\n",
    "\t",
    "'",
    '"',
    "|\n",
    "#",
    "\u2028",
    "\x85",
]


def told_well(text: str) -> None:
    result = checked(text)
    assert (result.config is None) == any(problem.severity == "error" for problem in result.problems)
    assert result.config or result.problems
    assert "canary" not in rendered(result.problems, "f").lower()
    for problem in result.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message
        assert problem.remedy or problem.severity == "hint"
        assert "\n" not in problem.message + problem.remedy


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n${}<", max_size=80))
def test_no_text_makes_the_check_raise(text: str) -> None:
    told_well(text)


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_damage_to_a_good_file_makes_the_check_raise(draw: random.Random) -> None:
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
    told_well("".join(words))
