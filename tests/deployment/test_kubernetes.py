"""The Kubernetes manifests are valid, confine their containers, and cannot be applied with placeholders unnoticed."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess

import pytest

from tests.deployment.files import DEPLOY, manifest, manifests, yaml
from tests.deployment.host import host

FOLDER = DEPLOY / "kubernetes"
VERSION = "1.33"
WORKLOADS = [one for one in manifests() if one["kind"] in ("Deployment", "StatefulSet")]
KINDS = {
    "Namespace", "Secret", "Service", "Deployment", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy",
}  # fmt: skip


def name_of(one):
    return f"{one['kind']}-{one['metadata']['name']}"


def each(resources):
    return pytest.mark.parametrize("resource", resources, ids=name_of)


def validate(resource):
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("the package kubernetes-validate is not installed")
    import kubernetes_validate

    kubernetes_validate.validate(resource, VERSION, strict=True)


@each(manifests())
def test_manifests_match_the_schemas(resource):
    validate(resource)


def test_all_kinds_are_there():
    assert {one["kind"] for one in manifests()} == KINDS


def test_kustomize_builds_valid_resources():
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert {one["metadata"].get("namespace") for one in built if one["kind"] != "Namespace"} == {"sessions"}
    [configuration] = [one for one in built if one["kind"] == "ConfigMap"]
    assert "noeviction" in configuration["data"]["valkey.conf"]
    [volumes] = [one["spec"]["template"]["spec"]["volumes"] for one in built if one["kind"] == "StatefulSet"]
    assert volumes[0]["configMap"]["name"] == configuration["metadata"]["name"]
    for one in built:
        validate(one)


@each(WORKLOADS)
def test_pods_are_confined(resource):
    pod = resource["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@each(WORKLOADS)
def test_workloads_have_a_disruption_budget(resource):
    budget = manifest("PodDisruptionBudget", resource["metadata"]["name"])
    assert budget["spec"]["selector"] == resource["spec"]["selector"]


@each(WORKLOADS)
def test_nothing_may_connect_by_default(resource):
    """The policy `default` selects every pod, and allows no connection to it."""
    policy = manifest("NetworkPolicy", "default")["spec"]
    assert (policy["podSelector"], policy["policyTypes"]) == ({}, ["Ingress", "Egress"])
    assert "ingress" not in policy
    labels = resource["spec"]["template"]["metadata"]["labels"]
    client = labels.get("valkey-client") == "true"
    assert client == any(
        "STORE_URL" in str(one.get("env")) for one in resource["spec"]["template"]["spec"]["containers"]
    )


def test_the_servers_refuse_the_placeholders(tmp_path):
    passwords = manifest("Secret", "valkey-passwords")["stringData"]
    command = manifest("StatefulSet", "valkey")["spec"]["template"]["spec"]["containers"][0]["command"]
    with host(tmp_path) as place:
        for name, password in passwords.items():
            (place.secrets / name).write_text(password)
        addresses = {"ADDRESS": "127.0.0.1:1", "FIRST": "127.0.0.1:1", "SENTINELS": ""}
        refused = place.run(command, addresses)
    assert refused.returncode == 1
    assert "placeholder" in refused.stderr
