"""The page on getting started says what the program says."""

import re
import textwrap
from pathlib import Path

from services.cli.commands import app
from services.connectors import discover
from services.connectors.google_contacts.permissions import WAY
from services.connectors.stripe.endpoints import EVENTS
from services.connectors.stripe.permissions import CUSTOMERS_WRITE, EVENTS_READ, SUBSCRIPTIONS_READ
from services.runtime.registry.check import check

PAGE = (Path(__file__).parent.parent / "docs" / "getting-started.md").read_text("utf-8")
MANIFESTS = {name: each.manifest for name, each in discover().items()}


def test_its_file_passes_the_check_once_the_accounts_are_authorised() -> None:
    found = re.search(r"(?m)^ {4}# yaml-language-server.*\n(?:^ {4}.*\n)+", PAGE)
    assert found is not None
    names = {"shop": "stripe", "office": "google_contacts", "book": "carddav"}
    stored = {name: {each.key for each in MANIFESTS[kind].credentials} for name, kind in names.items()}
    checked = check(textwrap.dedent(found[0]), MANIFESTS, {}, stored)
    assert [problem for problem in checked.problems if problem.severity != "hint"] == []
    without = check(textwrap.dedent(found[0]), MANIFESTS, {})
    assert without.lacking == set(names)


def test_its_commands_are_there() -> None:
    told = set(re.findall(r"(?:^ *(?:\$ )?|`)contactsync ([a-z]+)", PAGE, re.MULTILINE))
    assert {"authorize", "doctor", "schema", "apps", "check", "apply"} <= told
    assert told <= {name for name in app if not name.startswith("-")}


def test_its_permissions_scopes_and_events_are_those_that_are_checked() -> None:
    for needed in (CUSTOMERS_WRITE, SUBSCRIPTIONS_READ, EVENTS_READ):
        assert f"| {needed.title} |" in PAGE
    assert all(f"`{scope}`" in PAGE for scope in WAY.scopes)
    listed = set(re.findall(r"`(customer\.[a-z.]+)`", PAGE))
    assert listed == EVENTS


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", PAGE):
        assert (Path(__file__).parent.parent / "docs" / target).exists(), target
