"""The connections file's JSON Schema: what `check` takes is valid; what no app could mean is not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
import yaml

from services.cli import main
from services.connectors import discover
from services.runtime.registry.check import check
from services.runtime.registry.jsonschema import schema
from services.runtime.registry.variables import hidden, shown
from tests.test_docs_examples import BLOCKS, environ, whole

jsonschema: Any = pytest.importorskip("jsonschema", reason="jsonschema isn't installed")
MANIFESTS = {name: app.manifest for name, app in discover().items()}
SCHEMA = schema(MANIFESTS)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOOD = """\
accounts:
  shop: {app: stripe, api_key: "${SHOP_KEY}", webhook_secrets: ["${SHOP_HOOK}", whsec_second], events: off}
  office: {app: google_contacts, client_id: a.apps, client_secret: "${SECRET}", refresh_token: "1//x", poll_seconds: 60}
  book: {app: carddav, url: "https://dav.example.com/ada/", username: ada, password: "${PASSWORD}"}
connections:
  shop-office:
    left: shop
    right: office
    direction: two_way
    winner: right
    options: {avoid_duplicates: true, sync_deletions: right_to_left}
    rules:
      - from: left
        if:
          - {subscribed_to: price_pro}
          - {has_subscription: true}
          - {field: metadata.tier, one_of: [gold, 7]}
          - {field: email, is_empty: false}
          - {exists_on_other_side: false}
        then: [{add_label: Customers}, {remove_label: Leads}]
        undo: true
      - from: right
        if: [{has_label: Customers}, {hasnt_label: 2026}]
        then: [{update_description: synced}, update_email]
    mappings:
      - {default: note, enabled: false}
  shop-book: {left: shop, right: book, direction: left_to_right}
"""


def read(text: str) -> Any:
    """The text as an editor's YAML reads it: variables are strings."""

    def back(node: Any) -> Any:
        match node:
            case str():
                return shown(node)
            case list():
                return [back(each) for each in node]
            case dict():
                return {back(key): back(value) for key, value in node.items()}
            case dt.date():  # an editor's YAML 1.2 knows no dates
                return node.isoformat()
            case _:
                return node

    return back(yaml.safe_load(hidden(text)))


def faults(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(read(text))]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("place", "block"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_every_example_of_a_page_is_valid(place: str, block: str) -> None:
    assert faults(whole(block)) == []


def test_a_file_with_everything_is_valid_and_passes_the_check() -> None:
    assert faults(GOOD) == []
    checked = check(GOOD, MANIFESTS, {**environ(GOOD), "SHOP_KEY": "rk_test_1", "SHOP_HOOK": "whsec_1"})
    assert [each for each in checked.problems if each.severity == "error"] == []


def test_a_stored_credential_need_not_be_in_the_file() -> None:
    assert faults(GOOD.replace('api_key: "${SHOP_KEY}", ', "")) == []


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("accounts:\n", "acounts:\n"),
        ("  shop: {app: stripe,", "  Shop: {app: stripe,"),
        ("app: stripe", "app: strip"),
        ("app: stripe, ", ""),
        ('api_key: "${SHOP_KEY}"', 'api_keys: "${SHOP_KEY}"'),
        ('api_key: "${SHOP_KEY}"', "api_key: pk_test_1"),
        ("whsec_second", "second"),
        ("events: off", "events: sometimes"),
        ("poll_seconds: 60", "poll_seconds: often"),
        ('url: "https://dav.example.com/ada/"', 'url: "ftp://dav.example.com/"'),
        ("username: ada, ", ""),
        ("    left: shop\n", ""),
        ("direction: two_way", "direction: both"),
        ("direction: two_way", "direction: left_to_right"),
        ("winner: right", "winner: newest"),
        ("sync_deletions: right_to_left", "sync_deletions: yes"),
        ("avoid_duplicates: true", "avoid_duplicates: maybe"),
        ("avoid_duplicates: true", "avoid_duplicate: true"),
        ("      - from: right", "      - to: right"),
        ("{subscribed_to: price_pro}", "{subscribes_to: price_pro}"),
        ("{has_subscription: true}", "{has_subscription: pro}"),
        ("{has_subscription: true}", "{has_subscription: true, has_label: x}"),
        ("one_of: [gold, 7]", "one_of: gold"),
        ("is_empty: false", "is_empty: maybe"),
        ("is_empty: false", "empty: false"),
        ("is_empty: false", "is_empty: false, equals: x"),
        (", is_empty: false", ""),
        ("{add_label: Customers}", "{add_lable: Customers}"),
        ("{add_label: Customers}", "add_label"),
        ("undo: true", "undo: later"),
        ("{update_description: synced}", "{update_name: synced}"),
        ("{default: note, enabled: false}", "{defalut: note}"),
        ("{default: note, enabled: false}", "{left: note}"),
        ("{default: note, enabled: false}", "{default: notes, enabled: false}"),
        ("if: [{has_label: Customers}, {hasnt_label: 2026}]", "if: {has_label: Customers}"),
    ],
)
def test_a_broken_file_is_not_valid(written: str, instead: str) -> None:
    broken = GOOD.replace(written, instead, 1)
    assert broken != GOOD
    assert faults(broken) != []


def test_every_key_is_explained() -> None:
    for name, manifest in MANIFESTS.items():
        properties = SCHEMA["$defs"][f"account_{name}"]["properties"]
        keys = [*(each.key for each in manifest.credentials), *(each.key for each in manifest.settings)]
        assert [key for key in keys if not properties[key]["description"]] == []
        assert list(properties) == ["app", *keys]


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == SCHEMA
