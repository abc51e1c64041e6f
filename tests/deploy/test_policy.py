"""What overlays have to hold to: the restricted Pod Security Standard, budgets, and only the flows that are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from services.runtime.settings import PREFIX, Settings
from tests.deploy.rendered import (
    EVERYTHING,
    TRIED,
    Object,
    is_ours,
    name_of,
    of,
    our_workloads,
    rendered,
    selects,
    templates,
)

TRACES = f"{PREFIX}TRACES"
SECRETS = {
    f"{PREFIX}{name.upper()}"
    for name, field in Settings.model_fields.items()
    if SecretStr.__name__ in str(field.annotation)
}


@pytest.fixture(params=TRIED)
def objects(request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return rendered(request.param)


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object, Object]]:
    for owner, template in templates(objects):
        for each in template["spec"]["containers"] + template["spec"].get("initContainers", []):
            yield owner, template, each


def test_nobody_is_root_or_becomes_more_than_it_is(objects: tuple[Object, ...]) -> None:
    for owner, template, container in containers(objects):
        pod, own = template["spec"]["securityContext"], container["securityContext"]
        assert pod["runAsNonRoot"] is True, owner
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert own["allowPrivilegeEscalation"] is False, owner
        assert own["capabilities"] == {"drop": ["ALL"]}, owner
        assert not own.get("privileged"), owner
        assert template["spec"]["automountServiceAccountToken"] is False, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & template["spec"].keys(), owner
        kinds = {kind for volume in template["spec"].get("volumes", ()) for kind in volume.keys() - {"name"}}
        assert kinds <= {"secret", "emptyDir", "configMap", "projected"}, owner


def test_our_own_root_is_read_only_and_any_user_may_run_it(objects: tuple[Object, ...]) -> None:
    for owner, template, container in containers(objects):
        if is_ours(template):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, owner
            assert "runAsUser" not in {**template["spec"]["securityContext"], **container["securityContext"]}, owner
            assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "scratch"), (
                owner
            )


def test_everybody_says_what_it_needs_and_what_it_may_have(objects: tuple[Object, ...]) -> None:
    for owner, _, container in containers(objects):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), owner
        assert {"cpu", "memory"} <= resources["limits"].keys(), owner


def test_alive_asks_its_own_loop_only_and_ready_asks_for_more(objects: tuple[Object, ...]) -> None:
    workloads = our_workloads(objects)
    assert len(workloads) >= 6
    for each in workloads:
        (container,) = each["spec"]["template"]["spec"]["containers"]
        asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        assert {kind: probe["path"] for kind, probe in asked.items()} == {
            "startup": "/livez",
            "liveness": "/livez",
            "readiness": "/readyz",
        }
        assert {probe["port"] for probe in asked.values()} == {"health"}, name_of(each)
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, "a loop may be held up for a session"


def test_every_workload_has_a_budget_that_still_lets_nodes_be_drained(objects: tuple[Object, ...]) -> None:
    for each in our_workloads(objects):
        labels = each["spec"]["template"]["metadata"]["labels"]
        every = [one["spec"] for one in of(objects, "PodDisruptionBudget")]
        budgets = [one for one in every if selects(one["selector"], labels)]
        assert len(budgets) == 1, name_of(each)
        spare = budgets[0].get("maxUnavailable", 0) or each["spec"].get("replicas", 2) - budgets[0]["minAvailable"]
        assert spare >= 1, name_of(each)


def test_pods_of_a_workload_are_spread_among_themselves(objects: tuple[Object, ...]) -> None:
    for each in our_workloads(objects):
        template = each["spec"]["template"]
        spread = template["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        own = each["spec"]["selector"]
        assert all(one["labelSelector"] == own for one in spread), name_of(each)


def test_every_image_has_a_version(objects: tuple[Object, ...]) -> None:
    for owner, _, container in containers(objects):
        image = container["image"]
        version = image.partition("@")[2] or image.rpartition("/")[2].partition(":")[2]
        assert version not in {"", "latest"}, f"{owner}: {image}"


def test_secrets_are_files_and_stand_in_no_variable_or_config_map(objects: tuple[Object, ...]) -> None:
    assert f"{PREFIX}STORE_URL" in SECRETS
    for owner, _, container in containers(objects):
        for env in container.get("env", ()):
            assert env["name"] not in SECRETS, owner
            assert "secretKeyRef" not in env.get("valueFrom", {}), owner
            assert not re.search(r"(?i)(secret|password|token|key)$", env["name"]), f"{owner}: {env['name']}"
        assert not any("secretRef" in source for source in container.get("envFrom", ())), owner
    for each in of(objects, "ConfigMap"):
        assert not SECRETS & each["data"].keys(), name_of(each)
        assert not any("://" in value and "@" in value for name, value in each["data"].items() if name.isupper())


def test_only_real_secrets_of_one_machine_are_in_the_repository() -> None:
    """Production's come from outside: what is rendered holds none."""
    assert of(rendered("production"), "Secret") == []


