"""Every example of a connections file that a page shows passes the check."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from services.connectors import discover
from services.contracts.app import Manifest
from services.runtime.registry.check import check

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
ACCOUNTS = """\
accounts:
  shop: {app: stripe, api_key: "${STRIPE_KEY}", webhook_secrets: ["${STRIPE_WEBHOOK_SECRET}"]}
  office: {app: google_contacts, client_id: "${ID}", client_secret: "${SECRET}", refresh_token: "${TOKEN}"}
  book: {app: carddav, url: "https://dav.example.com/ada/", username: ada, password: "${PASSWORD}"}
  books: {app: quickbooks, realm_id: "1", client_id: "${ID}", client_secret: "${SECRET}", refresh_token: "${TOKEN}"}
"""
MANIFESTS = {name: app.manifest for name, app in discover().items()}


def blocks() -> list[tuple[str, str]]:
    """Every part of a connections file in the pages, with where it stands."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in re.finditer(r"(?ms)^ *```yaml\n(.*?)^ *```$", text):
            block = textwrap.dedent(match[1])
            if re.match(r"(?:#[^\n]*\n|\s*\n)*(?:accounts|connections|rules|mappings):", block):
                found.append(
                    (f"{page.relative_to(ROOT).as_posix()}:{text.count(chr(10), 0, match.start(1)) + 1}", block)
                )
    return found


BLOCKS = blocks()


def whole(block: str) -> str:
    """The block as a file: with the accounts or the connection that it leaves to its page's text."""
    if not re.search(r"(?m)^accounts:", block):
        if not re.search(r"(?m)^connections:", block):
            block = "connections:\n  shop-office:\n    left: shop\n    right: office\n" + textwrap.indent(block, "    ")
        return ACCOUNTS + block
    if re.search(r"(?m)^connections:", block):
        return block
    (name, *_) = re.findall(r"(?m)^  ([a-z0-9-]+):", block)
    partner = ACCOUNTS.removeprefix("accounts:\n").replace("  ", "  partner-", 1).splitlines()[0]
    return f"{block.rstrip()}\n{partner}\nconnections:\n  pair: {{left: {name}, right: partner-shop}}\n"


def environ(text: str) -> dict[str, str]:
    """A value of the right form for every variable that the text refers to."""
    made: dict[str, str] = {}
    for name in re.findall(r"\$\{([A-Z0-9_]+)", text):
        if name.endswith("_URL"):
            made[name] = "http://127.0.0.1:8421"
        elif "WEBHOOK" in name:
            made[name] = "whsec_1234567890abcdef"
        elif name.endswith("_KEY"):
            made[name] = "sk_test_1234567890abcdef"
        else:
            made[name] = "1234567890abcdef"
    return made


@pytest.mark.parametrize(("place", "block"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_every_example_of_a_page_passes_the_check(place: str, block: str) -> None:
    text = whole(block)
    checked = check(text, MANIFESTS, environ(text))
    unused = re.compile("no connection uses account `(shop|office|book|books)`")
    worth = [each for each in checked.problems if each.severity != "hint" and not unused.match(each.message)]
    assert worth == []
    assert checked.config is not None


def test_every_page_is_looked_through_and_no_yaml_in_it_is_left_out() -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "docs/getting-started.md", "docs/apps/stripe.md", "docs/decisions/0005-plain-sql.md"} <= pages
    fences = sum(len(re.findall(r"(?m)^ *```ya?ml\b", page.read_text("utf-8"))) for page in PAGES)
    assert fences == len(BLOCKS)


def test_the_pages_have_examples_of_rules() -> None:
    assert sum(place.startswith("docs/rules.md:") for place, _ in BLOCKS) >= 4


def cells(page: str, heading: str) -> dict[str, str]:
    """The table under a heading: its rows' first two cells."""
    part = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in part.splitlines() if row.startswith("| ")]
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_the_fields_that_the_page_on_rules_lists_are_those_there_are(manifest: Manifest) -> None:
    listed = cells((ROOT / "docs" / "rules.md").read_text("utf-8"), "Fields")[manifest.title]
    assert re.findall(r"`([^`]+)`", listed) == [field.path for field in manifest.fields]
