"""The README says what is true today."""

import re
import textwrap
from pathlib import Path

import pytest

from services.cli.commands import app
from services.connectors import discover
from services.runtime.registry.check import check

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = [textwrap.dedent(text) for text in re.findall(r"(?ms)^ *```yaml\n(.*?)^ *```$", README)]


def test_the_demos_file_is_the_one_that_the_readme_shows() -> None:
    assert (ROOT / "services" / "demo" / "connections.yaml").read_text("utf-8") == EXAMPLES[0]


@pytest.mark.parametrize("example", range(len(EXAMPLES)))
def test_every_example_of_the_readme_passes_the_check(example: int) -> None:
    environ = {
        "DEMO_STRIPE_KEY": "sk_test_1234567890abcdef",
        "DEMO_STRIPE_WEBHOOK_SECRET": "whsec_1234567890abcdef",
        "DEMO_STRIPE_URL": "http://127.0.0.1:8421",
        "DEMO_BOOK_URL": "http://127.0.0.1:8422/ada/contacts/",
        "DEMO_BOOK_PASSWORD": "secret",
        "DEMO_GOOGLE_CLIENT_ID": "demo.apps.googleusercontent.com",
        "DEMO_GOOGLE_CLIENT_SECRET": "GOCSPX-demo",
        "DEMO_GOOGLE_REFRESH_TOKEN": "1//demo",
        "DEMO_GOOGLE_URL": "http://127.0.0.1:8423",
        "DEMO_GOOGLE_TOKEN_URL": "http://127.0.0.1:8423/token",
        "STRIPE_API_KEY": "rk_live_1234567890abcdef",
        "STRIPE_WEBHOOK_SECRET": "whsec_1234567890abcdef",
        "BOOK_PASSWORD": "secret",
    }
    manifests = {name: each.manifest for name, each in discover().items()}
    checked = check(EXAMPLES[example], manifests, environ)
    assert [problem for problem in checked.problems if problem.severity == "error"] == []
    assert checked.config is not None


def test_the_commands_that_the_readme_lists_are_those_there_are() -> None:
    table = README[README.index("| command |") : README.index("`contactsync COMMAND --help`")]
    told = {name for row in re.findall(r"(?m)^\| (.*?) \|", table)[1:] for name in re.findall(r"`([a-z]+)", row)}
    there = {name for name in app if not name.startswith("-")}
    assert told == there


def test_the_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_figures_on_speed_are_those_of_the_benchmarks() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    table = README[README.index("| what | contactsync |") : README.index("## Run it for real")]
    cells = [cell for row in table.strip().splitlines()[2:] for cell in row.split("|")[2:]]
    told = {figure for cell in cells for figure in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", cell)}
    assert len(told) > 20
    assert {figure for figure in told if not re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d,]|\.\d)", page)} == set()
