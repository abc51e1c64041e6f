"""The image's recipe and the composition on one machine hold to what the cluster's manifests hold to."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.connectors import discover
from services.runtime.alive import alive
from services.runtime.log.kafka_topics import MAX_MESSAGE_BYTES
from services.runtime.parting import LAST_SECONDS
from services.runtime.settings import PREFIX, Settings
from tests.deploy.rendered import DEPLOY, ROOT
from tests.deploy.test_policy import SECRETS
from tests.test_repository import pins, project

RECIPE = (DEPLOY / "Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
OURS = {name: each for name, each in COMPOSE["services"].items() if each["image"].startswith("contactsync:")}


def steps(word: str) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in _joined().splitlines() if line.startswith(f"{word} ")]


def _joined() -> str:
    return re.sub(r"\\\n\s*", " ", RECIPE)


def test_everything_that_is_installed_is_pinned_by_hash() -> None:
    parts = [part.strip() for run in steps("RUN") for part in run.split("&&")]
    installs = [part for part in parts if re.search(r"pip .*\binstall\b", part)]
    assert len(installs) == 3
    for each in installs:
        hashed = "--require-hashes" in each and "--only-binary :all:" in each
        own = "--no-deps" in each and "--no-index" in each
        assert hashed or own, each
    assert pins(DEPLOY / "build.lock") <= pins(ROOT / "requirements" / "dev.lock"), "run make lock-image"
    assert "hatchling" in {name for name, _ in pins(DEPLOY / "build.lock")}


def test_it_runs_as_nobody_in_particular_and_without_a_shell() -> None:
    assert steps("USER") == ["65532:65532"]
    for word in ("ENTRYPOINT", "CMD"):
        assert all(each.startswith("[") for each in steps(word)), word
    (check,) = steps("HEALTHCHECK")
    assert check.partition(" CMD ")[2].strip() == '["python", "-m", "services.runtime.alive"]'
    assert steps("STOPSIGNAL") == ["SIGTERM"]
    labels = " ".join(steps("LABEL"))
    assert {"title", "description", "version", "revision"} <= set(re.findall(r"opencontainers\.image\.(\w+)=", labels))


def test_bases_have_versions_and_the_image_s_is_the_project_s() -> None:
    (base,) = [each for each in steps("ARG") if each.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=python:3\.(1[1-4])\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert all(each.startswith("${PYTHON}") for each in steps("FROM"))
    version = f"{project()['version']}"
    assert f"VERSION={version}" in steps("ARG")
    assert {each["image"] for each in OURS.values()} == {f"contactsync:{version}"}
    texts = [path.read_text("utf-8") for path in (DEPLOY / "kubernetes" / "overlays").glob("*/kustomization.yaml")]
    assert all(f"newTag: {version}" in text for text in texts)
    assert f"contactsync:{version}" in (ROOT / "Makefile").read_text("utf-8")


def test_its_settings_are_ours_and_no_secrets() -> None:
    (given,) = steps("ENV")[1:]
    names = set(re.findall(rf"({PREFIX}\w+)=", given))
    assert names <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} - SECRETS


def test_only_what_it_is_made_of_is_sent_to_the_builder() -> None:
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    copied = {source for each in steps("COPY") if not each.startswith("--from") for source in each.split()[:-1]}
    assert {line[1:] for line in lines if line.startswith("!")} == copied
    assert "*" in lines


def test_on_one_machine_too_there_is_every_role_and_little_that_it_may_do() -> None:
    commands = sorted(each["command"] for each in OURS.values())
    connectors = [["run", "connectors", "--app", name] for name in discover()]
    assert commands == sorted([["migrate"], ["run", "ingest"], ["run", "sync"], *connectors])
    for name, each in OURS.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert int(each["stop_grace_period"].removesuffix("s")) > LAST_SECONDS
        assert {"mem_limit", "cpus"} <= each.keys()
        assert not SECRETS & each["environment"].keys()
    assert all(re.search(r":\d", each["image"]) for each in COMPOSE["services"].values())
    assert all(each.keys() == {"environment"} for each in COMPOSE["secrets"].values()), "no secret stands in the file"
    assert int(COMPOSE["services"]["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]) >= MAX_MESSAGE_BYTES
    assert {name for name, each in COMPOSE["services"].items() if "outside" in each["networks"]} == {
        "ingest",
        *(name for name in OURS if name.startswith("connectors")),
    }
    published = {name: each["ports"] for name, each in COMPOSE["services"].items() if "ports" in each}
    assert published == {"ingest": ["127.0.0.1:8000:8000"]}


def test_what_the_composition_names_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings are the program's own, and each role takes those that it is given."""
    services, kinds = COMPOSE["services"], ("networks", "volumes", "secrets")
    for name, each in services.items():
        for kind in kinds:
            used = {one.partition(":")[0] if kind == "volumes" else one for one in each.get(kind, ())}
            assert used <= COMPOSE[kind].keys(), name
        for other, needed in each.get("depends_on", {}).items():
            assert needed["condition"] != "service_healthy" or "healthcheck" in services[other], f"{name}: {other}"
            assert needed["condition"] == "service_healthy" or services[other]["restart"] == "no", f"{name}: {other}"
    named = {one for kind in kinds for one in COMPOSE[kind]}
    used = {one.partition(":")[0] for each in services.values() for kind in kinds for one in each.get(kind, ())}
    assert named == used
    secrets = {"contactsync_store_url": "postgresql://h/d", "contactsync_secret_key": "sixteen letters or more"}
    for name, text in secrets.items():
        (tmp_path / name).write_text(text)
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name, each in OURS.items():
        assert set(each["secrets"]) == secrets.keys(), name
        assert each["environment"].keys() <= known, name
        for setting in known:
            monkeypatch.delenv(setting, raising=False)
        for setting, value in each["environment"].items():
            monkeypatch.setenv(setting, value)
        settings = Settings.read(tmp_path)
        assert settings.kafka_log, name
        assert not settings.bundled_store, name
        lasting = f"{name}-0" if name not in {"ingest", "migrate"} else None
        assert settings.member == lasting, "each its own, and none where two might overlap"
    written = {f"{name.upper()}" for name in secrets} | {"POSTGRESQL_PASSWORD"}
    page = (ROOT / "docs" / "operations" / "compose.md").read_text("utf-8")
    assert set(re.findall(r"(?m)^([A-Z_]+)=", page)) == written
    assert {each["environment"] for each in COMPOSE["secrets"].values()} == written


class Answering(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.mark.parametrize(("status", "fine"), [(200, True), (503, False)])
def test_the_health_check_says_what_the_process_says(status: int, fine: bool) -> None:
    server = HTTPServer(("127.0.0.1", 0), type("Saying", (Answering,), {"status": status}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.server_address[1]
        assert alive({"CONTACTSYNC_HEALTH_LISTEN": f"0.0.0.0:{port}", "CONTACTSYNC_LISTEN": "0.0.0.0:1"}) is fine
        assert alive({"CONTACTSYNC_LISTEN": f"127.0.0.1:{port}"}) is fine
        command = [sys.executable, "-m", "services.runtime.alive"]
        environment = {**os.environ, "CONTACTSYNC_HEALTH_LISTEN": f"0.0.0.0:{port}"}
        assert subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode == (0 if fine else 1)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_process_that_does_not_listen_is_not_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert not alive({"CONTACTSYNC_HEALTH_LISTEN": f"[::]:{port}"})
