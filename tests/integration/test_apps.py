"""`apps`: what is told of an app and of a pair is what `check` lets one write (A7)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import msgspec
import pytest

from services.cli import main
from services.cli.apps import ABILITIES, about, deletions, pair
from services.cli.pages import REMEDY, pages
from services.cli.pages import main as write_pages
from services.connectors import discover
from services.contracts.app import Ability, Manifest
from services.runtime.registry.check import check

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "apps"
PAGES = pages()
MANIFESTS = {name: app.manifest for name, app in discover().items()}
PAIRS = list(itertools.product(MANIFESTS, MANIFESTS))
VALUES = {"webhook_secrets": "whsec_1234567890abcdef", "api_key": "rk_test_1234567890", "realm_id": "1"}


def account(name: str, manifest: Manifest) -> str:
    keys = {each.key: VALUES.get(each.key, "1234567890abcdef") for each in manifest.credentials if each.required}
    keys |= {each.key: VALUES.get(each.key, each.example) for each in manifest.settings if each.required}
    return f"  {name}: {{app: {manifest.name}, {', '.join(f'{key}: {value!r}' for key, value in keys.items())}}}\n"


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_a7_the_deletions_that_a_pair_offers_are_those_that_check_takes(left: str, right: str) -> None:
    accounts = account("one", MANIFESTS[left]) + account("two", MANIFESTS[right])
    for offer in deletions({"left": MANIFESTS[left], "right": MANIFESTS[right]}):
        text = (
            f"accounts:\n{accounts}connections:\n  both: {{left: one, right: two, "
            f"options: {{sync_deletions: {offer.value}}}}}\n"
        )
        checked = check(text, MANIFESTS, {})
        errors = [problem for problem in checked.problems if problem.severity == "error"]
        assert bool(errors) != offer.offered, errors
        if errors:
            assert "sync_deletions" in errors[0].message
            for reason in offer.why_not.split("; "):
                assert reason.split(" doesn't ")[1] in errors[0].message


@pytest.mark.parametrize("name", MANIFESTS)
def test_a7_every_condition_and_action_that_is_told_can_be_written(name: str) -> None:
    told = about(MANIFESTS[name])
    other = next(each for each in MANIFESTS if each != name)
    accounts = account("one", MANIFESTS[name]) + account("two", MANIFESTS[other])

    def errors(rule: str) -> list[str]:
        text = f"accounts:\n{accounts}connections:\n  c:\n    left: one\n    right: two\n    rules:\n    - {rule}\n"
        return [each.message for each in check(text, MANIFESTS, {}).problems if each.severity == "error"]

    conditions = {
        "field": f"{{field: {told.fields[0].path}, equals: x}}",
        "has_subscription": "{has_subscription: true}",
        "has_no_subscription": "{has_no_subscription: true}",
        "exists_on_other_side": "{exists_on_other_side: true}",
    }
    for word in told.conditions:
        value = "PieSync Trash" if word.endswith("_tag") else "x"
        assert errors(f"{{from: left, if: [{conditions.get(word, f'{{{word}: {value}}}')}]}}") == []
    for word in told.actions:
        written = word if word == "update_email" else f"{{{word}: x}}"
        assert errors(f"{{from: right, then: [{written}]}}") == []
    assert errors("{from: left, if: [{made_up: x}]}") != []


def test_the_default_mapping_of_a_pair_is_told() -> None:
    told = pair(MANIFESTS["stripe"], MANIFESTS["google_contacts"])
    lines = {line.line: (line.left, line.flow, line.right) for line in told.mapping}
    assert lines["email"] == ("email", "<->", "emailAddresses")
    assert lines["note"] == ("description", "<->", "note")
    assert [offer.value for offer in told.sync_deletions if offer.offered] == [
        "none",
        "left_to_right",
        "right_to_left",
        "both",
    ]


def test_a7_why_an_option_is_not_offered_is_told() -> None:
    offers = {offer.value: offer for offer in pair(MANIFESTS["stripe"], MANIFESTS["quickbooks"]).sync_deletions}
    assert offers["right_to_left"].offered
    assert offers["left_to_right"].why_not == "QuickBooks Online doesn't take tags"
    assert not offers["both"].offered


def test_every_ability_has_its_words() -> None:
    assert set(ABILITIES) == set(Ability)


@pytest.mark.parametrize("names", [[], *([name] for name in MANIFESTS), ["stripe", "carddav"]])
def test_apps_are_told_to_people_and_to_programs(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apps", *names]) == 0
    shown = capsys.readouterr().out
    assert all(MANIFESTS[name].title in shown for name in names or MANIFESTS)
    if len(names) == 1:
        manifest = MANIFESTS[names[0]]
        keys = (*(each.key for each in manifest.credentials), *(each.key for each in manifest.settings))
        assert all(word in shown for word in (*keys, *(field.path for field in manifest.fields), manifest.docs))
    assert main(["apps", *names, "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)


def test_an_app_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apps", "strip"]) == 2
    assert capsys.readouterr().err == "There is no app strip. Did you mean stripe?\n"
    assert main(["apps", "stripe", "carddav", "stripe"]) == 2


@pytest.mark.parametrize("name", sorted({*PAGES, *(page.name for page in FOLDER.glob("*"))}))
def test_the_page_on_an_app_says_what_the_app_declares(name: str) -> None:
    page = FOLDER / name
    written = page.read_text("utf-8") if page.exists() else None
    assert written == PAGES.get(name), f"docs/apps/{name} is stale: `{REMEDY}` mends it"
    for link in re.findall(r"\]\(([^)#:]+)[)#]", written or ""):
        assert (FOLDER / link).exists()


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_page_on_an_app_names_everything_that_can_be_written_in_a_file(name: str) -> None:
    page, told = PAGES[f"{name}.md"], about(MANIFESTS[name])
    words = [*(key.key for key in told.keys), *(field.path for field in told.fields), *told.conditions, *told.actions]
    assert [word for word in words if f"`{word}`" not in page] == []
    assert all(manifest.title in page for manifest in MANIFESTS.values())


def test_pages_are_written_where_they_differ_and_removed_with_their_app(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone.md").write_text("An app that was.")
    assert write_pages([str(tmp_path)]) == 0
    assert {page.name: page.read_text("utf-8") for page in tmp_path.iterdir()} == PAGES
    assert f"removed {tmp_path / 'gone.md'}" in capsys.readouterr().out
    assert write_pages([str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
    assert write_pages([]) == 2
