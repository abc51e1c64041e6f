"""Every overlay builds, is what Kubernetes takes, and fits the program that it runs."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.connectors import discover
from services.runtime.log.kafka_topics import MAX_MESSAGE_BYTES
from services.runtime.log.topics import PARTITIONS, RETENTION, topics
from services.runtime.parting import LAST_SECONDS
from services.runtime.settings import PREFIX, Settings
from tests.deploy.custom import SCHEMAS
from tests.deploy.rendered import (
    EVERYTHING,
    TRIED,
    Object,
    is_ours,
    name_of,
    of,
    our_workloads,
    rendered,
    run,
    templates,
    tool,
)

BUILT_IN = ("v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1", "autoscaling/v2", "scheduling.k8s.io/v1")
OLDEST = "1.30"
"""The oldest Kubernetes that docs/kubernetes names."""
BRINGS_IT = "`make manifests` brings it."


def settings_of(objects: tuple[Object, ...], template: Object) -> dict[str, str]:
    """Return the settings that a pod gets from its config map and its variables."""
    maps = {each["metadata"]["name"]: each["data"] for each in of(objects, "ConfigMap")}
    found: dict[str, str] = {}
    for container in template["spec"]["containers"]:
        for source in container.get("envFrom", ()):
            found |= maps[source["configMapRef"]["name"]]
        found |= {each["name"]: each.get("value", "from-the-pod") for each in container.get("env", ())}
    return found


def built_in(objects: tuple[Object, ...], folder: Path) -> list[str]:
    """Write each built-in object into a file of its own: of a file the validator reports the first error only."""
    files = []
    for number, each in enumerate(objects):
        if each["apiVersion"] in BUILT_IN:
            files.append(folder / f"{number}.yaml")
            files[-1].write_text(yaml.safe_dump(each))
    return [str(each) for each in files]


@pytest.mark.parametrize("overlay", TRIED)
@pytest.mark.parametrize("version", [OLDEST, None], ids=["oldest", "newest"])
def test_an_overlay_s_objects_are_what_kubernetes_takes(overlay: str, version: str | None, tmp_path: Path) -> None:
    objects = rendered(overlay)
    validate = tool("kubernetes-validate", BRINGS_IT)
    files = built_in(objects, tmp_path)
    assert len(files) > 10
    asked = () if version is None else ("--kubernetes-version", version)
    run(validate, "--strict", "--quiet", *asked, *files)


@pytest.mark.parametrize(("field", "value"), [("replicas", "two"), ("replica", 2)])
def test_the_validator_sees_what_is_wrong(field: str, value: object, tmp_path: Path) -> None:
    objects = rendered("production")
    validate = tool("kubernetes-validate", BRINGS_IT)
    (deployment,) = of(objects, "Deployment")
    broken = {**deployment, "spec": {**deployment["spec"], field: value}}
    files = built_in((of(objects, "Namespace")[0], broken), tmp_path)
    done = subprocess.run([validate, "--strict", *files], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert field in done.stdout + done.stderr


def unlike(thing: Object) -> list[str]:
    """Return what is wrong with an object of an operator's kind."""
    jsonschema: Any = pytest.importorskip("jsonschema")
    errors = jsonschema.Draft202012Validator(SCHEMAS[thing["apiVersion"], thing["kind"]]).iter_errors(thing)
    return sorted(f"{name_of(thing)} {each.json_path}: {each.message}" for each in errors)


@pytest.mark.parametrize("overlay", TRIED)
def test_operators_objects_are_as_their_documentation_says(overlay: str) -> None:
    own = [each for each in rendered(overlay) if each["apiVersion"] not in BUILT_IN]
    assert [error for each in own for error in unlike(each)] == []
    if overlay == EVERYTHING:
        assert {(each["apiVersion"], each["kind"]) for each in own} == SCHEMAS.keys()


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give the way to each object inside a value."""
    if isinstance(value, dict):
        yield path
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(each, dict | list):
            yield from places(each, (*path, name))


FREE = {"labels", "annotations", "parameters", "matchLabels"}
"""Maps whose names are their owner's to choose."""


@pytest.mark.parametrize("kind", sorted(kind for _, kind in SCHEMAS))
def test_a_misspelt_field_of_an_operator_s_object_is_noticed(kind: str) -> None:
    thing = of(rendered(EVERYTHING), kind)[0]
    for path in places(thing):
        if path and path[-1] in FREE:
            continue
        broken = copy.deepcopy(thing)
        inside: Any = broken
        for name in path:
            inside = inside[name]
        inside["misspelt"] = "x"
        assert unlike(broken), path


@pytest.mark.parametrize("overlay", TRIED)
def test_no_object_comes_twice_and_each_says_where_it_belongs(overlay: str) -> None:
    objects = rendered(overlay)
    names = [(each["metadata"].get("namespace"), name_of(each)) for each in objects]
    assert len(names) == len(set(names))
    nowhere = {name for namespace, name in names if namespace is None}
    assert {name.partition("/")[0] for name in nowhere} <= {"Namespace", "PriorityClass"}


