"""The overlays as kustomize renders them, and the tools that judge them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = tuple(sorted(path.parent.name for path in (DEPLOY / "kubernetes" / "overlays").glob("*/kustomization.yaml")))
EVERYTHING = "production and what it leaves out"
OPTIONAL = ("gateway", "tracing")
"""The components that no overlay takes."""
TRIED = (*OVERLAYS, EVERYTHING)
OURS = "contactsync"
"""The last part of our image's name, and the value of app.kubernetes.io/part-of."""
LOUD = "WHAT IS DEPLOYED WASN'T CHECKED"

Object: TypeAlias = dict[str, Any]


def tool(name: str, what: str) -> str:
    """Return the path of a program; the test is skipped, and says so, where it isn't installed."""
    found = _found(name)
    if found is None:
        pytest.skip(f"{LOUD}: {name} isn't here. {what}")
    return found


def _found(name: str) -> str | None:
    # Those that `make manifests` brought (deploy/tools) count, too.
    brought = Path(sys.executable).parent.parent / "manifests" / "bin"
    return shutil.which(name) or shutil.which(name, path=str(brought))


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program to its end; it has to succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


@functools.cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay, or of `EVERYTHING`."""
    if overlay != EVERYTHING:
        return _built(DEPLOY / "kubernetes" / "overlays" / overlay)
    with tempfile.TemporaryDirectory() as folder:
        # kustomize takes paths that lead outside, as long as they are relative.
        place = os.path.relpath(DEPLOY.resolve() / "kubernetes", Path(folder).resolve())
        wanted = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [f"{place}/overlays/production"],
            "components": [f"{place}/components/{name}" for name in OPTIONAL],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
        return _built(Path(folder))


def _built(folder: Path) -> tuple[Object, ...]:
    if kubectl := _found("kubectl"):
        text = run(kubectl, "kustomize", str(folder))
    else:
        kustomize = tool("kustomize", "It, or kubectl (1.28 or later), builds the manifests (kustomize 5).")
        text = run(kustomize, "build", str(folder))
    return tuple(yaml.safe_load_all(text))


def of(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def name_of(thing: Object) -> str:
    return f"{thing['kind']}/{thing['metadata']['name']}"


def templates(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    """Give every pod template with the name of its owner."""
    for each in of(objects, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        yield name_of(each), each["spec"]["template"]


def is_ours(template: Object) -> bool:
    return bool(template["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") == OURS)


def our_workloads(objects: tuple[Object, ...]) -> list[Object]:
    """Return what runs for good, and is contactsync."""
    return [each for each in of(objects, "Deployment", "StatefulSet") if is_ours(each["spec"]["template"])]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for each in selector.get("matchExpressions") or ():
        assert each["operator"] == "In", "teach this test another operator"
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True