def test_webhooks_are_all_that_comes_from_outside() -> None:
    ways = of(rendered("production"), "Ingress")
    paths = [path for each in ways for rule in each["spec"]["rules"] for path in rule["http"]["paths"]]
    assert [(each["path"], each["backend"]["service"]) for each in paths] == [
        ("/hooks/", {"name": "ingest", "port": {"name": "hooks"}})
    ]
    assert all(each["spec"].get("tls") for each in ways)
    assert all(each["spec"].get("type", "ClusterIP") == "ClusterIP" for each in of(rendered("production"), "Service"))


def test_nor_does_anything_else_come_through_the_gateway() -> None:
    (route,) = of(rendered(EVERYTHING), "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"method": "POST", "path": {"type": "PathPrefix", "value": "/hooks/"}}]
    (service,) = [each for each in of(rendered(EVERYTHING), "Service") if each["metadata"]["name"] == "ingest"]
    (hooks,) = [each["port"] for each in service["spec"]["ports"] if each["name"] == "hooks"]
    assert rule["backendRefs"] == [{"name": "ingest", "port": hooks}]


FLOWS = {
    "ingest": {
        "in hooks from ns contactsync/may-send=hooks",
        "in health from ns contactsync/may-read=metrics",
        "out 443 to the Internet",
    },
    "sync": {"in health from ns contactsync/may-read=metrics"},
    "connectors": {"in health from ns contactsync/may-read=metrics", "out 443 to the Internet"},
    "migrate": {"in health from ns contactsync/may-read=metrics"},
}
ALL = {
    "out 53 to ns kubernetes.io/metadata.name=kube-system k8s-app=kube-dns",
    "out 5432 to contactsync/backend=postgresql",
    "out 5432 to ns contactsync/backend=postgresql",
    *(f"out {port} to contactsync/backend=kafka" for port in (9092, 9093)),
    *(f"out {port} to ns contactsync/backend=kafka" for port in (9092, 9093)),
}
TRACED = {"out 4318 to ns contactsync/may-receive=traces"}
"""What whoever makes traces may do besides, where they are made."""


def _labels(selector: dict[str, Any]) -> str:
    (one,) = selector["matchLabels"].items()
    return "=".join(one)


def _peer(peer: dict[str, Any]) -> str:
    if block := peer.get("ipBlock"):
        inside = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8"}
        if block["cidr"] == "0.0.0.0/0":
            assert inside <= set(block["except"])
        else:
            assert block["cidr"] == "::/0"
            assert {"fc00::/7", "fe80::/10", "::1/128"} <= set(block["except"])
        return "the Internet"
    told = [f"ns {_labels(peer['namespaceSelector'])}"] if "namespaceSelector" in peer else []
    return " ".join([*told, *([_labels(peer["podSelector"])] if "podSelector" in peer else [])])


def flows(objects: tuple[Object, ...], labels: dict[str, str]) -> set[str]:
    """Return what the policies let a pod with these labels do."""
    found: set[str] = set()
    for each in of(objects, "NetworkPolicy"):
        if not selects(each["spec"]["podSelector"], labels):
            continue
        for way, side, word in (("ingress", "from", "in"), ("egress", "to", "out")):
            for rule in each["spec"].get(way, ()):
                assert rule[side], f"{name_of(each)} lets everybody"
                assert rule["ports"], f"{name_of(each)} opens every port"
                peers = [_peer(peer) for peer in rule[side]]
                found |= {f"{word} {port['port']} {side} {peer}" for port in rule["ports"] for peer in peers}
    return found


def _traces(objects: tuple[Object, ...]) -> list[str]:
    """Return the collectors that the settings name."""
    return [each["data"][TRACES] for each in of(objects, "ConfigMap") if TRACES in each["data"]]


def test_traces_go_where_the_policy_lets_them() -> None:
    assert _traces(rendered("production")) == []
    (collector,) = _traces(rendered(EVERYTHING))
    assert Settings(traces=collector).traces == collector
    assert urlsplit(collector).port == 4318


def test_nothing_flows_but_what_is_needed(objects: tuple[Object, ...]) -> None:
    denied = [each["spec"] for each in of(objects, "NetworkPolicy") if each["spec"]["podSelector"] == {}]
    assert denied == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
    seen = set()
    for owner, template in templates(objects):
        if is_ours(template):
            labels = template["metadata"]["labels"]
            role = labels["app.kubernetes.io/name"]
            traced = TRACED if role != "migrate" and _traces(objects) else set()
            assert flows(objects, labels) == FLOWS[role] | ALL | traced, owner
            seen.add(role)
        else:
            assert not {flow for flow in flows(objects, template["metadata"]["labels"]) if flow.startswith("out")}, (
                owner
            )
    assert seen == FLOWS.keys()