@pytest.mark.parametrize("overlay", TRIED)
def test_what_pods_ask_for_is_there(overlay: str) -> None:
    """Config maps, secrets, services and priorities that are named somewhere."""
    objects = rendered(overlay)
    there = {name_of(each) for each in objects}
    there |= {f"Secret/{each['spec']['target']['name']}" for each in of(objects, "ExternalSecret")}
    wanted = {f"Service/{each['spec']['serviceName']}" for each in of(objects, "StatefulSet")}
    for _, template in templates(objects):
        spec = template["spec"]
        wanted |= {f"Secret/{each['secret']['secretName']}" for each in spec.get("volumes", ()) if "secret" in each}
        for container in spec["containers"]:
            wanted |= {f"ConfigMap/{each['configMapRef']['name']}" for each in container.get("envFrom", ())}
        if is_ours(template):
            wanted.add(f"PriorityClass/{spec['priorityClassName']}")
    assert wanted - there == set()


@pytest.mark.parametrize("overlay", TRIED)
def test_the_program_takes_the_settings_that_its_pods_get(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    objects = rendered(overlay)
    files = {"contactsync_store_url": "postgresql://h/d", "contactsync_secret_key": "sixteen letters or more"}
    for secret in of(objects, "ExternalSecret"):
        files |= {each["secretKey"]: "x" for each in secret["spec"]["data"] if each["secretKey"] not in files}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert {name.upper() for name in files if name.startswith("contactsync_")} <= known
    for owner, template in templates(objects):
        if not is_ours(template):
            continue
        found = settings_of(objects, template)
        assert found.keys() <= known, owner
        for name in known:
            monkeypatch.delenv(name, raising=False)
        for name, value in found.items():
            monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
        settings = Settings.read(tmp_path)
        assert settings.kafka_log, owner
        assert not settings.bundled_store, owner
        ports = {each["name"]: each["containerPort"] for each in template["spec"]["containers"][0].get("ports", ())}
        if ports:
            assert ports.get("hooks", settings.port) == settings.port, owner
            assert str(settings.health_listen).endswith(f":{ports['health']}"), owner


@pytest.mark.parametrize("overlay", TRIED)
def test_every_app_has_its_connectors_and_every_role_runs_once(overlay: str) -> None:
    arguments = [each["spec"]["template"]["spec"]["containers"][0]["args"] for each in our_workloads(rendered(overlay))]
    expected = [["run", "ingest"], ["run", "sync"], *(["run", "connectors", "--app", name] for name in discover())]
    assert sorted(arguments) == sorted(expected)


@pytest.mark.parametrize("overlay", TRIED)
def test_consumers_keep_their_names_and_are_given_the_time_to_end(overlay: str) -> None:
    for each in our_workloads(rendered(overlay)):
        spec = each["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert spec["terminationGracePeriodSeconds"] > pause + LAST_SECONDS, name_of(each)
        named = [env for env in container.get("env", ()) if env["name"] == "CONTACTSYNC_MEMBER"]
        if each["kind"] == "StatefulSet":
            assert named[0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
            assert pause == 0, "nobody sends it anything that has to be led elsewhere first"
        else:
            assert not named, "two pods of a Deployment may overlap under no name of their own"
            assert pause >= 10
            assert each["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("overlay", TRIED)
def test_the_topics_are_those_that_the_program_checks_for(overlay: str) -> None:
    declared = of(rendered(overlay), "KafkaTopic")
    if not declared:
        return  # the migration makes them
    found = {each["spec"]["topicName"]: each["spec"]["partitions"] for each in declared}
    assert found == dict(topics(discover()))
    for each in declared:
        config = each["spec"]["config"]
        assert config["retention.ms"] >= RETENTION.total_seconds() * 1000
        assert config["max.message.bytes"] >= MAX_MESSAGE_BYTES
        rest = {name: config[name] for name in ("cleanup.policy", "retention.bytes", "message.timestamp.type")}
        assert rest == {"cleanup.policy": "delete", "retention.bytes": -1, "message.timestamp.type": "LogAppendTime"}
        assert (each["spec"]["replicas"], config["min.insync.replicas"]) == (3, 2)


def test_nobody_scales_beyond_the_partitions_or_down_to_nobody() -> None:
    objects = rendered("production")
    partitions = topics(discover())
    workloads = {name_of(each): each for each in our_workloads(objects)}
    for each in of(objects, "ScaledObject"):
        spec = each["spec"]
        read = [trigger["metadata"]["topic"] for trigger in spec["triggers"]]
        assert spec["maxReplicaCount"] <= min(partitions[topic] for topic in read) <= PARTITIONS
        assert spec["minReplicaCount"] >= 1
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        session = Settings.model_fields["kafka_session_seconds"].default
        assert down["stabilizationWindowSeconds"] >= 20 * session, "who goes leaves partitions unread for a session"
        target = workloads[f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"]
        assert "replicas" not in target["spec"]
        group = {"sync": "sync"}.get(each["metadata"]["name"], read[0].replace("contacts.commands.", "connectors."))
        assert {trigger["metadata"]["consumerGroup"] for trigger in spec["triggers"]} == {group}
