"""Alerts fire when they should, keep quiet when they should, and each has a page for whoever is woken by it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from services.runtime.metrics import Metrics
from tests.deploy.rendered import DEPLOY, ROOT, run, tool

RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text("utf-8"))["spec"]
CASES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "cases.yaml").read_text("utf-8"))
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "grafana" / "contactsync.json").read_text("utf-8"))
NAME = re.compile(r"\bcontactsync_\w+")


def exported() -> set[str]:
    """Every name that a query may use."""
    names: set[str] = set()
    for family in Metrics().registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}[family.type]
        names |= {family.name + suffix for suffix in suffixes}
    return names


def labels() -> set[str]:
    metrics = Metrics()
    return {label for each in vars(metrics).values() for label in getattr(each, "_labelnames", ())}


def test_every_rule_fires_and_keeps_quiet_as_its_cases_say(tmp_path: Path) -> None:
    promtool = tool("promtool", "It comes with Prometheus (2.40 or later); `make manifests` looks for it.")
    (tmp_path / "groups.yaml").write_text(yaml.safe_dump(RULES))
    (tmp_path / "cases.yaml").write_text(yaml.safe_dump(CASES))
    run(promtool, "check", "rules", "groups.yaml", cwd=tmp_path)
    run(promtool, "test", "rules", "cases.yaml", cwd=tmp_path)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires: set[str] = set()
    quiet: set[str] = set()
    for case in CASES["tests"]:
        for each in case["alert_rule_test"]:
            (fires if each["exp_alerts"] else quiet).add(each["alertname"])
    assert fires == quiet == {rule["alert"] for rule in ALERTS}


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    pages = {rule["annotations"]["runbook"] for rule in ALERTS}
    assert pages == {f"docs/runbooks/{path.name}" for path in (ROOT / "docs" / "runbooks").glob("contactsync-*.md")}
    index = (ROOT / "docs" / "runbooks" / "README.md").read_text("utf-8")
    for rule in ALERTS:
        text = (ROOT / rule["annotations"]["runbook"]).read_text("utf-8")
        assert text.startswith(f"# {rule['alert']}\n")
        assert [part for part in ("## What it means", "## Look first", "## What to do") if part not in text] == []
        page, severity = Path(rule["annotations"]["runbook"]).name, rule["labels"]["severity"]
        assert f"[{rule['alert']}]({page}) | {severity} |" in index
        assert rule["labels"].keys() == {"severity"}
        assert severity in {"critical", "warning", "info"}


def test_alerts_pages_and_dashboard_ask_for_what_is_measured() -> None:
    asked = {
        "rules": json.dumps(RULES),
        "cases": json.dumps(CASES),
        "dashboard": json.dumps(DASHBOARD),
        **{
            f"{folder}/{path.name}": path.read_text("utf-8")
            for folder in ("operations", "runbooks")
            for path in (ROOT / "docs" / folder).glob("*.md")
        },
    }
    known = exported()
    bare = {family.name for family in Metrics().registry.collect()}
    for where, text in asked.items():
        # A page may name a metric without the ending of one of its series.
        allowed = known | FILES | (bare if where.endswith(".md") else set())
        assert set(NAME.findall(text)) - allowed == set(), where


FILES = {"contactsync_store_url", "contactsync_secret_key", "contactsync_kafka_username", "contactsync_kafka_password"}
"""Settings' names as files, which look like metrics."""


def test_every_metric_is_on_the_dashboard() -> None:
    text = json.dumps(DASHBOARD)
    missing = {family.name for family in Metrics().registry.collect() if family.name not in text}
    assert missing == set()


def test_the_dashboard_s_panels_have_a_place_and_a_sentence() -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["description"].endswith(".") and panel["targets"] for panel in panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    places = [(at, panel["gridPos"]["y"]) for panel in panels for at in range(panel["gridPos"]["x"], _end(panel))]
    assert len(places) == len(set(places))


def _end(panel: dict[str, Any]) -> int:
    end: int = panel["gridPos"]["x"] + panel["gridPos"]["w"]
    assert end <= 24
    return end


def test_groupings_are_by_labels_that_there_are() -> None:
    text = json.dumps([RULES, DASHBOARD])
    grouped = {name for names in re.findall(r"\bby \(([^)]*)\)", text) for name in re.split(r"[\s,]+", names) if name}
    assert grouped - labels() == {"le", "pod"}


def test_the_page_on_metrics_has_each_with_its_sentence() -> None:
    page = (ROOT / "docs" / "operations" / "metrics.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    metrics = [each for each in vars(Metrics()).values() if hasattr(each, "describe")]
    expected = []
    for each in metrics:
        (family,) = each.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        names = ", ".join(each._labelnames) or "—"
        expected.append(f"| `{name}` | {family.type} | {names} | {family.documentation} |")
    assert rows == expected


def test_outcomes_that_alerts_name_are_words_that_ingest_uses() -> None:
    named = {
        word
        for words in re.findall(r'outcome=~"([^"]*)"', json.dumps(RULES).replace("\\", ""))
        for word in words.split("|")
    }
    sources = [path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py")]
    used = {word for text in sources for word in re.findall(r'(?:code=|_away\()"(\w+)"', text)}
    assert named
    assert named - used == set()


def test_the_dashboard_s_queries_are_prometheus_language(tmp_path: Path) -> None:
    promtool = tool("promtool", "It comes with Prometheus (2.40 or later); `make manifests` looks for it.")
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 30
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries)
    ]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    run(promtool, "check", "rules", "queries.yaml", cwd=tmp_path)
